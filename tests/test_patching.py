"""patch_sklearn: scikit-learn's mixtures answered by fastgmm, for code that has imported them, and undone."""

from __future__ import annotations

import copy
import copyreg
import functools
import inspect
import logging
import os
import pickle
import re
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from problems import Array, interrupt, run_python

import fastgmm
from fastgmm.cli import main
from fastgmm.patching import may_hold
from fastgmm.patching.stand_ins import stand_in

sklearn = pytest.importorskip("sklearn")
mixture = pytest.importorskip("sklearn.mixture")

from sklearn.base import BaseEstimator, clone  # noqa: E402
from sklearn.model_selection import GridSearchCV  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402
from sklearn.utils import estimator_checks  # noqa: E402

ORIGINALS = {"GaussianMixture": mixture.GaussianMixture, "BayesianGaussianMixture": mixture.BayesianGaussianMixture}
NAMES = list(ORIGINALS)
DEFINED = {name: sys.modules[kind.__module__] for name, kind in ORIGINALS.items()}


@pytest.fixture(scope="module")
def X() -> Array:
    """Two groups."""
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(size=(60, 2)), rng.normal(size=(40, 2)) + 6])


@pytest.fixture
def patched() -> Iterator[None]:
    """scikit-learn is patched for the time of a test."""
    with fastgmm.patch_sklearn():
        yield


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged of patching, by lines."""
    words = "left to scikit-learn", "fastgmm's now", "scikit-learn's again"
    return [r.getMessage() for r in caplog.records if any(word in r.getMessage() for word in words)]


# Places -----------------------------------------------------------------------------------------------------------


def test_names_are_replaced_and_put_back(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Attributes of modules are replaced, under any name; one line tells where; afterwards all is as it was."""
    module = ModuleType("imported_before")
    module.Mixture, module.kept = mixture.GaussianMixture, {"in": [mixture.GaussianMixture]}  # type: ignore[attr-defined]
    vars(module)["rows"] = np.zeros((3, 2))  # which == with a class compares number by number
    monkeypatch.setitem(sys.modules, "imported_before", module)
    before = dict(vars(mixture)), dict(copyreg.dispatch_table)
    with caplog.at_level(logging.INFO, "fastgmm"), fastgmm.patch_sklearn():
        for name, original in ORIGINALS.items():
            kind = getattr(mixture, name)
            assert kind is not original
            assert kind is getattr(DEFINED[name], name)
            assert issubclass(kind, original)
        assert module.Mixture is mixture.GaussianMixture  # type: ignore[attr-defined]
        assert module.kept == {"in": [ORIGINALS["GaussianMixture"]]}  # type: ignore[attr-defined]
        told = messages(caplog)
    assert len(told) == 1
    told_places = re.search(r"are fastgmm's now, in (\d+) modules: \w", told[0])
    assert told_places is not None and int(told_places[1]) >= 4
    assert (dict(vars(mixture)), dict(copyreg.dispatch_table)) == before
    assert module.Mixture is ORIGINALS["GaussianMixture"]  # type: ignore[attr-defined]
    assert all(getattr(DEFINED[name], name) is original for name, original in ORIGINALS.items())


def test_every_place_of_sklearn() -> None:
    """Whatever module of scikit-learn's own names the classes is looked into, and no other is named by the rule."""
    sklearn = Path(mixture.__file__).parents[1]
    named = [path for path in sklearn.rglob("*.py") if "GaussianMixture" in path.read_text("utf-8")]
    paths = [path.relative_to(sklearn).with_suffix("") for path in named]
    names = {".".join(("sklearn", *path.parts)).removesuffix(".__init__") for path in paths}
    assert "sklearn.mixture" in names
    assert [name for name in sorted(names) if not may_hold(name)] == []
    assert not any(map(may_hold, ("numpy.random", "os.path", "scipy", "sklearn.cluster._kmeans", "fastgmm.patching")))
    assert all(map(may_hold, ("__main__", "sklearn", "skl2onnx._supported_operators", "pyod.models.gmm")))


