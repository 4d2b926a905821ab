"""Tables from files and pipes: text with any of the usual delimiters, .npy, Parquet; errors name place and remedy.

What is larger than a few megabytes is not held in memory: a .npy file is mapped, the numbers of any other go to a
temporary file, which is mapped.
"""

from __future__ import annotations

import contextlib
import csv
import errno
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..exceptions import CommandError
from ..sources.chunks import Chunks
from ..sources.columns import Names
from ..sources.files import from_array, from_csv, from_parquet
from ..sources.intake import FloatChunks, spooled
from ..sources.rows import all_finite
from ..text import listed, quoted, shortened
from .layouts import cells_of, check_numeric, explain, sniff
from .terminal import note

__all__ = ["CommandError", "Request", "Table", "read_table"]

SMALL = 1 << 24  # bytes of a file whose numbers are held in memory
SUFFIXES = (".xlsx", ".xls", ".ods", ".npz", ".gz", ".bz2", ".xz", ".zip", ".zst")  # of what is no table as it is

NUMBERS = ("int", "uint", "float", "double", "halffloat", "bool")  # how pyarrow's names of types of numbers start


class Table(NamedTuple):
    """The chosen columns of a file, in memory or mapped, and the weights of its rows where a column holds them."""

    values: NDArray[Any]
    names: list[str]
    weights: NDArray[np.float64] | None = None


class Request(NamedTuple):
    """The columns, weights and gaps asked of a table."""

    columns: str | None = None  # "name,number,...", as it is typed
    weights: str | None = None  # name or number of the column that holds the weights of rows
    gaps: bool = False  # whether values may be missing
    header: bool | None = None  # whether the first line of a text holds names; None finds out
    features: Sequence[str] = ()  # of the mixture that the rows are for, which tell the columns where nobody does
    n_features: int | None = None  # likewise, their number


class Picked(NamedTuple):
    """Numbers of columns, from 0: of features, and after them that of the weights where there is one."""

    features: list[int]
    weights: list[int]
    names: list[str]


class Found(NamedTuple):
    """Rows that a file holds, the features before the weights, and what tells where a chunk of them went wrong."""

    chunks: Chunks
    picked: Picked
    explain: Callable[[int, NDArray[Any] | None], None]  # given the rows before the chunk, and the chunk if it was read
    small: bool


def read_table(
    path: str,
    columns: str | None = None,
    request: Request | None = None,
    tell: Callable[[str], object] = lambda _: None,
) -> Table:
    """Return the chosen columns of a file or, for "-", of the standard input; ``tell`` hears how far it has come."""
    request = request or Request(columns)
    with _on_disk(path) as (file, shown):
        try:
            with open(file, "rb") as stream:
                start = stream.read(1 << 16)
            if not start.strip():
                raise CommandError(f"{shown} is empty")
            if start.startswith(b"PAR1") or path.lower().endswith(".parquet"):
                return _gathered(_parquet(file, shown, request), shown, request, tell)
            if start.startswith(b"\x93NUMPY") or path.lower().endswith(".npy"):
                return _npy(file, shown, request, tell)
            if path.lower().endswith(SUFFIXES):
                raise CommandError(f"{shown} is not a table as it is: unpack it, or save it as CSV, .npy or Parquet")
            return _gathered(_text(file, shown, start, request), shown, request, tell)
        except OSError as error:
            raise CommandError(f"cannot read {shown}: {error.strerror or error}") from error
        except csv.Error as error:
            raise CommandError(f"cannot read {shown} as a table: {shortened(error, 200)}") from error


@contextlib.contextmanager
def _on_disk(path: str) -> Iterator[tuple[str, str]]:
    """Give the name of a file that can be read twice, which holds what the path leads to, and its name in messages."""
    try:
        pipe = path == "-" or stat.S_ISFIFO(os.stat(path).st_mode)
    except OSError as error:
        raise CommandError(f"cannot read {path}: {error.strerror or error}") from error
    if not pipe:
        if not os.path.isfile(path):
            raise CommandError(f"cannot read {path}: it is not a file")
        yield path, path
        return
    shown = "standard input" if path == "-" else path
    with tempfile.TemporaryDirectory(prefix="fastgmm-", ignore_cleanup_errors=True) as folder:
        copy = os.path.join(folder, "table")
        try:
            with (
                contextlib.nullcontext(sys.stdin.buffer) if path == "-" else open(path, "rb") as source,
                open(copy, "wb") as target,
            ):
                shutil.copyfileobj(source, target, 1 << 20)
        except OSError as error:
            raise _no_room(error, shown) from error
        yield copy, shown


def _no_room(error: OSError, shown: str) -> CommandError:
    """Return the error for a temporary file that could not be written, or what it is made of not read."""
    if error.errno != errno.ENOSPC:
        return CommandError(f"cannot read {shown}: {error.strerror or error}")
    folder = tempfile.gettempdir()
    return CommandError(f"no room in {folder} for the numbers of {shown}: let TMPDIR name a folder with more")


