"""The parser of the command line: commands, options, help."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import Any, NoReturn

from .. import __version__
from ..config import show_config
from ..exceptions import CommandError
from ..fitting.starts import METHODS
from ..model.structures import STRUCTURES
from ..selection.result import CRITERIA
from ..selection.select import ALL, DEFAULT_TYPES
from .commands import fit_file, fit_iris, predict_file, select_file, show_model
from .scripts import run_program

DESCRIPTION = """Gaussian mixtures of tables. Without a command: fit the iris measurements that come with fastgmm, and
draw them. `fastgmm COMMAND --help` tells the options of a command."""

MAIN_EXAMPLES = """examples:
  fastgmm
  fastgmm fit table.csv --components 3 --output labels.csv --plot picture.png
  fastgmm select table.csv --components 1-9 --save best.npz
  fastgmm show best.npz
  fastgmm predict --model best.npz other.csv --proba --output labels.csv
  fastgmm run script.py
`python -m fastgmm` does what `fastgmm` does.
"""
FIT_EXAMPLES = """examples:
  fastgmm fit table.csv --components 3 --output labels.csv --plot picture.png
      write the component of each row, draw the first two columns
  fastgmm fit table.parquet -k 3 --columns height,weight --covariance-type diag --seed 1 --save model.npz
      fit two columns, and keep the mixture for `show` and `predict`
  fastgmm fit survey.csv -k 4 --weights persons --missing em
      rows that stand for several persons, and have gaps
  zcat big.csv.gz | fastgmm fit - -k 8 --output - > labels.csv
      from a pipe to a pipe; the report then goes to the standard error
"""
SELECT_EXAMPLES = """examples:
  fastgmm select table.csv
      1 to 9 components in four covariance structures, compared by the BIC
  fastgmm select table.csv --components 2,4,8-12 --covariance-types full,diag --criterion icl --output candidates.csv
  fastgmm select table.csv --criterion cv --save best.npz --plot curves.png
"""
PREDICT_EXAMPLES = """examples:
  fastgmm predict --model model.npz table.csv > labels.csv
  fastgmm predict --model model.npz table.csv --proba --score --output labels.npy
      a structured array with the fields label, proba and log_density
  fastgmm predict --model model.npz - --score < table.csv
Columns are found by the names that the mixture was fitted to, or are all columns where there are as many.
"""
SHOW_EXAMPLES = """example:
  fastgmm show model.npz
"""
RUN_EXAMPLES = """examples:
  fastgmm run script.py --its-own options
  fastgmm run -m package.module