def test_idempotent() -> None:
    """Patching twice is patching once, and who comes second undoes nothing."""
    patch = fastgmm.patch_sklearn()
    kind = mixture.GaussianMixture
    with fastgmm.patch_sklearn():
        assert mixture.GaussianMixture is kind
    assert mixture.GaussianMixture is kind
    assert "are fastgmm's" in repr(patch)
    fastgmm.unpatch_sklearn()
    fastgmm.unpatch_sklearn()
    assert mixture.GaussianMixture is ORIGINALS["GaussianMixture"]
    assert "are not fastgmm's" in repr(patch)
    with patch:  # once more
        assert mixture.GaussianMixture is not ORIGINALS["GaussianMixture"]
    assert mixture.GaussianMixture is ORIGINALS["GaussianMixture"]


def test_blocks_that_overlap() -> None:
    """The classes stand in until the last block ends, in whatever order they do; what is over undoes nothing newer."""
    first, second = fastgmm.patch_sklearn(), fastgmm.patch_sklearn()
    with second:
        with first:
            pass
        assert mixture.GaussianMixture is not ORIGINALS["GaussianMixture"]
    assert mixture.GaussianMixture is ORIGINALS["GaussianMixture"]
    over = fastgmm.patch_sklearn()
    fastgmm.unpatch_sklearn()
    fastgmm.patch_sklearn()
    with over:
        pass
    assert mixture.GaussianMixture is not ORIGINALS["GaussianMixture"]
    with over, over:
        fastgmm.unpatch_sklearn()
        assert mixture.GaussianMixture is ORIGINALS["GaussianMixture"]
    assert mixture.GaussianMixture is ORIGINALS["GaussianMixture"]


def test_undone_after_errors() -> None:
    """An error within the block goes through, and leaves nothing behind."""
    with pytest.raises(KeyError), fastgmm.patch_sklearn():
        raise KeyError
    assert mixture.GaussianMixture is ORIGINALS["GaussianMixture"]


def test_threads_may_patch_at_once() -> None:
    """Many threads patch and undo at once; the end is one of the two states, whole."""
    threads = [threading.Thread(target=work) for work in (fastgmm.patch_sklearn, fastgmm.unpatch_sklearn) * 10]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    fastgmm.unpatch_sklearn()
    assert [getattr(mixture, name) for name in NAMES] == list(ORIGINALS.values())


def test_sklearn_is_imported_by_patching_alone() -> None:
    """Neither importing fastgmm nor undoing what nobody did imports scikit-learn."""
    code = (
        "import sys, fastgmm; fastgmm.unpatch_sklearn(); assert 'sklearn' not in sys.modules\n"
        "fastgmm.patch_sklearn(); from sklearn.mixture import GaussianMixture as G\n"
        "assert 'predict' in vars(G) and 'logging' in sys.modules"
    )
    run_python("-c", code, check=True)


def test_without_sklearn() -> None:
    """Where scikit-learn is missing the error says how to get it, on the command line in one line."""
    code = "import sys; sys.modules['sklearn'] = None; import fastgmm; {}"
    done = run_python("-c", code.format("fastgmm.patch_sklearn()"))
    assert "ImportError: patch_sklearn needs scikit-learn 1.6 or later: pip install 'fastgmm[sklearn]'" in done.stderr
    done = run_python("-c", code.format(f"from fastgmm.cli import main; sys.exit(main(['run', {__file__!r}]))"))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("fastgmm: error: patch_sklearn needs")


# What stands in looks like what it stands for ---------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_appearance(patched: None, name: str) -> None:
    """Names, signatures, documentation, arguments and representation are scikit-learn's."""
    kind, original = getattr(mixture, name), ORIGINALS[name]
    assert (kind.__name__, kind.__qualname__, kind.__module__) == (name, name, original.__module__)
    assert kind.__doc__ == original.__doc__
    assert inspect.signature(kind) == inspect.signature(original)
    for method in ("fit", "fit_predict", "predict", "predict_proba", "score_samples"):
        ours, theirs = getattr(kind, method), getattr(original, method)
        assert ours is not theirs
        assert inspect.signature(ours) == inspect.signature(theirs)
        assert (ours.__doc__, ours.__qualname__) == (theirs.__doc__, theirs.__qualname__)
    model = kind(n_components=3, random_state=1, tol=0.5)
    assert repr(model) == repr(original(n_components=3, random_state=1, tol=0.5))
    assert model.get_params() == original(n_components=3, random_state=1, tol=0.5).get_params()
    assert type(clone(model)) is kind
    assert model._repr_html_()


