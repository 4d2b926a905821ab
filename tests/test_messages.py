"""No message grows with what users pass: values, names and shapes are quoted in part."""

from __future__ import annotations

import inspect
import os
import warnings
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from problems import run_python, table_of

import fastgmm
from fastgmm import GaussianMixture, sources
from fastgmm.cli import main
from fastgmm.text import listed, quoted, shortened

LONGEST = 500
X = np.random.default_rng(0).normal(size=(30, 2))


FOREIGN = ("dtype", "encoding", "encoding_errors")  # arguments that NumPy and Python refuse in their words


class Verbose:
    """An object that describes itself at length."""

    def __repr__(self) -> str:
        return "long " * 20_000


class Broken:
    """An object that cannot describe itself."""

    def __repr__(self) -> str:
        raise RuntimeError


HUGE: dict[str, Any] = {
    "text": "x" * 10_000,
    "bytes": b"x" * 10_000,
    "dict": {"a" * 10_000: 1, **{f"key {i}": [0.1] * 10 for i in range(1000)}},
    "list": [0.1] * 10_000,
    "words": ["w" * 10_000] * 3,
    "many words": [f"w{i}" for i in range(10_000)],
    "nested": [[[["x" * 10_000]]]],
    "set": set(range(10_000)),
    "negative": -(10**4000),
    "int without text": -(10**5000),
    "array": np.full(10_000, 0.5),
    "texts": np.full(100, "x" * 1000),
    "objects": np.array([[Verbose()] * 5], dtype=object),
    "records": np.zeros(3, [(f"f{i}", "f8") for i in range(1000)]),
    "deep": np.zeros((1,) * 60),
    "verbose": Verbose(),
    "broken": Broken(),
}
ROWS = HUGE | {f"table of {name}": [[value, 1], [2, 3]] for name, value in HUGE.items()}
GIVEN: dict[str, Any] = {  # arguments that need a value
    "X": X,
    "values": [0.0],
    "features": [0],
    "targets": 1,
    "weights": [0.5, 0.5],
    "means": X[:2],
    "covariances": [np.eye(2)] * 2,
    "chunks": [X],
    "array": X,
}


def too_long(call: Callable[[], Any]) -> str:
    """What is too long of an exception or warning of a call; nothing if it has none, or short ones."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        said = []
        try:
            call()
        except OSError:  # the system's words for paths
            pass
        except Exception as error:
            said.append(str(error))
    return "".join(text[:200] for text in [*said, *(str(warning.message) for warning in caught)] if len(text) > LONGEST)


FEW = ("text", "dict", "many words", "int without text", "records", "deep", "verbose")


def calls(function: Callable[..., Any], given: dict[str, Any]) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Calls of a function that has one of its arguments huge."""
    arguments = inspect.signature(function).parameters.values()
    needed = {arg.name: given.get(arg.name, X) for arg in arguments if arg.default is arg.empty}
    for argument in arguments:
        if argument.kind in (argument.VAR_KEYWORD, argument.VAR_POSITIONAL) or argument.name in FOREIGN:
            continue
        for name, value in ((name, HUGE[name]) for name in FEW):
            named = {**needed, argument.name: value}
            yield f"{argument.name}={name}", lambda named=named: function(**named)


def assert_short(found: Iterator[tuple[str, Callable[[], Any]]]) -> None:
    """No call says too much."""
    assert {name: text for name, call in found if (text := too_long(call))} == {}


def test_arguments_of_the_constructor() -> None:
    """Whatever is passed to the constructor."""
    arguments = inspect.signature(GaussianMixture).parameters
    assert_short(
        (f"{name}={kind}", lambda name=name, value=value: GaussianMixture(**{name: value}).fit(X))
        for name in arguments
        for kind, value in HUGE.items()
    )
    assert too_long(lambda: GaussianMixture().set_params(**{"z" * 10_000: 1})) == ""
    assert too_long(lambda: GaussianMixture(means_init=Verbose()).set_params(**{"z" * 10_000: 1})) == ""


def test_rows_and_weights() -> None:
    """Whatever is passed as rows, as chunks, as weights, or to predict."""
    model, named = (
        GaussianMixture().fit(X),
        GaussianMixture().fit(table_of("pandas", **{"a" * 10_000: X[:, 0], "b": X[:, 1]})),
    )
    assert_short((f"fit {kind}", lambda value=value: GaussianMixture().fit(value)) for kind, value in ROWS.items())
    assert_short((f"predict {kind}", lambda value=value: model.predict(value)) for kind, value in ROWS.items())
    assert_short((f"named {kind}", lambda value=value: named.predict(value)) for kind, value in ROWS.items())
    chunks = {kind: sources.from_chunks([value]) for kind, value in ROWS.items()}
    assert_short((f"chunks {kind}", lambda value=value: GaussianMixture().fit(value)) for kind, value in chunks.items())
    assert_short(
        (f"weights {kind}", lambda value=value: GaussianMixture().fit(X, sample_weight=value))
        for kind, value in HUGE.items()
    )


def test_methods() -> None:
    """Whatever is passed to a method of a fitted mixture."""
    model = GaussianMixture(2, random_state=0).fit(X)
    for name in dir(GaussianMixture):
        method = getattr(deepcopy(model), name)
        if not name.startswith("_") and inspect.ismethod(method) and name not in ("save", "load", "set_params"):
            assert_short((f"{name} {what}", call) for what, call in calls(method, GIVEN))


