"""The commands: fit, select, predict, show."""

from __future__ import annotations

import argparse
import contextlib
import csv
import importlib.util
import os
import sys
import time
import warnings
from collections.abc import Iterator
from typing import Any, TextIO

import numpy as np

from ..datasets import load_iris
from ..exceptions import CommandError, ConvergenceWarning, SelectionWarning
from ..gaussian_mixture import GaussianMixture
from ..loading import load
from ..mixture.summary import heading
from ..plotting import plot_components
from ..selection.result import Selection
from ..selection.select import select
from ..text import counted
from .reports import comparison_report, fit_report, model_report
from .results import Summary, apply
from .tables import Request, Table, read_table
from .targets import INSTALL_PLOT, check_targets, save_picture, written
from .terminal import Line, progress

SHARED = ("tol", "reg_covar", "max_iter", "n_init", "init_params", "acceleration", "missing", "noise")  # options of EM


def fit_iris(_: argparse.Namespace) -> None:
    """Fit sepal length and width of the iris flowers, report, and draw them in the current directory."""
    iris = load_iris()
    table = Table(iris.data[:, :2], list(iris.feature_names[:2]))
    mixture = GaussianMixture(3, covariance_type="full", random_state=0)
    seconds, stopped = _fit(mixture, table)
    summary = apply(mixture, table.values, None)
    print(fit_report(mixture, table, summary.sizes, "iris flowers (Anderson 1935, Fisher 1936)", seconds))
    assert iris.target is not None
    print(comparison_report(summary.labels, iris.target, len(mixture.weights_), iris.target_names), end="\n\n")
    if importlib.util.find_spec("matplotlib") is None:
        print(f"picture: none without matplotlib; to get one: {INSTALL_PLOT}")
    else:
        _draw("fastgmm-iris.png", mixture, table.names, summary, sys.stdout)
    _end(stopped, f"after {counted(mixture.n_iter_, 'iteration')}")


def fit_file(chosen: argparse.Namespace) -> None:
    """Fit the chosen columns of a table, report, and write what was asked for."""
    check_targets(chosen, {"the table to fit": chosen.file})
    if (chosen.proba or chosen.score) and chosen.output is None:
        raise CommandError("--proba and --score need a place: name one with --output")
    with progress() as line:
        table = _read(chosen, line)
        if chosen.components > len(table.values):
            raise CommandError(
                f"--components {chosen.components} is more than the {len(table.values)} rows of {chosen.file}: "
                "choose fewer"
            )
        mixture = GaussianMixture(
            chosen.components,
            covariance_type=chosen.covariance_type,
            max_time=chosen.max_time,
            sampling="auto" if chosen.sampling else None,
            callback=line.callback(),
            **_options(chosen),
        )
        seconds, stopped = _fit(mixture, table)
    if chosen.save is not None:  # at once: the rest may take a pass over the rows
        _save(mixture, table.names, chosen.save)
        vars(mixture).pop("feature_names_in_", None)
    summary = apply(mixture, table.values, chosen.output, proba=chosen.proba, score=chosen.score)
    stream = sys.stderr if chosen.output == "-" else sys.stdout
    source = "standard input" if chosen.file == "-" else chosen.file
    print(fit_report(mixture, table, summary.sizes, source, seconds), file=stream)
    if any(target not in (None, "-") for target in (chosen.output, chosen.save, chosen.plot)):
        print(file=stream)
    if chosen.output not in (None, "-"):
        print(f"labels: {os.path.abspath(chosen.output)}", file=stream)
    if chosen.save is not None:
        print(f"model: {os.path.abspath(chosen.save)}", file=stream)
    if chosen.plot is not None:
        _draw(chosen.plot, mixture, table.names, summary, stream)
    _end(stopped, f"after {counted(mixture.n_iter_, 'iteration')}")


def select_file(chosen: argparse.Namespace) -> None:
    """Compare mixtures of the chosen columns of a table, and write what was asked for."""
    check_targets(chosen, {"the table to fit": chosen.file})
    with progress() as line:
        table = _read(chosen, line)
        start = time.perf_counter()
        with _refusing("select"), contextlib.redirect_stdout(sys.stderr):
            stopped: BaseException | None = None
            try:
                selection = _select(chosen, table, line)
            except KeyboardInterrupt as signal:
                if not hasattr(signal, "selection"):
                    raise
                selection, stopped = signal.selection, signal
        seconds = time.perf_counter() - start
    rows, columns = table.values.shape
    source = "standard input" if chosen.file == "-" else chosen.file
    print(f"data       {source}: {counted(rows, 'row')}, {counted(columns, 'column')}")
    print(f"compared   {counted(len(selection.table_), 'candidate')} by {selection.criterion} in {seconds:.3g} s")
    print(f"best       {heading(selection.best_estimator_)}\n\n{selection}")
    if not chosen.output == chosen.save == chosen.plot is None:
        print()
    if chosen.output is not None:
        _write_candidates(selection, chosen.output)
    if chosen.save is not None:
        _save(selection.best_estimator_, table.names, chosen.save)
        print(f"model: {os.path.abspath(chosen.save)}")
    if chosen.plot is not None:
        save_picture(selection.plot(), chosen.plot)
        print(f"picture: {os.path.abspath(chosen.plot)}")
    _end(stopped, "before all candidates were compared")


