"""The command line: fit a mixture to the iris measurements or to a person's own table, and report it."""

from __future__ import annotations

import argparse
import contextlib
import csv
import importlib.util
import math
import os
import re
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import ArrayLike, NDArray

import fastgmm
from fastgmm import kernels
from fastgmm.datasets import load_iris
from fastgmm.plotting import plot_components
from fastgmm.sources.threads import default_n_threads

EXAMPLES = """examples:
  python -m fastgmm
      fit the iris measurements that come with fastgmm, and draw them
  python -m fastgmm fit table.csv --components 3 --output labels.csv --plot picture.png
      fit a table, write the component of each row, draw the first two columns
  python -m fastgmm fit table.csv --components 3 --columns height,weight --covariance-type diag --seed 1
      fit two columns of a table
"""
INSTALL_PLOT = "pip install 'fastgmm[plot]'"
DELIMITERS = (",", "\t", ";", " ")
MISSING = {"", "na", "n/a", "nan", "null", "none", "?", "."}
MAX_WIDTH, MAX_COLUMNS, MAX_COMPONENTS = 100, 12, 50  # of the printed table


class CommandError(Exception):
    """What the person who typed the command can mend; shown as one line."""


class Table(NamedTuple):
    """The chosen columns of a file."""

    values: NDArray[Any]
    names: list[str]


class Layout(NamedTuple):
    """How a text file is laid out."""

    path: str
    encoding: str
    delimiter: str
    names: list[str]
    first_line: int  # number of the first line that holds a row, from 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status: 0, 2 after an error, 130 when interrupted."""
    try:
        chosen = _parser().parse_args(arguments)
        chosen.command(chosen)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output, such as `head`, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except CommandError as error:
        print("fastgmm: error:", *str(error).split(), file=sys.stderr)
        return 2
    except MemoryError:
        print("fastgmm: error: out of memory: fit fewer rows, columns or components", file=sys.stderr)
        return 2
    return 0


# The commands


class Parser(argparse.ArgumentParser):
    """A parser that reports a wrong command in one line."""

    def error(self, message: str) -> NoReturn:
        """Raise what main() shows."""
        raise CommandError(f"{message} (see {self.prog} --help)")


def _parser() -> Parser:
    """Return the parser of the whole command line."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = Parser(prog="python -m fastgmm", description=__doc__, epilog=EXAMPLES, formatter_class=raw)
    parser.add_argument("--version", action="version", version=f"fastgmm {fastgmm.__version__}")
    parser.set_defaults(command=fit_iris)
    commands = parser.add_subparsers(title="commands", metavar="{fit,config}")

    fit = commands.add_parser(
        "fit",
        help="fit a mixture to a table",
        description="Fit a mixture to the rows of a table, and report it.",
        epilog=EXAMPLES,
        formatter_class=raw,
    )
    fit.set_defaults(command=fit_file)
    fit.add_argument("file", metavar="FILE", help="text table (comma, semicolon, tab or spaces) or .npy array")
    fit.add_argument("-k", "--components", metavar="K", type=_at_least(1), required=True, help="number of components")
    fit.add_argument(
        "--covariance-type", choices=("full", "tied", "diag", "spherical"), default="full", help="default: full"
    )
    fit.add_argument("--columns", metavar="A,B,...", help="columns to fit, by name or number from 1; default: all")
    fit.add_argument("-o", "--output", metavar="CSV", help="write the component of each row, from 0, to this file")
    fit.add_argument("--plot", metavar="PNG", help="draw the first two columns into this file (.png, .pdf, .svg)")
    fit.add_argument("--seed", metavar="N", type=_at_least(0), default=0, help="of the random start; default: 0")
    fit.add_argument("--n-init", metavar="N", type=_at_least(1), default=1, help="starts, the best kept; default: 1")
    fit.add_argument(
        "--tol", type=_at_least(0.0), default=1e-3, help="stop when the mean log-likelihood gains less; default: 1e-3"
    )
    fit.add_argument("--max-iter", metavar="N", type=_at_least(1), default=100, help="default: 100")
    fit.add_argument(
        "--reg-covar", metavar="R", type=_at_least(0.0), default=1e-6, help="added to each variance; default: 1e-6"
    )
    fit.add_argument("--threads", metavar="N", type=_at_least(1), help="default: the cores this process may use")

    config = commands.add_parser("config", help="say how fastgmm was built", description="Say how fastgmm was built.")
    config.set_defaults(command=lambda _: fastgmm.show_config())
    return parser


def _at_least(minimum: float) -> Callable[[str], float]:
    """Return an argparse type: a number of the minimum's type, finite and not below it."""

    def number(text: str) -> float:
        try:
            value = type(minimum)(text)
        except ValueError:
            value = math.nan
        if not minimum <= value < math.inf:
            kind = "a whole number" if isinstance(minimum, int) else "a number"
            raise argparse.ArgumentTypeError(f"{text!r} is not {kind} of at least {minimum}")
        return value

    return number