# What files hold


def _text(file: str, shown: str, start: bytes, request: Request) -> Found:
    """Return the rows of a text file that starts with these bytes."""
    layout, sample = sniff(file, shown, start, request.header)
    if layout.doubt:
        note(f"{shown}: {layout.doubt}")
    picked = _pick(request, layout.names, shown, layout.set_aside)
    chosen = picked.features + picked.weights
    check_numeric(layout, sample, chosen)
    gaps = picked.features if request.gaps else []
    if len(sample[0]) != len(layout.names):
        explain(layout, chosen, gaps)
    chunks = from_csv(
        file,
        chosen,
        delimiter=layout.delimiter,
        decimal=layout.decimal,
        header=False,
        skip_lines=layout.first_line - 1,
        encoding=layout.encoding,
        encoding_errors="replace",
    )
    return Found(chunks, picked, lambda done, _: explain(layout, chosen, gaps, done), os.path.getsize(file) <= SMALL)


def _parquet(file: str, shown: str, request: Request) -> Found:
    """Return the rows of a Parquet file."""
    try:
        import pyarrow.parquet

        schema = pyarrow.parquet.read_schema(file)
        index = {i: "labels of rows" for i, name in enumerate(schema.names) if name.startswith("__index_level_")}
        picked = _pick(request, schema.names, shown, index)
        kinds = [str(schema.field(i).type) for i in picked.features + picked.weights]
        if strange := [name for name, kind in zip(picked.names, kinds, strict=False) if not kind.startswith(NUMBERS)]:
            others = ",".join(name for name in picked.names[:50] if name not in strange)
            remedy = f"choose the others with --columns {others}" if others else "a mixture needs columns of numbers"
            raise CommandError(f"{shown}: not numeric: {listed(map(repr, strange))}; {remedy}")
        chunks = from_parquet(file, [schema.names[i] for i in picked.features + picked.weights])
    except ImportError as error:
        raise CommandError(f"reading Parquet needs pyarrow: pip install 'fastgmm[files]' ({shown})") from error
    except (ValueError, KeyError, OSError) as error:  # pyarrow's own are among these
        raise CommandError(f"cannot read {shown}: {shortened(error, 200)}") from error
    return Found(chunks, picked, lambda done, rows: _refuse(shown, picked, done, rows, request), _is_small(file))