def predict_file(chosen: argparse.Namespace) -> None:
    """Write labels, and what else was asked for, of the rows of a table under a saved mixture."""
    check_targets(chosen, {"the table to read": chosen.file, "the model": chosen.model})
    mixture = _load(chosen.model)
    names = vars(mixture).pop("feature_names_in_", ())  # arrays have none, and would be warned of
    mixture.set_params(n_threads=chosen.threads, missing=chosen.missing or mixture.missing)
    request = Request(
        chosen.columns,
        gaps=mixture.missing == "em",
        header=chosen.header,
        features=[str(name) for name in names],
        n_features=mixture.means_.shape[1],
    )
    with progress() as line:
        table = read_table(chosen.file, request=request, tell=line.tell)
    apply(mixture, table.values, chosen.output, proba=chosen.proba, score=chosen.score)
    if chosen.output != "-":
        print(f"labels: {os.path.abspath(chosen.output)}")


def show_model(chosen: argparse.Namespace) -> None:
    """Describe a saved mixture."""
    mixture = _load(chosen.model)
    names = getattr(mixture, "feature_names_in_", [f"column {i}" for i in range(1, mixture.means_.shape[1] + 1)])
    print(model_report(mixture, [str(name) for name in names], chosen.model))


# Steps of them


def _read(chosen: argparse.Namespace, line: Line) -> Table:
    """Read the chosen columns of a table."""
    request = Request(chosen.columns, chosen.weights, gaps=chosen.missing == "em", header=chosen.header)
    return read_table(chosen.file, request=request, tell=line.tell)


def _options(chosen: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments of an estimator that `fit` and `select` have in common."""
    options = {name: getattr(chosen, name) for name in SHARED if getattr(chosen, name) is not None}
    return {**options, "random_state": chosen.seed, "n_threads": chosen.threads}


def _fit(mixture: Any, table: Table) -> tuple[float, BaseException | None]:
    """Fit; return the seconds it took, and what has interrupted it after an iteration."""
    start, stopped = time.perf_counter(), None
    try:
        with _refusing("fit"):
            mixture.fit(table.values, sample_weight=table.weights)
    except KeyboardInterrupt as signal:
        if not hasattr(mixture, "means_"):
            raise
        stopped = signal
    mixture.callback = None
    return time.perf_counter() - start, stopped


def _select(chosen: argparse.Namespace, table: Table, line: Line) -> Selection:
    """Compare candidates."""
    return select(
        table.values,
        chosen.components,
        chosen.covariance_types,
        chosen.criterion,
        cv=chosen.folds,
        sample_weight=table.weights,
        verbose=int(line.seen),
        **_options(chosen),
    )


def _end(stopped: BaseException | None, when: str) -> None:
    """Say that what is there was interrupted, and end so."""
    if stopped is not None:
        sys.stdout.flush()
        print(f"fastgmm: interrupted {when}: what was asked for is made of the best so far", file=sys.stderr)
        raise stopped


@contextlib.contextmanager
def _refusing(what: str) -> Iterator[None]:
    """Turn errors into those of a command, and warnings into lines, but for those that the report repeats."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", SelectionWarning)
        try:
            yield
        except ValueError as error:
            raise CommandError(f"cannot {what}: {error}") from error
    for warning in caught:
        print("fastgmm: warning:", *str(warning.message).split(), file=sys.stderr)


def _save(mixture: Any, names: list[str], path: str) -> None:
    """Keep a mixture with the names of its columns."""
    mixture.feature_names_in_ = np.array(names, dtype=object)
    try:
        mixture.save(path)
    except (OSError, ValueError) as error:
        raise CommandError(f"cannot write {path}: {getattr(error, 'strerror', None) or error}") from error


def _load(path: str) -> Any:
    """Return a saved mixture."""
    try:
        return load(path)
    except OSError as error:
        raise CommandError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise CommandError(str(error)) from error


def _write_candidates(selection: Selection, path: str) -> None:
    """Write the table of all candidates as text, to a file or to the standard output, and say where."""
    with contextlib.ExitStack() as stack:
        stream = sys.stdout
        if path != "-":
            temporary = stack.enter_context(written(path))
            stream = stack.enter_context(open(temporary, "w", encoding="utf-8", newline=""))
        writer = csv.writer(stream, delimiter="\t" if path.lower().endswith(".tsv") else ",", lineterminator="\n")
        writer.writerow(selection.table_.dtype.names or ())
        writer.writerows(selection.table_.tolist())
    if path != "-":
        print(f"candidates: {os.path.abspath(path)}")


def _draw(path: str, mixture: Any, names: list[str], summary: Summary, stream: TextIO) -> None:
    """Draw the first two columns into a file, and say where."""
    try:
        display = plot_components(mixture, summary.sample, labels=summary.labels, feature_names=names)
    except ImportError as error:
        raise CommandError(str(error)) from error
    save_picture(display, path)
    print(f"picture: {os.path.abspath(path)}", file=stream)