@pytest.mark.parametrize("name", NAMES)
def test_instances_and_subclasses(name: str) -> None:
    """isinstance and issubclass hold both ways while patched; before and after, fastgmm's own class is another."""
    original, plain = ORIGINALS[name], getattr(fastgmm, name)
    other = ORIGINALS[NAMES[1 - NAMES.index(name)]]
    assert not isinstance(plain(), original)
    with fastgmm.patch_sklearn():
        kind = getattr(mixture, name)
        for model in (kind(), original(), plain()):
            assert isinstance(model, kind) and isinstance(model, original)
            assert issubclass(type(model), kind) and issubclass(type(model), original)
            assert not isinstance(model, other)
        for stranger in (StandardScaler(), other()):
            assert not isinstance(stranger, kind) and not isinstance(stranger, original)
        derived = type("Derived", (kind,), {})
        assert not isinstance(original(), derived) and not isinstance(plain(), derived)
        assert isinstance(derived(), kind) and isinstance(derived(), original)
    assert not isinstance(plain(), original) and not isinstance(original(), kind)
    assert isinstance(kind(), original)


@pytest.mark.parametrize("name", NAMES)
def test_estimator_checks(patched: None, name: str) -> None:
    """scikit-learn's own checks of estimators pass."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = estimator_checks.check_estimator(getattr(mixture, name)(), on_fail=None, on_skip=None)
    assert len(found) > 40
    assert [check["check_name"] for check in found if check["status"] == "failed"] == []


# Results ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("structure", ["full", "tied", "diag", "spherical"])
@pytest.mark.parametrize("kind_of_rows", [np.float64, np.float32])
def test_results_of_fits(
    name: str, structure: str, kind_of_rows: Any, X: Array, caplog: pytest.LogCaptureFixture
) -> None:
    """From one start, all attributes and answers equal scikit-learn's to rounding, in the same types."""
    X = np.concatenate([X, X + np.array([0, 12])]).astype(kind_of_rows)
    options: dict[str, Any] = {"n_components": 4, "covariance_type": structure, "random_state": 0, "max_iter": 400}
    options |= {"tol": 1e-9, "init_params": "random_from_data"}
    if name == "GaussianMixture":
        shapes = {"full": np.eye(2)[np.newaxis].repeat(4, 0), "tied": np.eye(2), "diag": np.ones((4, 2))}
        options["precisions_init"] = shapes.get(structure, np.ones(4)).astype(kind_of_rows)
        options["weights_init"] = np.full(4, 0.25, kind_of_rows)
        options["means_init"] = np.array([[0, 0], [6, 6], [0, 12], [6, 18]], kind_of_rows)
    theirs = ORIGINALS[name](**options).fit(X)
    with fastgmm.patch_sklearn():
        ours = getattr(mixture, name)(**options)
        if name == "BayesianGaussianMixture":  # no means can be given: both go on from where scikit-learn has got
            vars(ours).update(copy.deepcopy(vars(theirs)) | {"warm_start": True})
        assert theirs_alone(caplog, lambda: ours.fit(X)) == []
    single = kind_of_rows == np.float32
    rtol = {"rtol": 2e-2 if single else 1e-5, "atol": 2e-3 if single else 1e-6}
    assert vars(ours).keys() == vars(theirs).keys()
    for attribute, value in vars(theirs).items():
        if attribute.endswith("_") and attribute not in ("n_iter_", "lower_bounds_", "converged_"):
            np.testing.assert_allclose(getattr(ours, attribute), value, err_msg=attribute, **rtol)
            if attribute != "lower_bound_":  # an array of one in scikit-learn where a posterior is shared
                assert np.shape(getattr(ours, attribute)) == np.shape(value)
    assert {type(vars(ours)[key]) for key in ("converged_", "n_iter_")} == {bool, int}
    assert isinstance(ours.lower_bounds_, list) and len(ours.lower_bounds_) == ours.n_iter_
    for rows in (X, X.astype(np.float64), X.astype(np.float32), X.tolist()):
        for method in ("predict", "predict_proba", "score_samples"):
            answer, expected = getattr(ours, method)(rows), getattr(theirs, method)(rows)
            assert type(answer) is np.ndarray
            np.testing.assert_allclose(answer, expected, rtol=5e-2 if single else 1e-4, atol=5e-3 if single else 1e-4)
            if name == "GaussianMixture":
                assert answer.dtype == expected.dtype
    assert ours.score(X) == pytest.approx(theirs.score(X), rel=1e-3)
    assert [len(part) for part in ours.sample(5)] == [5, 5]