def fit_iris(_: argparse.Namespace) -> None:
    """Fit sepal length and width of the iris flowers, report, and draw them in the current directory."""
    iris = load_iris()
    table = Table(iris.data[:, :2], list(iris.feature_names[:2]))
    mixture = fastgmm.GaussianMixture(3, covariance_type="full", random_state=0)
    labels, seconds = _timed_fit(mixture, table.values)
    print(fit_report(mixture, table, labels, "iris flowers (Anderson 1935, Fisher 1936)", seconds))
    assert iris.target is not None
    print(comparison_report(labels, iris.target, len(mixture.weights_), iris.target_names), end="\n\n")
    if importlib.util.find_spec("matplotlib") is None:
        print(f"picture: none without matplotlib; to get one: {INSTALL_PLOT}")
    else:
        _draw("fastgmm-iris.png", mixture, table, labels)


def fit_file(chosen: argparse.Namespace) -> None:
    """Fit the chosen columns of a file, report, and write what was asked for."""
    _check_targets(chosen.file, chosen.output, chosen.plot)
    table = read_table(chosen.file, chosen.columns)
    if chosen.components > len(table.values):
        raise CommandError(
            f"--components {chosen.components} is more than the {len(table.values)} rows of {chosen.file}: choose fewer"
        )
    mixture = fastgmm.GaussianMixture(
        chosen.components,
        covariance_type=chosen.covariance_type,
        tol=chosen.tol,
        reg_covar=chosen.reg_covar,
        max_iter=chosen.max_iter,
        n_init=chosen.n_init,
        random_state=chosen.seed,
        n_threads=chosen.threads,
    )
    labels, seconds = _timed_fit(mixture, table.values)
    print(fit_report(mixture, table, labels, chosen.file, seconds))
    if chosen.output is not None or chosen.plot is not None:
        print()
    if chosen.output is not None:
        with _written(chosen.output) as temporary, open(temporary, "w", encoding="ascii", newline="\n") as stream:
            stream.write("label\n")
            stream.writelines(f"{label}\n" for label in labels.tolist())
        print(f"labels: {os.path.abspath(chosen.output)}")
    if chosen.plot is not None:
        _draw(chosen.plot, mixture, table, labels)


def _timed_fit(mixture: Any, values: NDArray[Any]) -> tuple[NDArray[np.int64], float]:
    """Fit; return the labels and the seconds it took. The report says whether it converged, so no warning does."""
    start = time.perf_counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", fastgmm.ConvergenceWarning)
        try:
            labels = mixture.fit_predict(values)
        except ValueError as error:
            raise CommandError(f"cannot fit: {error}") from error
    for warning in caught:
        print("fastgmm: warning:", *str(warning.message).split(), file=sys.stderr)
    return labels, time.perf_counter() - start


# The reports, as text