def _npy(file: str, shown: str, request: Request, tell: Callable[[str], object]) -> Table:
    """Return the chosen columns of a .npy array, mapped from the file when these are all."""
    try:
        array = np.load(file, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # numpy raises half a dozen types on files that are damaged or pickled
        raise CommandError(
            f"cannot read {shown} as an array of numbers, as numpy.save writes it: {shortened(error, 200)}"
        ) from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
        kind = getattr(array, "dtype", "several arrays")
        raise CommandError(f"{shown} holds {kind}, not one array of real numbers: save numbers with numpy.save")
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2 or array.size == 0:
        raise CommandError(f"{shown} holds an array of shape {array.shape}: it needs rows and columns")
    picked = _pick(request, [f"column {i}" for i in range(1, array.shape[1] + 1)], shown)
    chosen = picked.features + picked.weights
    dtype = np.float32 if array.dtype.char == "f" else np.float64
    blocks = Chunks(lambda: (block[:, chosen] for block in from_array(array)), dtype=dtype)
    found = Found(blocks, picked, lambda done, rows: _refuse(shown, picked, done, rows, request), array.nbytes <= SMALL)
    if chosen != list(range(array.shape[1])) or picked.weights:
        return _gathered(found, shown, request, tell)
    done = 0
    for block in blocks:
        if not _acceptable(block, found, request):
            found.explain(done, block)
        done += len(block)
    return Table(array, picked.names)


def _is_small(file: str) -> bool:
    """Return whether the numbers of a file, compressed or not, surely fit into memory."""
    return os.path.getsize(file) <= SMALL // 8


def _refuse(shown: str, picked: Picked, done: int, rows: NDArray[Any] | None, request: Request) -> None:
    """Raise the error that names the first number that cannot be fitted, in a chunk after so many rows."""
    if rows is None:
        return
    strange = ~np.isfinite(rows)
    if request.gaps:
        strange[:, : len(picked.features)] &= ~np.isnan(rows[:, : len(picked.features)])
    row, column = np.argwhere(strange)[0]
    name = [*picked.names, request.weights][column]
    other = ", or fit what is there with --missing em" if np.isnan(rows[row, column]) else ""
    raise CommandError(
        f"{shown}: row {done + row + 1} of {name} is {rows[row, column]}: fill it in, delete the row, or leave the "
        f"column out with --columns{other}"
    )


# From there to one array


def _gathered(found: Found, shown: str, request: Request, tell: Callable[[str], object]) -> Table:
    """Read all rows, into memory or to a temporary file that is mapped."""
    width, weights, done = len(found.picked.features), list[NDArray[Any]](), 0

    def features() -> Iterator[NDArray[Any]]:
        nonlocal done
        for block in found.chunks:
            if not _acceptable(block, found, request):
                found.explain(done, block)
            if found.picked.weights:
                weights.append(block[:, width].astype(np.float64))
            done += len(block)
            tell(f"{done} rows read: {shown}")
            yield np.ascontiguousarray(block[:, :width])

    try:
        if found.small:
            values = np.concatenate(list(features()))
        else:
            values = spooled(FloatChunks(Chunks(features), Names("GaussianMixture"), True), found.chunks.dtype)
    except ValueError as error:
        found.explain(done, None)
        raise CommandError(f"cannot read {shown}: {shortened(error, 200)}") from error
    except OSError as error:
        raise _no_room(error, shown) from error
    if not len(values):
        raise CommandError(f"{shown} holds no rows")
    return Table(values, found.picked.names, np.concatenate(weights) if weights else None)


def _acceptable(block: NDArray[Any], found: Found, request: Request) -> bool:
    """Return whether all numbers are finite, or missing where values may be."""
    if block.dtype.char in "fd" and block.dtype.isnative and all_finite(block):
        return True
    width = len(found.picked.features) if request.gaps else 0
    return not np.isinf(block[:, :width]).any() and bool(np.isfinite(block[:, width:]).all())


# Which columns


def _pick(
    request: Request, names: Sequence[str], shown: str, set_aside: Mapping[int, str] = MappingProxyType({})
) -> Picked:
    """Return the columns asked for; else those that the mixture was fitted to; else all that may be features."""
    weights = [] if request.weights is None else [_position(request.weights, names, shown)]
    if request.columns is not None:
        chosen = _listed(request.columns, names, shown)
    elif request.features and all(names.count(name) == 1 for name in request.features):
        chosen = [names.index(name) for name in request.features]
    else:
        chosen = [i for i in range(len(names)) if i not in weights and i not in set_aside]
        if set_aside:
            note(f"{shown}: {_left_out(names, set_aside)}")
        _check_mixture(request, names, len(chosen), shown)
    if request.n_features not in (None, len(chosen)):
        raise CommandError(f"--columns names {len(chosen)}, but the mixture has {request.n_features} features")
    if set(weights) & set(chosen):
        raise CommandError(
            f"{quoted(request.weights)} cannot be both a feature and the weight: leave it out of --columns"
        )
    if not chosen:
        raise CommandError(f"{shown} has no column besides the weights")
    return Picked(chosen, weights, [names[i] for i in chosen])


def _left_out(names: Sequence[str], set_aside: Mapping[int, str]) -> str:
    """Say which columns are left out, and how to fit them nevertheless."""
    numbers = ",".join(str(i + 1) for i in range(min(len(names), 20))) + (",..." if len(names) > 20 else "")
    columns = listed(f"{names[i]} ({what})" for i, what in sorted(set_aside.items()))
    return f"left out: {columns}; to fit all columns, say --columns {numbers}"


def _check_mixture(request: Request, names: Sequence[str], count: int, shown: str) -> None:
    """Refuse all columns of a table where they are not those of the mixture, by number or by name."""
    if request.n_features is None:
        return
    named = [name for i, name in enumerate(names, 1) if name != f"column {i}"]
    known = [name for name in request.features if not name.startswith("column ")]
    if count == request.n_features and not (named and known):
        return
    lacking = [name for name in request.features if names.count(name) != 1]
    what = f"no column {quoted(lacking[0])}" if lacking and named else f"{count} columns"
    raise CommandError(
        f"{shown} has {what}, but the mixture was fitted to {request.n_features}"
        f"{': ' + listed(request.features) if request.features else ' columns'}; choose with --columns"
    )


def _listed(columns: str, names: Sequence[str], shown: str) -> list[int]:
    """Return the columns named by "name,number,..."."""
    chosen = [_position(word, names, shown) for word in cells_of(columns, ",")]
    if len(set(chosen)) != len(chosen):
        raise CommandError(f"--columns {quoted(columns)} names a column twice")
    return chosen


def _position(word: str, names: Sequence[str], shown: str) -> int:
    """Return the column that a name or a number from 1 stands for."""
    if names.count(word) == 1:
        return names.index(word)
    if word.isdecimal() and 1 <= int(word) <= len(names):
        return int(word) - 1
    problem = "has several columns named" if word in names else "has no column"
    raise CommandError(
        f"{shown} {problem} {quoted(word)}: choose by number from 1 to {len(names)}, or among {listed(names)}"
    )