As `python script.py`, but sklearn.mixture.GaussianMixture and BayesianGaussianMixture are fastgmm's, as after
fastgmm.patch_sklearn(), in this process and those that it forks; workers of joblib fit by scikit-learn.
"""
TABLE_HELP = "text table (comma, semicolon, tab or spaces), .npy array, Parquet, or - for the standard input"


class Parser(argparse.ArgumentParser):
    """A parser that reports a wrong command in one line."""

    def error(self, message: str) -> NoReturn:
        """Raise what main() shows."""
        raise CommandError(f"{message} (see {self.prog} --help)")


def parser() -> Parser:
    """Return the parser of the whole command line."""
    raw = argparse.RawDescriptionHelpFormatter
    whole = Parser(prog="fastgmm", description=DESCRIPTION, epilog=MAIN_EXAMPLES, formatter_class=raw)
    whole.add_argument("--version", action="version", version=f"fastgmm {__version__}")
    whole.set_defaults(command=fit_iris)
    commands = whole.add_subparsers(title="commands", metavar="{fit,select,predict,show,run,config}")

    def command(name: str, run: Callable[..., None], what: str, epilog: str | None = None) -> Parser:
        added = commands.add_parser(
            name, help=what[0].lower() + what[1:-1], description=what, epilog=epilog, formatter_class=raw
        )
        added.set_defaults(command=run)
        return added

    _fit(command("fit", fit_file, "Fit a mixture to the rows of a table, and report it.", FIT_EXAMPLES))
    _select(command("select", select_file, "Find the mixture that suits a table best.", SELECT_EXAMPLES))
    _predict(command("predict", predict_file, "Apply a saved mixture to the rows of a table.", PREDICT_EXAMPLES))
    show = command("show", show_model, "Describe a saved mixture.", SHOW_EXAMPLES)
    show.add_argument("model", metavar="MODEL", help="file that `fit --save` or GaussianMixture.save wrote")
    what = "Run a Python program whose scikit-learn mixtures are fastgmm's."
    run = command("run", run_program, what, RUN_EXAMPLES)
    run.add_argument("-m", dest="module", action="store_true", help="run a module by its name, not a script")
    run.add_argument("program", nargs=argparse.REMAINDER, metavar="SCRIPT ...", help="with its arguments")
    command("config", lambda _: show_config(), "Say how fastgmm was built.")
    return whole


def _fit(fit: Parser) -> None:
    """Add the options of `fit`."""
    fit.add_argument("file", metavar="FILE", help=TABLE_HELP)
    fit.add_argument("-k", "--components", metavar="K", type=_at_least(1), required=True, help="number of components")
    fit.add_argument("--covariance-type", choices=tuple(STRUCTURES), default="full", help="default: full")
    _add_rows(fit)
    fit.add_argument("--save", metavar="MODEL", help="keep the mixture in this file, for `predict` and `show`")
    fit.add_argument("-o", "--output", metavar="FILE", help=f"write the component of each row, from 0, {WHERE}")
    _add_outputs(fit)
    fit.add_argument("--plot", metavar="PNG", help="draw the first two columns into this file (.png, .pdf, .svg)")
    _add_em(fit, n_init=1)
    fit.add_argument(
        "--noise", action="store_const", const="auto", help="add a component of constant density: label -1"
    )
    fit.add_argument(
        "--sampling",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="whether EM begins on samples where rows are many; default: --sampling",
    )
    fit.add_argument("--max-time", metavar="S", type=_at_least(0.001), help="stop after S seconds; default: never")


def _select(select: Parser) -> None:
    """Add the options of `select`."""
    select.add_argument("file", metavar="FILE", help=TABLE_HELP)
    select.add_argument(
        "-k", "--components", metavar="K,A-B,...", type=_numbers, default=_numbers("1-9"), help="default: 1-9"
    )
    select.add_argument(
        "--covariance-types",
        metavar="A,B,...",
        type=_structures,
        default=DEFAULT_TYPES,
        help=f"default: {','.join(DEFAULT_TYPES)}; {ALL}: mclust's fourteen",
    )
    select.add_argument("--criterion", choices=CRITERIA, default="bic", help="default: bic")
    select.add_argument("--folds", metavar="N", type=_at_least(2), default=5, help="of --criterion cv; default: 5")
    _add_rows(select)
    select.add_argument("--save", metavar="MODEL", help="keep the best mixture in this file")
    select.add_argument("-o", "--output", metavar="CSV", help="write the table of all candidates to this file")
    select.add_argument("--plot", metavar="PNG", help="draw the criterion into this file (.png, .pdf, .svg)")
    select.add_argument(
        "--noise", action="store_const", const=[None, "auto"], help="try mixtures with a component of noise, too"
    )
    _add_em(select, n_init=2)


def _predict(predict: Parser) -> None:
    """Add the options of `predict`."""
    predict.add_argument("file", metavar="FILE", help=TABLE_HELP)
    predict.add_argument("--model", metavar="MODEL", required=True, help="file that `fit --save` wrote")
    predict.add_argument("--columns", metavar="A,B,...", help="by name or number from 1; default: those fitted")
    _add_header(predict)
    predict.add_argument(
        "--missing", choices=("raise", "em"), help="gaps are refused or allowed; default: as in the fit"
    )
    predict.add_argument("-o", "--output", metavar="FILE", default="-", help=f"write {WHERE}; default: -")
    _add_outputs(predict)
    predict.add_argument("--threads", metavar="N", type=_at_least(1), help="default: the cores this process may use")


WHERE = "to this file (.csv, .tsv, .npy), or for - to the standard output"


def _add_rows(command: Parser) -> None:
    """Add the options that say what is fitted."""
    command.add_argument("--columns", metavar="A,B,...", help="columns to fit, by name or number from 1; default: all")
    _add_header(command)
    command.add_argument("--weights", metavar="COLUMN", help="column that says how many times each row counts")
    command.add_argument(
        "--missing", choices=("raise", "em"), default="raise", help="em: gaps are allowed, and fitted exactly"
    )


def _add_header(command: Parser) -> None:
    """Add the option that says whether a text table begins with names."""
    command.add_argument(
        "--header",
        action=argparse.BooleanOptionalAction,
        help="whether the first line of a text table holds names; default: found out",
    )


def _add_outputs(command: Parser) -> None:
    """Add the options that say what is written of each row."""
    command.add_argument("--proba", action="store_true", help="write the probability of each component, too")
    command.add_argument("--score", action="store_true", help="write the logarithm of each row's density, too")


def _add_em(command: Parser, n_init: int) -> None:
    """Add the options of EM."""
    command.add_argument("--seed", metavar="N", type=_at_least(0), default=0, help="of the random start; default: 0")
    command.add_argument(
        "--n-init",
        metavar="N",
        type=lambda text: text if text == "auto" else _at_least(1)(text),
        default=n_init,
        help=f"starts, the best kept, or auto: a search; default: {n_init}",
    )
    command.add_argument("--init-params", choices=tuple(METHODS), help="where EM starts; default: kmeans for fit")
    command.add_argument(
        "--tol", type=_at_least(0.0), default=1e-3, help="stop when the mean log-likelihood gains less; default: 1e-3"
    )
    command.add_argument("--max-iter", metavar="N", type=_at_least(1), default=100, help="default: 100")
    command.add_argument(
        "--reg-covar",
        metavar="R",
        type=lambda text: text if text == "auto" else _at_least(0.0)(text),
        default=1e-6,
        help="added to each variance, or auto: a millionth of each column's; default: 1e-6",
    )
    command.add_argument(
        "--acceleration", choices=("squarem",), help="extrapolate, for fewer iterations; default: none"
    )
    command.add_argument("--threads", metavar="N", type=_at_least(1), help="default: the cores this process may use")


def _at_least(minimum: float) -> Callable[[str], Any]:
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


def _numbers(text: str) -> list[int]:
    """Return the numbers that "2,4,8-12" stands for."""
    found: set[int] = set()
    for word in text.split(","):
        first, dash, last = word.strip().partition("-")
        low, high = (_at_least(1)(end) for end in (first, last if dash else first))
        if high < low:
            raise argparse.ArgumentTypeError(f"{word!r} is no range: give the smaller number first")
        found.update(range(low, high + 1))
    return sorted(found)


def _structures(text: str) -> tuple[str, ...]:
    """Return the covariance structures that "full,diag" or "all" stands for."""
    words = tuple(dict.fromkeys(word.strip() for word in text.split(",")))
    for word in words:
        if word not in (ALL, *STRUCTURES):
            raise argparse.ArgumentTypeError(f"{word!r} is not among {', '.join([ALL, *STRUCTURES])}")
    return words