def fit_report(mixture: Any, table: Table, labels: NDArray[np.int64], source: str, seconds: float) -> str:
    """Return the report on a fitted mixture: data, why it stopped, likelihood, time, and the components."""
    n_components = len(mixture.weights_)
    rows, columns = table.values.shape
    n_threads = mixture.n_threads or default_n_threads()
    iterations = _count(mixture.n_iter_, "iteration")
    stopped = f"converged after {iterations} (tol {mixture.tol:g})"
    if not mixture.converged_:
        stopped = f"NOT {stopped}: allow more with --max-iter"
    return "\n".join(
        [
            f"Gaussian mixture of {_count(n_components, 'component')}, {mixture.covariance_type} covariance",
            "",
            f"data            {source}: {_count(rows, 'row')}, {_count(columns, 'column')}",
            f"stopped         {stopped}",
            f"log-likelihood  {mixture.score(table.values):.6f} per sample",
            f"BIC             {mixture.bic(table.values):.2f} (lower is better)",
            f"time            {seconds:.3g} s ({kernels.VARIANT} kernels, {_count(n_threads, 'thread')})",
            "",
            "means, with standard deviations in brackets",
            components_report(mixture, table.names, np.bincount(labels, minlength=n_components)),
        ]
    )


def components_report(mixture: Any, names: Sequence[str], sizes: NDArray[np.int64]) -> str:
    """Return the table of weights, means and standard deviations, cut to what a person reads."""
    means = np.asarray(mixture.means_, dtype=np.float64)
    deviations = standard_deviations(mixture)
    shown = range(min(len(means), MAX_COMPONENTS))
    fixed = [["component", *map(str, shown)], ["weight", *(f"{mixture.weights_[k]:.4f}" for k in shown)]]
    fixed.append(["rows", *(str(sizes[k]) for k in shown)])
    columns = []
    for d, name in enumerate(names[:MAX_COLUMNS]):
        digits = _digits(float(deviations[:, d].min()), float(np.abs(means[:, d]).max()))
        columns.append([name[:24], *(f"{means[k, d]:{digits}} ({deviations[k, d]:{digits}})" for k in shown)])
    parts = []
    while columns:
        part = [*fixed, columns.pop(0)]
        while columns and sum(2 + max(map(len, column)) for column in [*part, columns[0]]) <= MAX_WIDTH:
            part.append(columns.pop(0))
        parts.append(_aligned(part))
    if len(means) > MAX_COMPONENTS:
        parts.append(f"... and {_count(len(means) - MAX_COMPONENTS, 'more component')}")
    if len(names) > MAX_COLUMNS:
        parts.append(f"... and {_count(len(names) - MAX_COLUMNS, 'more column')}")
    return "\n\n".join(parts)


def comparison_report(
    labels: NDArray[np.int64], target: NDArray[np.int64], n_components: int, target_names: Sequence[str]
) -> str:
    """Return the counts of each class in each component, and the adjusted Rand index."""
    counts = np.zeros((n_components, len(target_names)), dtype=np.int64)
    np.add.at(counts, (labels, target), 1)
    first = ["component", *map(str, range(n_components))]
    columns = [[name, *map(str, counts[:, c])] for c, name in enumerate(target_names)]
    index = adjusted_rand_index(labels, target)
    return f"\nspecies in each component\n{_aligned([first, *columns])}\nadjusted Rand index {index:.4f}"


def adjusted_rand_index(first: ArrayLike, second: ArrayLike) -> float:
    """Return the agreement of two partitions: 1 when equal, 0 on average by chance.

    L. Hubert and P. Arabie (1985), Comparing partitions, Journal of Classification 2, 193-218, equation 5.
    """
    i, j = (np.unique(np.asarray(labels), return_inverse=True)[1] for labels in (first, second))
    both, rows, columns = (
        sum(math.comb(n, 2) for n in Counter(cells).values())
        for cells in (zip(i.tolist(), j.tolist(), strict=True), i.tolist(), j.tolist())
    )
    pairs = math.comb(len(i), 2)
    if rows == columns == both:
        return 1.0  # the same partition; the quotient may be 0 / 0
    expected = rows * columns / pairs
    return (both - expected) / ((rows + columns) / 2 - expected)


def standard_deviations(mixture: Any) -> NDArray[np.float64]:
    """Return the standard deviation (K, D) of each component along each feature."""
    covariances = np.asarray(mixture.covariances_, dtype=np.float64)
    match mixture.covariance_type:
        case "full":
            variances = np.diagonal(covariances, axis1=1, axis2=2)
        case "tied":
            variances = np.diagonal(covariances)
        case "diag":
            variances = covariances
        case _:
            variances = covariances[:, None]
    return np.broadcast_to(np.sqrt(variances), np.shape(mixture.means_))