def test_work_is_fastgmms(patched: None, X: Array, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fits and answers never reach scikit-learn's steps, in pipelines and searches either."""
    rows, given = X[:4], clone(mixture.GaussianMixture(2, random_state=0))
    for module in DEFINED.values():
        monkeypatch.setattr(module, "_estimate_gaussian_parameters", interrupt)
        monkeypatch.setattr(module, "_estimate_log_gaussian_prob", interrupt)
    for model in (given, mixture.BayesianGaussianMixture(n_components=2, random_state=0)):
        model.fit(X)
        model.fit_predict(X)
        model.predict(rows), model.predict_proba(rows), model.score_samples(rows), model.score(rows)
        make_pipeline(StandardScaler(), model).fit(X).predict(rows)
    given.bic(X), given.aic(X), given.sample()
    mixed = np.random.default_rng(1).permutation(X)
    search = GridSearchCV(mixture.GaussianMixture(random_state=0), {"n_components": [1, 2]}, cv=2).fit(mixed)
    assert search.best_params_ == {"n_components": 2}
    assert type(search.best_estimator_) is mixture.GaussianMixture


def test_tables(patched: None, X: Array) -> None:
    """Names of columns are kept, compared and forgotten as in scikit-learn."""
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(X, columns=["a", "b"])
    model = mixture.GaussianMixture(2, random_state=0).fit(table)
    assert list(model.feature_names_in_) == ["a", "b"]
    np.testing.assert_array_equal(model.predict(table), model.predict(table.astype(object)))
    with pytest.warns(UserWarning, match="X does not have valid feature names, but GaussianMixture was fitted with"):
        model.predict(X)
    with pytest.raises(ValueError, match="The feature names should match"):
        model.predict(table[["b", "a"]])
    assert not hasattr(model.fit(X), "feature_names_in_")
    with pytest.warns(UserWarning, match="X has feature names, but GaussianMixture was fitted without feature names"):
        model.predict(table)


def test_warm_start(patched: None, X: Array) -> None:
    """A fit goes on where the last one ended, and counts anew."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = mixture.GaussianMixture(2, random_state=3, max_iter=4, tol=0).fit(X)
        parts = mixture.GaussianMixture(2, random_state=3, max_iter=2, tol=0, warm_start=True).fit(X).fit(X)
    np.testing.assert_allclose(parts.means_, whole.means_, rtol=1e-12)
    assert parts.n_iter_ == 2


def test_interrupted(patched: None, X: Array, monkeypatch: pytest.MonkeyPatch) -> None:
    """What Ctrl-C leaves in fastgmm's estimator is in the model."""

    def stopped(estimator: Any, rows: Any) -> None:
        estimator.weights_ = np.ones(1)
        raise KeyboardInterrupt

    monkeypatch.setattr(fastgmm.GaussianMixture, "fit", stopped)
    model = mixture.GaussianMixture()
    with pytest.raises(KeyboardInterrupt):
        model.fit(X)
    assert model.weights_ == [1.0]


def test_parameters_set_by_hand(patched: None, X: Array) -> None:
    """A mixture made by hand answers, and private functions of scikit-learn serve it."""
    model = mixture.GaussianMixture(2, covariance_type="spherical")
    model.weights_, model.means_, model.covariances_ = np.ones(2) / 2, X[[0, -1]], np.ones(2)
    model.precisions_cholesky_ = np.ones(2)
    np.testing.assert_allclose(model._estimate_log_prob_resp(X)[0], model.score_samples(X), rtol=1e-12)
    assert model._n_parameters() == 7


# What is left to scikit-learn -------------------------------------------------------------------------------------


def theirs_alone(caplog: pytest.LogCaptureFixture, call: Any) -> list[str]:
    """What is logged while scikit-learn does the work, which it is seen to do."""
    caplog.clear()
    with caplog.at_level(logging.INFO, "fastgmm"):
        call()
    return messages(caplog)


@pytest.mark.parametrize("step", ["_m_step", "_initialize", "_initialize_parameters", "_e_step", "_n_parameters"])
def test_subclass_with_steps(patched: None, X: Array, step: str, caplog: pytest.LogCaptureFixture) -> None:
    """A subclass with a private step of its own is scikit-learn's through and through, with one line for each call."""
    calls = []
    inherited = getattr(ORIGINALS["GaussianMixture"], step)

    @functools.wraps(inherited)
    def own(self: Any, *arguments: Any, **others: Any) -> Any:
        calls.append(step)
        return inherited(self, *arguments, **others)

    kind = type("Mine", (mixture.GaussianMixture,), {step: own, "__module__": __name__})
    expected = ORIGINALS["GaussianMixture"](2, random_state=0).fit(X)
    model = kind(2, random_state=0)
    told = theirs_alone(caplog, lambda: model.fit(X))
    model.bic(X)
    assert calls
    assert told == ["Mine.fit is left to scikit-learn: it has private steps of its own"]
    np.testing.assert_array_equal(model.means_, expected.means_)
    np.testing.assert_array_equal(model.score_samples(X), expected.score_samples(X))


def test_steps_of_instances_and_of_the_class(
    patched: None, X: Array, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A step replaced on an instance, or on the class, counts too."""
    calls = []
    model = mixture.GaussianMixture(2, random_state=0)
    model._n_parameters = lambda: 3
    assert len(theirs_alone(caplog, lambda: model.fit(X))) == 1
    inherited = mixture.GaussianMixture._m_step
    monkeypatch.setattr(
        mixture.GaussianMixture, "_m_step", lambda self, *a, **k: (calls.append(0), inherited(self, *a, **k))[1]
    )
    assert len(theirs_alone(caplog, lambda: mixture.GaussianMixture(2).fit(X))) == 1
    assert calls


def test_subclass_without_steps(patched: None, X: Array, caplog: pytest.LogCaptureFixture) -> None:
    """A subclass with public methods of its own is fastgmm's; its fit_predict serves its fit."""

    class Mine(mixture.GaussianMixture):  # type: ignore[misc,name-defined]
        def __init__(self, noise: float = 3.0, *, random_state: int | None = None) -> None:
            super().__init__(2, random_state=random_state)
            self.noise = noise  # fastgmm's word for something else

        def fit_predict(self, X: Any, y: Any = None) -> Any:
            self.called = True
            return super().fit_predict(X, y)

    def work() -> None:
        model = Mine(random_state=0).fit(X)
        assert model.called
        assert (np.bincount(model.predict(X)) == [60, 40]).all() or (np.bincount(model.predict(X)) == [40, 60]).all()
        assert type(clone(model)) is Mine

    assert theirs_alone(caplog, work) == []


def test_subclass_from_before(X: Array, caplog: pytest.LogCaptureFixture) -> None:
    """A class derived before stays scikit-learn's, and is an instance of what stands in."""

    class Before(mixture.GaussianMixture):  # type: ignore[misc,name-defined]
        pass

    with fastgmm.patch_sklearn():
        model = Before(2, random_state=0).fit(X)
        assert isinstance(model, mixture.GaussianMixture)
    np.testing.assert_array_equal(model.means_, ORIGINALS["GaussianMixture"](2, random_state=0).fit(X).means_)


@pytest.mark.parametrize("name", NAMES)
def test_refused_values(patched: None, name: str, X: Array, caplog: pytest.LogCaptureFixture) -> None:
    """Errors are scikit-learn's, in its words, also for values that fastgmm's own estimators take."""
    options: list[dict[str, Any]] = [
        {"n_components": 0},
        {"covariance_type": "EII"},
        {"reg_covar": "auto"},
        {"n_init": "auto"},
        {"init_params": "best"},
        {"init_params": lambda *_: X[:1]},
        {"random_state": np.random.default_rng(0)},
        {"n_components": 1000},
    ]
    for option in options:
        with pytest.raises(ValueError) as expected:
            ORIGINALS[name](**option).fit(X)
        model = getattr(mixture, name)(**option)
        told = theirs_alone(caplog, lambda model=model, expected=expected: same_error(model.fit, X, expected.value))
        assert len(told) == 1
        assert f"{name}.fit is left to scikit-learn: " in told[0]


def same_error(call: Any, X: Any, expected: BaseException) -> None:
    """The call raises the same error."""
    with pytest.raises(type(expected)) as caught:
        call(X)
    assert str(caught.value) == str(expected)
    assert caught.value.__context__ is None or "fastgmm" not in str(caught.traceback[-1].path)


@pytest.mark.parametrize("X", [[[np.nan], [1.0]], [[1j], [2.0]], [["a"], ["b"]], [1.0, 2.0], [[1.0]], np.ones((2, 0))])
def test_refused_rows(patched: None, X: Any) -> None:
    """Errors of rows are scikit-learn's."""
    for rows in (X, np.asarray(X)):
        with pytest.raises((ValueError, TypeError)) as expected:
            ORIGINALS["GaussianMixture"]().fit(rows)
        same_error(mixture.GaussianMixture().fit, rows, expected.value)
        fitted = mixture.GaussianMixture().fit([[0.0], [1.0], [3.0]])
        try:
            answer = ORIGINALS["GaussianMixture"]().fit([[0.0], [1.0], [3.0]]).score_samples(rows)
        except (ValueError, TypeError) as error:
            same_error(fitted.score_samples, rows, error)
        else:
            np.testing.assert_allclose(fitted.score_samples(rows), answer)
    with pytest.raises(sklearn.exceptions.NotFittedError):
        mixture.GaussianMixture().predict(X)


def test_collapse(patched: None, caplog: pytest.LogCaptureFixture) -> None:
    """Where a component collapses, scikit-learn has its say: an error, or a fit that it can make."""
    X = np.repeat([[0.0, 0.0], [1.0, 1.0]], 5, axis=0)
    for structure in ("full", "tied", "diag", "spherical"):
        model = mixture.GaussianMixture(4, covariance_type=structure, reg_covar=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with pytest.raises(ValueError, match="Fitting the mixture model failed because"):
                model.fit(X)
            assert model.set_params(reg_covar=1e-6).fit(X).converged_


class FutureMixture(mixture.GaussianMixture):  # type: ignore[misc,name-defined]
    """scikit-learn's class of a version to come, with an argument more."""

    def __init__(self, n_components: int = 1, *, random_state: Any = None, covariance_prior: Any = None) -> None:
        super().__init__(n_components, random_state=random_state)
        self.covariance_prior = covariance_prior


def test_arguments_that_fastgmm_lacks(X: Array, caplog: pytest.LogCaptureFixture) -> None:
    """An argument of a later scikit-learn is of no matter until it is used."""
    kind = stand_in(FutureMixture, fastgmm.GaussianMixture, {})
    assert theirs_alone(caplog, lambda: kind(2).fit(X).predict(X)) == []
    told = theirs_alone(caplog, lambda: kind(2, covariance_prior=1.0).fit(X))
    assert told == ["FutureMixture.fit is left to scikit-learn: fastgmm has no covariance_prior"]


def test_array_api(patched: None, X: Array, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """While arrays are dispatched on, calls are scikit-learn's, and what is given comes out of it, NumPy's too."""
    seen = []
    for method in ("fit_predict", "predict"):
        own = staticmethod(lambda model, rows, *_, method=method: seen.append((method, type(rows))))
        monkeypatch.setattr(ORIGINALS["GaussianMixture"], method, own)
    kind = stand_in(ORIGINALS["GaussianMixture"], fastgmm.GaussianMixture, {})

    class Tensor(list[Any]):
        """Rows of another library."""

    model = kind(2, random_state=0)
    with sklearn.config_context():
        state = sklearn._config._get_threadlocal_config()
        state["array_api_dispatch"] = True  # for which sklearn.set_config wants more libraries
        told = [
            theirs_alone(caplog, lambda rows=rows: (model.fit(rows), model.predict(rows))) for rows in (Tensor(), X)
        ]
    assert seen == [(method, kind) for kind in (Tensor, np.ndarray) for method in ("fit_predict", "predict")]
    why = "is left to scikit-learn: array_api_dispatch is on"
    assert told == [[f"GaussianMixture.{method} {why}" for method in ("fit", "predict")]] * 2
    assert theirs_alone(caplog, lambda: kind(2).fit(X)) == []


def test_singular_rows(patched: None, X: Array, caplog: pytest.LogCaptureFixture) -> None:
    """Where scikit-learn takes a singular prior from rows that fastgmm would repair, the fit is scikit-learn's."""
    rows = np.column_stack([X, X[:, 0]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = mixture.BayesianGaussianMixture(random_state=0)
        told = theirs_alone(caplog, lambda: model.fit(rows))
    assert told == ["BayesianGaussianMixture.fit is left to scikit-learn: The covariance of the rows, which is the "
                    "prior's, is singular."]  # fmt: skip
    own = ORIGINALS["BayesianGaussianMixture"](random_state=0).fit(rows)
    assert model.lower_bound_ == own.lower_bound_
    np.testing.assert_array_equal(model.covariance_prior_, own.covariance_prior_)


def test_unknown_types_of_rows(patched: None, X: Array) -> None:
    """Rows of any type that scikit-learn converts are fitted."""
    expected = mixture.GaussianMixture(2, random_state=0).fit(X.round())
    for kind in (np.int16, np.longdouble, np.float16, object, ">f8"):
        model = mixture.GaussianMixture(2, random_state=0).fit(X.round().astype(kind))
        np.testing.assert_allclose(model.means_, expected.means_)
        assert (model.predict(X.round().astype(kind)) == expected.predict(X.round())).all()


# Pickles and copies -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("protocol", [0, 2, pickle.HIGHEST_PROTOCOL])
def test_pickles(name: str, protocol: int, X: Array) -> None:
    """Pickles are scikit-learn's, whichever class the model is of, and become what has the name when they are read."""
    original = ORIGINALS[name]
    before = original(n_components=2, random_state=0).fit(X)
    old = pickle.dumps(before, protocol)
    with fastgmm.patch_sklearn():
        kind = getattr(mixture, name)
        model = kind(n_components=2, random_state=0).fit(X)
        written = [pickle.dumps(model, protocol), pickle.dumps(before, protocol), old]
        for data in written:
            assert type(pickle.loads(data)) is kind
        np.testing.assert_allclose(pickle.loads(old).score_samples(X), before.score_samples(X), rtol=1e-9)
        assert type(copy.copy(model)) is type(copy.deepcopy(model)) is kind
        assert vars(copy.deepcopy(model)).keys() == vars(model).keys()
    written.append(pickle.dumps(model, protocol))
    for data in written:
        assert b"fastgmm" not in data
        assert type(pickle.loads(data)) is original
    assert type(copy.deepcopy(model)) is original
    np.testing.assert_allclose(copy.copy(model).score_samples(X), model.score_samples(X), rtol=1e-9)


def test_pickle_read_where_nothing_is_patched(patched: None, X: Array, tmp_path: Path) -> None:
    """A patched model is read by a process that knows nothing of fastgmm, without a warning."""
    model = mixture.GaussianMixture(2, random_state=0).fit(X)
    (tmp_path / "model.pickle").write_bytes(pickle.dumps((model, X, model.predict(X))))
    code = (
        "import pickle, sys, warnings; warnings.simplefilter('error')\n"
        "model, X, labels = pickle.load(open(sys.argv[1], 'rb'))\n"
        "assert (model.predict(X) == labels).all() and 'fastgmm' not in sys.modules\n"
        "assert 'predict' not in vars(type(model)), type(model)"
    )
    run_python("-c", code, str(tmp_path / "model.pickle"), check=True)


class Derived(mixture.GaussianMixture):  # type: ignore[misc,name-defined]
    """A subclass in a module."""


def test_pickle_of_subclass(patched: None, X: Array) -> None:
    """Subclasses pickle as themselves."""
    assert type(pickle.loads(pickle.dumps(Derived(2).fit(X)))) is Derived
    local = type("Local", (mixture.GaussianMixture,), {"__module__": __name__})
    with pytest.MonkeyPatch.context() as context:
        context.setitem(globals(), "Local", local)
        assert type(pickle.loads(pickle.dumps(local(2).fit(X)))) is local


def test_conversion_is_to_sklearns_own(patched: None, X: Array) -> None:
    """to_sklearn makes scikit-learn's own estimator, whatever stands in for it, and from_sklearn takes both."""
    for name, original in ORIGINALS.items():
        ours = (
            getattr(fastgmm, name)(2, random_state=0)
            if name == "GaussianMixture"
            else fastgmm.BayesianGaussianMixture()
        )
        theirs = ours.fit(X).to_sklearn()
        assert type(theirs) is original
        for model in (theirs, getattr(mixture, name)().fit(X)):
            back = getattr(fastgmm, name).from_sklearn(model)
            np.testing.assert_allclose(back.score_samples(X), model.score_samples(X), rtol=1e-9)


# python -m fastgmm run --------------------------------------------------------------------------------------------

SCRIPT = """
import os, sys, beside
from sklearn.mixture import GaussianMixture
print(*sys.argv[1:], __name__, beside.value, 'predict' in vars(GaussianMixture), os.path.isabs(__file__))
class Own: pass
import pickle; pickle.loads(pickle.dumps(Own()))
sys.exit(int(sys.argv[-1]))
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A script with a module beside it."""
    (tmp_path / "beside.py").write_text("value = 7")
    (tmp_path / "script.py").write_text(SCRIPT)
    return tmp_path / "script.py"


def test_run_script(script: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A script sees its own arguments, options included, and what lies beside it; its exit status is the command's."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    command = [sys.executable, "-m", "fastgmm", "run", os.path.relpath(script, elsewhere), "-m", "--help", "3"]
    done = subprocess.run(command, cwd=elsewhere, capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.returncode) == ("-m --help 3 __main__ 7 True True\n", 3), done.stderr


def test_run_module(script: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A module is run by its name; arguments, path and scikit-learn are as before afterwards."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(script.parent)])
    before = sys.argv, sys.path[:]
    with pytest.raises(SystemExit) as ended:
        main(["run", "-m", "script", "--help", "4"])
    assert ended.value.code == 4
    assert capsys.readouterr().out == "--help 4 __main__ 7 True True\n"
    assert (sys.argv, sys.path) == before
    assert mixture.GaussianMixture is ORIGINALS["GaussianMixture"]


def test_errors_of_scripts(script: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Errors of a script come out as they are; one that ends well has the status 0."""
    script.write_text("import sklearn.mixture\nprint(sklearn.mixture.GaussianMixture().fit([[0], [1.0]]).means_)")
    assert main(["run", str(script)]) == 0
    assert capsys.readouterr().out == "[[0.5]]\n"
    script.write_text("open('/nowhere/to/be/found')")
    with pytest.raises(FileNotFoundError):
        main(["run", str(script)])
    assert mixture.GaussianMixture is ORIGINALS["GaussianMixture"]


def test_run_refusals(capsys: pytest.CaptureFixture[str]) -> None:
    """A missing script is told in one line."""
    assert main(["run"]) == main(["run", "nowhere.py"]) == 2
    assert capsys.readouterr().err == (
        "fastgmm: error: name a script, or a module after -m (see fastgmm run --help)\n"
        "fastgmm: error: there is no script nowhere.py; a module goes after -m\n"
    )


def test_base_is_an_estimator(patched: None) -> None:
    """What stands in derives from scikit-learn's base class."""
    assert issubclass(mixture.GaussianMixture, BaseEstimator)