def test_functions() -> None:
    """Whatever is passed to a public function."""
    model = GaussianMixture(2, random_state=0).fit(X)
    of_rows = fastgmm.statistics(model, X)
    given = GIVEN | {"mixture": model, "statistics": of_rows, "first": of_rows, "path": os.__file__}
    functions = [
        fastgmm.statistics,
        fastgmm.maximize,
        fastgmm.merge,
        of_rows.merge,
        sources.from_chunks,
        sources.from_array,
    ]
    for function in [*functions, sources.from_csv]:
        assert_short((f"{function.__name__} {what}", call) for what, call in calls(function, given))
    chosen = {"n_components": [1], "covariance_types": ["diag"], "n_init": 1}
    for name in ("n_components", "covariance_types", "criterion", "cv", "n_init", "random_state", "init_params"):
        for kind, value in HUGE.items():
            options: dict[str, Any] = chosen | {name: value}
            assert too_long(lambda options=options: fastgmm.select(X, **options)) == "", (name, kind)


def test_attributes_set_by_hand() -> None:
    """Whatever is put into a fitted attribute."""
    fitted = GaussianMixture(2, random_state=0).fit(X)
    for attribute in (
        "weights_",
        "means_",
        "covariances_",
        "precisions_cholesky_",
        "n_features_in_",
        "feature_names_in_",
    ):
        for kind, value in HUGE.items():
            model = deepcopy(fitted)
            setattr(model, attribute, value)
            for call in (lambda m=model: m.predict(X), lambda m=model: m.sample(), lambda m=model: m.save(os.devnull)):
                assert too_long(call) == "", (attribute, kind)


def test_pictures() -> None:
    """Whatever is passed to plotting."""
    pytest.importorskip("matplotlib")
    plotting = pytest.importorskip("fastgmm.plotting")
    model = GaussianMixture(2, random_state=0).fit(X)
    for name in ("features", "feature_names", "labels"):
        for kind, value in HUGE.items():
            options: dict[str, Any] = {name: value}
            assert too_long(lambda options=options: plotting.plot_components(model, X, **options)) == "", (name, kind)
    for kind, value in HUGE.items():
        assert too_long(lambda value=value: plotting.DensityDisplay.from_estimator(model, X, masses=value)) == "", kind


def test_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Paths, options, cells and names of ten thousand characters, and as many names."""
    word, table = "w" * 10_000, tmp_path / "table.csv"
    tables = [
        f"{word},b\n1,2\n3,4\n{word},5\n",
        f"a,b\n1,{word}\n2,{word}\n",
        f"{word},b\n1,2\nx,4\n",
        ",".join(f"{word[:50]}{i}" for i in range(2000)) + "\n" + ",".join("x" * 2000) + "\n",
        "," + ",".join(map(str, range(3000))) + "\n" + ",".join(["0.5"] * 3001) + "\n",
        ",".join(map(str, range(3000))) + "\n" + ",".join(["0.5"] * 3000) + "\n",
        f"# {word}\n",
    ]
    commands = [
        ["fit", word, "-k", "1"],
        ["fit", f"{word}/{word}", "-k", "1"],
        ["show", word],
        ["fit", "x", "-k", word],
        [word],
    ]
    for text in tables:
        table.write_text(text)
        for extra in (
            [],
            ["--columns", word],
            ["--weights", word],
            ["--no-header"],
            ["--output", f"{tmp_path}/{word}.csv"],
        ):
            main(["fit", str(table), "-k", "2", "--covariance-type", "diag", *extra])
            assert all(len(line) <= LONGEST for line in capsys.readouterr().err.split("\n")), (text[:50], extra)
    for command in commands:
        assert main(command) == 2
        assert len(capsys.readouterr().err) <= LONGEST


@pytest.mark.parametrize("variable", ["OMP_NUM_THREADS", "FASTGMM_NUM_THREADS"])
def test_odd_numbers_of_threads(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the environment says, there are threads, and rows are fitted."""
    from fastgmm.sources.threads import default_n_threads

    for name in ("OMP_NUM_THREADS", "FASTGMM_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    usual = default_n_threads()
    for value, expected in {
        "²": usual, "": usual, " ": usual, "-1": usual, "0": usual, "1e3": usual, "many": usual, "1.5": usual,
        ",": usual, "9" * 5000: usual, "３": 3, " 3 ": 3, "4,2": 4, "04": 4, " 5 , 6": 5,
    }.items():  # fmt: skip
        monkeypatch.setenv(variable, value)
        assert default_n_threads() == expected, value
        assert GaussianMixture().fit(X).converged_


def test_blank_variant() -> None:
    """A blank FASTGMM_SIMD is none; a wrong one is refused in few words."""
    assert run_python("-c", "import fastgmm", environment={"FASTGMM_SIMD": " "}).returncode == 0
    code = (
        "try:\n import fastgmm\nexcept ImportError as error: assert len(str(error)) <= 500, error\nelse: assert False"
    )
    assert run_python("-c", code, environment={"FASTGMM_SIMD": "x" * 10_000}).returncode == 0


def test_cutting() -> None:
    """Short values stay as they are; long ones keep both ends, on one line, within the limit."""
    for value in ("abc", 1.5, [1, "two"], {"a": None}, (), np.float64(2), None, True):
        assert quoted(value) == repr(value)
    for value in HUGE.values():
        for most in (20, 80, 200):
            assert len(quoted(value, most)) <= most
            assert len(shortened(quoted(value, 1000), most)) <= most
    assert shortened("a\n  b\tc") == "a b c"
    assert shortened("begin " + "x" * 1000 + " end").startswith("begin ")
    assert shortened("begin " + "x" * 1000 + " end").endswith(" end")
    assert listed(["a", "b"]) == "a, b"
    assert len(listed(f"name {i}" for i in range(10_000))) <= 130
    assert len(listed(["x" * 10_000] * 10)) <= 130
