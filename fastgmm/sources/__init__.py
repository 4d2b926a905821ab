"""Where rows come from: each source turns parameters into statistics.

`from_chunks`, `from_array`, `from_parquet` and `from_csv` make rows that do not fit into memory ready for ``fit``,
``predict`` and ``score``. Arrays mapped from files by `numpy.memmap` need nothing of the sort.
"""

from .chunks import Chunks
from .files import from_array, from_chunks, from_csv, from_parquet

__all__ = ["Chunks", "from_array", "from_chunks", "from_csv", "from_parquet"]
