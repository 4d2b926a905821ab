"""The command line: fit a mixture to the iris measurements or to a person's own table, and report it."""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import math
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from . import __version__
from .config import show_config
from .datasets import load_iris
from .exceptions import ConvergenceWarning
from .gaussian_mixture import GaussianMixture
from .plotting import plot_components
from .reports import comparison_report, fit_report
from .tables import CommandError, Table, read_table

EXAMPLES = """examples:
  python -m fastgmm
      fit the iris measurements that come with fastgmm, and draw them
  python -m fastgmm fit table.csv --components 3 --output labels.csv --plot picture.png
      fit a table, write the component of each row, draw the first two columns
  python -m fastgmm fit table.csv --components 3 --columns height,weight --covariance-type diag --seed 1
      fit two columns of a table
"""
INSTALL_PLOT = "pip install 'fastgmm[plot]'"


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
    parser.add_argument("--version", action="version", version=f"fastgmm {__version__}")
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
    fit.add_argument("--acceleration", choices=("squarem",), help="extrapolate, for fewer iterations; default: none")
    fit.add_argument("--max-time", metavar="S", type=_at_least(0.001), help="stop after S seconds; default: never")
    fit.add_argument("--threads", metavar="N", type=_at_least(1), help="default: the cores this process may use")

    config = commands.add_parser("config", help="say how fastgmm was built", description="Say how fastgmm was built.")
    config.set_defaults(command=lambda _: show_config())
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
    mixture = GaussianMixture(3, covariance_type="full", random_state=0)
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
    mixture = GaussianMixture(
        chosen.components,
        covariance_type=chosen.covariance_type,
        tol=chosen.tol,
        reg_covar=chosen.reg_covar,
        max_iter=chosen.max_iter,
        n_init=chosen.n_init,
        random_state=chosen.seed,
        acceleration=chosen.acceleration,
        max_time=chosen.max_time,
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
        warnings.simplefilter("ignore", ConvergenceWarning)
        try:
            labels = mixture.fit_predict(values)
        except ValueError as error:
            raise CommandError(f"cannot fit: {error}") from error
    if mixture.stop_reason_ == "interrupt":
        raise KeyboardInterrupt
    for warning in caught:
        print("fastgmm: warning:", *str(warning.message).split(), file=sys.stderr)
    return labels, time.perf_counter() - start


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