def _digits(smallest: float, largest: float) -> str:
    """Return the format that shows three digits of the smallest deviation, and the means to the same place."""
    decimals = 2 - math.floor(math.log10(smallest)) if smallest > 0 else 9
    return f"z.{max(decimals, 0)}f" if decimals <= 6 and largest < 1e9 else "z.6g"


def _aligned(columns: Sequence[Sequence[str]]) -> str:
    """Return columns of words as lines, aligned on the right."""
    widths = [max(map(len, column)) for column in columns]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
        for cells in zip(*columns, strict=True)
    )


def _count(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural where it needs it."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


# Reading a table


def read_table(path: str, columns: str | None = None) -> Table:
    """Return the columns of a text table or of a .npy array, chosen by "name,number,..." or all."""
    if os.path.exists(path) and not os.path.isfile(path):
        raise CommandError(f"cannot read {path}: it is not a file")
    try:
        with open(path, "rb") as stream:
            start = stream.read(1 << 16)
        if not start.strip():
            raise CommandError(f"{path} is empty")
        if start.startswith(b"\x93NUMPY") or path.lower().endswith(".npy"):
            table = _read_npy(path, columns)
        else:
            table = _read_text(path, start, columns)
    except OSError as error:
        raise CommandError(f"cannot read {path}: {error.strerror or error}") from error
    return table


def _read_npy(path: str, columns: str | None) -> Table:
    """Return the chosen columns of a .npy array, mapped from the file when these are all."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # numpy raises half a dozen types on files that are damaged or pickled
        raise CommandError(f"cannot read {path} as an array of numbers, as numpy.save writes it: {error}") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
        kind = getattr(array, "dtype", "several arrays")
        raise CommandError(f"{path} holds {kind}, not one array of real numbers: save numbers with numpy.save")
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2 or array.size == 0:
        raise CommandError(f"{path} holds an array of shape {array.shape}: it needs rows and columns")
    names = [f"column {i}" for i in range(1, array.shape[1] + 1)]
    chosen = _chosen(columns, names, path)
    if columns is not None:
        array = array[:, chosen]
    strange = np.argwhere(~np.isfinite(array))
    if len(strange):
        row, column = strange[0]
        raise CommandError(
            f"{path}: row {row + 1} of {names[chosen[column]]} is {array[row, column]}: "
            "fill it in, delete the row, or leave the column out with --columns"
        )
    return Table(array, [names[i] for i in chosen])


def _read_text(path: str, start: bytes, columns: str | None) -> Table:
    """Return the chosen columns of a text file that starts with these bytes."""
    encoding = "utf-16" if start[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    if re.search(r"[\x00-\x08\x0e-\x1f]", start.decode(encoding, errors="replace")):
        raise CommandError(f"{path} is not a text table: save it as CSV, or as .npy with numpy.save")
    with open(path, encoding=encoding, errors="replace") as stream:
        head = [(number, line) for number, line in enumerate(islice(stream, 50), 1) if line.strip()]
    layout, sample = _layout(path, encoding, head)
    chosen = _chosen(columns, layout.names, path)
    _check_numeric(layout, sample, chosen)
    everything = chosen == list(range(len(layout.names)))
    # One letter of each column that was not chosen is kept, so that rows of another length are noticed.
    fields = [(f"f{i}", "f8" if i in chosen else "U1") for i in range(len(layout.names))]
    try:
        with open(path, encoding=encoding, errors="replace") as stream:
            values: Any = np.loadtxt(
                filter(str.strip, islice(stream, layout.first_line - 1, None)),
                dtype=np.float64 if everything else np.dtype(fields),
                delimiter=None if layout.delimiter == " " else layout.delimiter,
                quotechar='"',
                comments=None,
                ndmin=2 if everything else 1,
            )
    except ValueError as error:
        _explain(layout, chosen)
        raise CommandError(f"cannot read {path}: {error}") from error
    if not everything:
        values = np.stack([values[f"f{i}"] for i in chosen], axis=1)
    if values.shape[1] != len(chosen) or not np.isfinite(values).all():
        _explain(layout, chosen)
    return Table(values, [layout.names[i] for i in chosen])


def _layout(path: str, encoding: str, head: list[tuple[int, str]]) -> tuple[Layout, list[list[str]]]:
    """Return the layout of a file and its first rows, from its first lines that are not blank."""
    while len(head) > 1 and head[0][1].startswith("#") and head[1][1].startswith("#"):
        head = head[1:]
    if not head:
        raise CommandError(f"{path} is empty")
    delimiter = _delimiter([line for _, line in head[:20]])
    rows = [_cells(line, delimiter) for _, line in head]
    names, first = [""] * len(rows[0]), 0
    kinds = {_kind(cell) for cell in rows[0]}
    if head[0][1].startswith("#"):  # a comment; it may hold the names
        marked = _cells(head[0][1].lstrip("# "), delimiter)
        first = 1
        names = marked if len(rows) > 1 and len(marked) == len(rows[1]) else [""] * len(rows[min(1, len(rows) - 1)])
    elif "text" in kinds and "number" not in kinds:
        names, first = rows[0], 1
    if first == len(rows):
        raise CommandError(f"{path} holds a line of column names, but no rows")
    names = [name or f"column {i}" for i, name in enumerate(names, 1)]
    return Layout(path, encoding, delimiter, names, head[first][0]), rows[first:]


def _delimiter(lines: list[str]) -> str:
    """Return the delimiter that makes the lines most regular and numeric."""

    def merit(delimiter: str) -> float:
        rows = [_cells(line, delimiter) for line in lines[1:] or lines]  # the first may hold names
        width, regular = Counter(map(len, rows)).most_common(1)[0]
        cells = [cell.replace(",", ".") for row in rows for cell in row]
        numbers = sum(_kind(cell) != "text" for cell in cells)
        return 0.0 if width == 1 else regular / len(rows) * (0.01 + numbers / len(cells))

    best = max(DELIMITERS, key=merit)
    return best if merit(best) > 0 else ","


def _cells(line: str, delimiter: str) -> list[str]:
    """Return the cells of one line; spaces and tabs are one delimiter however many."""
    text = " ".join(line.split()) if delimiter == " " else line
    return [cell.strip() for cell in next(csv.reader([text], delimiter=delimiter, skipinitialspace=True))]


def _kind(cell: str) -> str:
    """Return whether a cell is a number, missing, infinite, or text."""
    if cell.lower() in MISSING:
        return "missing"
    try:
        return "number" if math.isfinite(float(cell)) else "infinite"
    except ValueError:
        return "text"


def _chosen(columns: str | None, names: Sequence[str], path: str) -> list[int]:
    """Return the columns named by "name,number,...", or all."""
    if columns is None:
        return list(range(len(names)))
    chosen = []
    for word in _cells(columns, ","):
        if names.count(word) == 1:
            chosen.append(names.index(word))
        elif word.isdecimal() and 1 <= int(word) <= len(names):
            chosen.append(int(word) - 1)
        else:
            some = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
            problem = "has several columns named" if word in names else "has no column"
            raise CommandError(f"{path} {problem} {word!r}: choose by number from 1 to {len(names)}, or among {some}")
    if not chosen or len(set(chosen)) != len(chosen):
        raise CommandError(f"--columns {columns!r} names {'a column twice' if chosen else 'no column'}")
    return chosen


def _check_numeric(layout: Layout, sample: list[list[str]], chosen: list[int]) -> None:
    """Refuse chosen columns that hold text wherever the first rows hold anything."""
    kinds = [{_kind(row[i]) for row in sample if i < len(row)} - {"missing"} for i in range(len(layout.names))]
    text = [i for i in chosen if kinds[i] == {"text"}]
    if not text:
        return
    shown = ", ".join(repr(layout.names[i]) for i in text[:20])
    value = next(row[text[0]] for row in sample if text[0] < len(row) and _kind(row[text[0]]) == "text")
    numeric = ",".join(str(i + 1) for i in chosen if i not in text)
    if _kind(value.replace(",", ".", 1)) == "number":
        remedy = "write decimals with a point"
    else:
        remedy = f"choose the others with --columns {numeric}" if numeric else "a mixture needs columns of numbers"
    plural = "columns are" if len(text) > 1 else "column is"
    raise CommandError(f"{layout.path}: {plural} not numeric: {shown} (holds {value[:40]!r}); {remedy}")


def _explain(layout: Layout, chosen: Sequence[int]) -> None:
    """Raise the error that names the first line with a cell that cannot be fitted."""
    for line, cells in _numbered_rows(layout):
        where = f"{layout.path}, line {line}"
        if len(cells) != len(layout.names):
            raise CommandError(
                f"{where}: {_count(len(cells), 'cell')} instead of {len(layout.names)}: mend or delete the line"
            )
        for i in chosen:
            kind = _kind(cells[i])
            if kind != "number":
                problem = {"missing": "is missing", "infinite": "is infinite", "text": "is not a number"}[kind]
                raise CommandError(
                    f"{where}: the value of {layout.names[i]!r} {problem} ({cells[i][:40]!r}): "
                    "mend it, delete the line, or leave the column out with --columns"
                )


def _numbered_rows(layout: Layout) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of each line and its cells, blank lines left out."""
    with open(layout.path, encoding=layout.encoding, errors="replace") as stream:
        lines: Iterable[tuple[int, str]] = enumerate(stream, 1)
        for number, line in islice(lines, layout.first_line - 1, None):
            if line.strip():
                yield number, _cells(line, layout.delimiter)


# Writing


def _check_targets(source: str, output: str | None, plot: str | None) -> None:
    """Refuse, before the fit, files that cannot be written."""
    for target in filter(None, (output, plot)):
        folder = os.path.dirname(os.path.abspath(target))
        if os.path.isdir(target):
            raise CommandError(f"cannot write {target}: it is a directory")
        if not os.path.isdir(folder):
            raise CommandError(f"cannot write {target}: there is no directory {folder}")
        if not os.access(folder if not os.path.exists(target) or os.path.isfile(target) else target, os.W_OK):
            raise CommandError(f"cannot write {target}: permission denied")
        if os.path.exists(source) and os.path.realpath(source) == os.path.realpath(target):
            raise CommandError(f"cannot write {target}: it is the table to fit")
    if output is not None and plot is not None and os.path.realpath(output) == os.path.realpath(plot):
        raise CommandError(f"--output and --plot both name {output}")
    if plot is not None:
        try:
            from matplotlib.backend_bases import FigureCanvasBase
        except ImportError as error:
            raise CommandError(f"--plot needs matplotlib: {INSTALL_PLOT}") from error
        if _suffix(plot) not in FigureCanvasBase.get_supported_filetypes():
            raise CommandError(f"cannot write {plot}: end its name in .png, .pdf or .svg")


@contextlib.contextmanager
def _written(path: str) -> Iterator[str]:
    """Give a temporary name beside a file, and rename it to the file once it is written whole."""
    target = os.path.realpath(path)
    special = os.path.exists(target) and not os.path.isfile(target)  # a device or a pipe, which must not be replaced
    temporary = target if special else f"{target}.{os.getpid()}.tmp"
    try:
        yield temporary
        if not special:
            os.replace(temporary, target)
    except OSError as error:
        raise CommandError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if not special:
            with contextlib.suppress(OSError):
                os.unlink(temporary)


def _draw(path: str, mixture: Any, table: Table, labels: NDArray[np.int64]) -> None:
    """Draw the first two columns into a file, and say where."""
    try:
        display = plot_components(mixture, table.values, labels=labels, feature_names=table.names)
    except ImportError as error:
        raise CommandError(str(error)) from error
    with _written(path) as temporary:
        display.figure_.savefig(temporary, format=_suffix(path), dpi=200)  # type: ignore[union-attr]
    print(f"picture: {os.path.abspath(path)}")


def _suffix(path: str) -> str:
    """Return the format that a file's name asks for."""
    return os.path.splitext(path)[1][1:].lower() or "png"
