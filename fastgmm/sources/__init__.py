"""Where rows come from: each source turns parameters into statistics.

`from_chunks`, `from_array`, `from_parquet` and `from_csv` make rows that do not fit into memory ready for ``fit``,
``predict`` and ``score``. Arrays mapped from files by `numpy.memmap` need nothing of the sort.

For developers: this room checks rows, reads them in groups and calls the kernels on threads. It knows kernels and
model; it must not know how EM goes on, where it starts, or any estimator. To add a place where rows come from, derive
from `CompleteSource`: set ``n_samples``, ``n_features`` and ``dtype``, write ``read`` (the rows of consecutive groups)
and ``take`` (some rows in memory), and let `Intake` make it. `IncompleteSource` then serves rows with gaps. A source
that works where its rows lie, as in ``dask``, overrides ``statistics`` and its sisters, too.
"""

from .chunks import Chunks
from .files import from_array, from_chunks, from_csv, from_parquet

__all__ = ["Chunks", "from_array", "from_chunks", "from_csv", "from_parquet"]
