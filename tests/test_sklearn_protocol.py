"""GaussianMixture follows scikit-learn's estimator protocol without importing scikit-learn."""

from __future__ import annotations

import copy
import inspect
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from problems import Array, run_python

import fastgmm
from fastgmm import GaussianMixture, exceptions

sklearn = pytest.importorskip("sklearn")
mixture = pytest.importorskip("sklearn.mixture")

from sklearn.base import clone, is_classifier  # noqa: E402
from sklearn.exceptions import ConvergenceWarning, NotFittedError  # noqa: E402
from sklearn.model_selection import GridSearchCV, cross_val_score  # noqa: E402
from sklearn.pipeline import Pipeline, make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402
from sklearn.utils import estimator_checks, estimator_html_repr, get_tags  # noqa: E402
from sklearn.utils.validation import check_is_fitted  # noqa: E402


@pytest.fixture(scope="module")
def X() -> Array:
    """Two groups."""
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(size=(60, 2)), rng.normal(size=(40, 2)) + 6])


# The checks -------------------------------------------------------------------------------------------------------


def checks() -> list[Any]:
    """The checks that scikit-learn makes of its own estimators."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Estimator GaussianMixture does not inherit from")
        collected = list(estimator_checks.estimator_checks_generator(GaussianMixture()))
    assert len(collected) > 35
    return [check for _, check in collected]


@pytest.mark.parametrize("check", checks(), ids=lambda check: check.func.__name__)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_estimator_checks(check: Any) -> None:
    """Every check passes, except one that needs SciPy's array API switched on before it is imported."""
    if check.func.__name__ == "check_array_api_input":
        pytest.skip("needs SCIPY_ARRAY_API=1 and covers other array types than NumPy's")
    check(GaussianMixture())


def test_column_names_check() -> None:
    """The check of column names, which scikit-learn runs apart from the others."""
    estimator_checks.check_dataframe_column_names_consistency("GaussianMixture", GaussianMixture())


@pytest.mark.parametrize("structure", ["tied", "diag", "spherical"])
def test_main_checks_of_other_structures(structure: str) -> None:
    """The checks that depend on the kernels."""
    model = GaussianMixture(covariance_type=structure)
    for name in ("methods_sample_order_invariance", "methods_subset_invariance", "fit_idempotent", "dict_unchanged"):
        getattr(estimator_checks, f"check_{name}")("GaussianMixture", clone(model))


# Signature and parameters -----------------------------------------------------------------------------------------


OWN_PARAMS = {
    "acceleration": None,
    "convergence": "likelihood",
    "max_time": None,
    "degenerate": "repair",
    "callback": None,
    "n_threads": None,
    "drop_restarts": True,
    "learning_decay": 0.6,
    "missing": "raise",
    "prior": None,
    "equal_weights": False,
    "noise": None,
    "covariance_ratio": None,
    "sampling": "auto",
}


def test_signature() -> None:
    """Arguments, their order, kinds and defaults are scikit-learn's, and ours follow."""
    ours = inspect.signature(GaussianMixture).parameters
    theirs = inspect.signature(mixture.GaussianMixture).parameters
    assert list(ours) == [*theirs, *OWN_PARAMS]
    assert {name: ours[name].default for name in OWN_PARAMS} == OWN_PARAMS
    assert all(ours[name].kind is inspect.Parameter.KEYWORD_ONLY for name in OWN_PARAMS)
    for name, parameter in theirs.items():
        assert (ours[name].default, ours[name].kind) == (parameter.default, parameter.kind), name


@pytest.mark.parametrize("method", [name for name in dir(mixture.GaussianMixture) if not name.startswith("_")])
def test_method_signatures(method: str) -> None:
    """All public methods are there and take the same arguments first."""
    theirs = inspect.signature(getattr(mixture.GaussianMixture, method))
    ours = inspect.signature(getattr(GaussianMixture, method))
    assert list(ours.parameters)[: len(theirs.parameters)] == list(theirs.parameters)


def test_get_and_set_params() -> None:
    """Arguments come back as the objects that were given; names are checked before any is set."""
    start = np.zeros((2, 2))
    model = GaussianMixture(2, means_init=start)
    assert model.get_params()["means_init"] is start
    assert list(model.get_params()) == sorted([*mixture.GaussianMixture().get_params(), *OWN_PARAMS])
    assert model.set_params(tol=0.5) is model
    assert model.tol == 0.5
    with pytest.raises(ValueError, match=r"Invalid parameter 'k' for estimator .*Valid parameters are: \['acc"):
        model.set_params(tol=0.25, k=3)
    assert model.tol == 0.5


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"n_components": 3, "covariance_type": "diag", "tol": 1e-4, "random_state": 0},
        {"warm_start": True, "verbose": 0, "max_iter": 100, "tol": float("1e-3")},
    ],
)
def test_repr(options: dict[str, Any]) -> None:
    """The representation is scikit-learn's, on one line."""
    assert repr(GaussianMixture(**options)) == " ".join(repr(mixture.GaussianMixture(**options)).split())


def test_repr_of_arrays() -> None:
    """Arrays are shown on one line, and never compared to one truth value."""
    assert repr(GaussianMixture(2, means_init=np.zeros((2, 1)), n_threads=2)) == (
        "GaussianMixture(means_init=array([[0.], [0.]]), n_components=2, n_threads=2)"
    )


def test_subclass(X: Array) -> None:
    """A subclass with its own constructor has its own parameters."""

    class Two(GaussianMixture):
        def __init__(self, shift: float = 0.0, *, tol: float = 1e-3, random_state: int | None = None) -> None:
            super().__init__(2, tol=tol, random_state=random_state)
            self.shift = shift

    model = Two(1.0, random_state=0)
    assert repr(model) == "Two(random_state=0, shift=1.0)"
    assert clone(model).fit(X).predict(X).max() == 1
    with pytest.raises(NotFittedError, match="This Two instance is not fitted yet"):
        Two().predict(X)


class Extra(GaussianMixture):
    """One argument more."""

    def __init__(self, n_components: int = 1, *, shift: float = 0.5, random_state: int | None = None) -> None:
        super().__init__(n_components, random_state=random_state)
        self.shift = shift

    def score_samples(self, X: Any, **how: Any) -> Any:
        return super().score_samples(X, **how) + self.shift


class Fewer(GaussianMixture):
    """Two components, and no say in it."""

    def __init__(self, random_state: int | None = None) -> None:
        super().__init__(2, random_state=random_state)


class Required(GaussianMixture):
    """An argument without a default, and an attribute that is none."""

    def __init__(self, name: str, *, random_state: int | None = None) -> None:
        super().__init__(2, random_state=random_state)
        self.name = name
        self.calls = [name]


class Keywords(GaussianMixture):
    """Any arguments."""

    def __init__(self, **others: Any) -> None:
        super().__init__(**{"n_components": 2, **others})


class Named:
    """A mixin with a constructor."""

    def __init__(self, *arguments: Any, **others: Any) -> None:
        super().__init__(*arguments, **others)
        self.named = True


class Mixed(Named, GaussianMixture):
    """The mixin first."""


class Further(Extra):
    """A subclass of a subclass, with another default."""

    def __init__(self, *, shift: float = 2.0, depth: int = 3) -> None:
        super().__init__(2, shift=shift, random_state=0)
        self.depth = depth


SUBCLASSES = [Extra(2, random_state=0), Fewer(0), Required("a", random_state=0), Keywords(), Mixed(2), Further()]


@pytest.mark.parametrize("model", SUBCLASSES, ids=lambda model: type(model).__name__)
def test_subclasses_with_constructors(X: Array, model: GaussianMixture, tmp_path: Path) -> None:
    """All that makes a mixture works in subclasses of any constructor, with the results of the class itself."""
    kind, model = type(model), copy.deepcopy(model)
    plain = GaussianMixture(2, means_init=X[[0, -1]], random_state=0).fit(X)
    vars(model).update(means_init=X[[0, -1]], random_state=0)
    model.fit(X)
    np.testing.assert_array_equal(model.regress(X[:, :1], [1]), plain.regress(X[:, :1], [1]))
    for derive in (lambda mixture: mixture.marginal(1), lambda mixture: mixture.condition([0], 3.0)):
        derived, expected = derive(model), derive(plain)
        assert type(derived) is GaussianMixture
        assert repr(derived) == repr(expected)
        np.testing.assert_array_equal(derived.covariances_, expected.covariances_)
    model.save(tmp_path / "model")
    made = [
        kind.from_parameters(model.weights_, model.means_, model.covariances_, random_state=0),
        kind.load(tmp_path / "model"),
        kind.from_sklearn(model.to_sklearn()),
        fastgmm.maximize(model, fastgmm.statistics(model, X)),
        pickle.loads(pickle.dumps(model)),
    ]
    for other in made:
        assert type(other) is kind
        assert (other.n_components, other.covariance_type) == (2, "full")
        np.testing.assert_allclose(other.score_samples(X), model.score_samples(X), rtol=1e-3)
        assert kind.__name__ in repr(other)
        assert other.get_params().keys() == model.get_params().keys()
        if kind is not Mixed:  # scikit-learn clones no estimator with *arguments
            assert type(clone(other).fit(X)) is kind
        assert other.set_params(**other.get_params()) is other
    loaded = fastgmm.load(tmp_path / "model")
    assert type(loaded) is GaussianMixture
    np.testing.assert_array_equal(loaded.score_samples(X), plain.score_samples(X))
    assert vars(made[1]).get("name") == vars(model).get("name")
    assert vars(made[3]).get("calls") == vars(model).get("calls")
    with pytest.raises(ValueError, match="Invalid parameter 'toll' for estimator"):
        kind.from_parameters([1], [[0.0]], [1.0], toll=1)


def test_argument_that_nobody_knows(X: Array) -> None:
    """Where a constructor's argument is neither given nor saved, the constructor is not called."""
    known = Required.from_parameters([1], [[0.0]], [1.0], name="b")
    unknown = Required.from_parameters([1], [[0.0]], [1.0])
    assert (known.name, known.calls, unknown.name) == ("b", ["b"], None)
    assert repr(unknown) == "Required(name=None)"
    assert clone(unknown).name is None
    unknown.sample()


def test_overridden_densities(X: Array) -> None:
    """score and the criteria follow a subclass's score_samples and predict_proba, as in scikit-learn."""

    class Sharp(Extra):
        def predict_proba(self, X: Any, **how: Any) -> Any:
            return np.tile([0.9, 0.1], (len(X), 1))

        def predict(self, X: Any, **how: Any) -> Any:
            return 7 * super().predict(X)

    model, plain = (kind(2, random_state=0) for kind in (Sharp, GaussianMixture))
    labels = model.fit_predict(X)
    np.testing.assert_array_equal(labels, 7 * plain.fit_predict(X))
    weights = np.arange(len(X)) % 3.0
    for given, n in ((None, len(X)), (weights, weights.sum())):
        assert model.score(X, sample_weight=given) == pytest.approx(plain.score(X, sample_weight=given) + 0.5)
        for name in ("bic", "aic"):
            assert getattr(model, name)(X, given) == pytest.approx(getattr(plain, name)(X, given) - n)
        assert model.icl(X, given) == pytest.approx(model.bic(X, given) - 2 * n * np.log(0.9))
    np.testing.assert_allclose(model.uncertainty(X), 0.1)
    np.testing.assert_allclose(model.anomaly_scores(X), plain.anomaly_scores(X) - 0.5)


# Use inside scikit-learn ------------------------------------------------------------------------------------------


def test_clone(X: Array) -> None:
    """A clone has the parameters and is not fitted."""
    model = GaussianMixture(2, means_init=[[0, 0], [6, 6]], random_state=np.random.default_rng(0)).fit(X)
    copied = clone(model)
    assert copied.get_params().keys() == model.get_params().keys()
    assert copied.means_init == model.means_init
    assert not hasattr(copied, "means_")
    check_is_fitted(model)
    with pytest.raises(NotFittedError):
        check_is_fitted(copied)


@pytest.mark.parametrize("given", [np.arange(100) % 2, np.full((100, 2), 0.5).tolist(), lambda X, k, stream: X[:k]])
def test_clone_with_given_start(X: Array, given: Any) -> None:
    """Arrays and callables as init_params are parameters like others: stored untouched, copied, set, shown."""
    model = GaussianMixture(2, init_params=given)
    assert model.get_params()["init_params"] is given
    copied = clone(model)
    np.testing.assert_array_equal(copied.fit(X).means_, model.fit(X).means_)
    assert model.set_params(init_params="kmeans").set_params(init_params=given).init_params is given
    assert repr(model).startswith("GaussianMixture(init_params=")
    pickle.loads(pickle.dumps(copied.set_params(init_params="best")))


def test_fitted_by_hand() -> None:
    """Parameters set by hand count as fitted."""
    model = GaussianMixture()
    model.weights_, model.means_ = np.ones(1), np.zeros((1, 1))
    check_is_fitted(model)


def test_sklearn_tags() -> None:
    """The tags are those of a density estimator."""
    tags = get_tags(GaussianMixture())
    assert tags.estimator_type == get_tags(mixture.GaussianMixture()).estimator_type == "density_estimator"
    assert not tags.target_tags.required
    assert not is_classifier(GaussianMixture())


@pytest.mark.parametrize("routing", [False, True])
@pytest.mark.parametrize("output", ["default", "pandas"])
def test_pipeline(X: Array, routing: bool, output: str) -> None:
    """A pipeline ends in a mixture, with metadata routing and data frames too."""
    if output == "pandas":
        pytest.importorskip("pandas")
    with sklearn.config_context(enable_metadata_routing=routing):
        pipeline = Pipeline([("scale", StandardScaler()), ("mixture", GaussianMixture(2, random_state=0))])
        pipeline.set_output(transform=output)
        pipeline.set_params(mixture__tol=1e-4).fit(X)
        assert pipeline["mixture"].tol == 1e-4
        scaled = StandardScaler().fit_transform(X)
        by_hand = GaussianMixture(2, random_state=0, tol=1e-4).fit(scaled)
        np.testing.assert_allclose(pipeline.score_samples(X), by_hand.score_samples(scaled), rtol=1e-10)
        if not routing:  # Pipeline.score then fails on scikit-learn's own mixture too
            np.testing.assert_allclose(pipeline.score(X), by_hand.score(scaled), rtol=1e-10)
        np.testing.assert_array_equal(pipeline.predict(X), pipeline.fit_predict(X))
        assert hasattr(pipeline["mixture"], "feature_names_in_") == (output == "pandas")


@pytest.mark.parametrize("routing", [False, True])
def test_grid_search(X: Array, routing: bool) -> None:
    """A grid search over components and structures scores by the log-likelihood."""
    grid = {"n_components": [1, 2], "covariance_type": ["full", "spherical"]}
    with sklearn.config_context(enable_metadata_routing=routing):
        ours = GridSearchCV(GaussianMixture(random_state=0), grid, cv=3).fit(X)
        theirs = GridSearchCV(mixture.GaussianMixture(random_state=0), grid, cv=3).fit(X)
    assert ours.best_params_ == theirs.best_params_
    scores = "mean_test_score"
    np.testing.assert_allclose(ours.cv_results_[scores], theirs.cv_results_[scores], rtol=1e-5)


def test_grid_search_in_processes(X: Array) -> None:
    """Parallel cross-validation sends estimators and results between processes."""
    scores = cross_val_score(GaussianMixture(2, random_state=0), X, cv=2, n_jobs=2)
    np.testing.assert_array_equal(scores, cross_val_score(GaussianMixture(2, random_state=0), X, cv=2))


def test_joblib(X: Array) -> None:
    """Fits run in joblib's processes and threads."""
    joblib = pytest.importorskip("joblib")
    expected = [GaussianMixture(k, random_state=0).fit(X).means_ for k in (1, 2)]
    for backend in ("loky", "threading"):
        calls = (joblib.delayed(GaussianMixture(k, random_state=0).fit)(X) for k in (1, 2))
        fits = joblib.Parallel(n_jobs=2, backend=backend)(calls)
        for fit, means in zip(fits, expected, strict=True):
            np.testing.assert_array_equal(fit.means_, means)


def test_html_repr() -> None:
    """Notebooks show a mixture, alone and within a pipeline."""
    for estimator in (GaussianMixture(3), make_pipeline(StandardScaler(), GaussianMixture(3))):
        html = estimator_html_repr(estimator)
        assert "GaussianMixture" in html
        assert "n_components=3" in html


# Pickles ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_pickle(X: Array, duplicate: Any) -> None:
    """Copies and pickles hold the same attributes, and nothing of the format stays on the estimator."""
    model = GaussianMixture(2, random_state=0).fit(X)
    again = duplicate(model)
    assert vars(again).keys() == vars(model).keys()
    np.testing.assert_array_equal(again.score_samples(X), model.score_samples(X))


@pytest.mark.parametrize("name", sorted(GaussianMixture().get_params()))
def test_pickle_without_an_argument(X: Array, name: str) -> None:
    """A pickle of a version that lacked an argument is read with its default, and can be fitted and shown."""
    state = GaussianMixture(2, random_state=0).fit(X).__getstate__()
    del state[name]
    old = GaussianMixture.__new__(GaussianMixture)
    old.__setstate__(state)
    assert getattr(old, name) == getattr(GaussianMixture(), name)
    assert clone(old).get_params() == old.get_params()
    assert "GaussianMixture(" in repr(old)
    old.fit(X)


def test_pickle_of_another_version() -> None:
    """A pickle of another version is read with a warning that names both."""
    state = GaussianMixture(3).__getstate__()
    assert state.pop("_fastgmm_version") == fastgmm.__version__
    old = GaussianMixture.__new__(GaussianMixture)
    with pytest.warns(UserWarning, match=rf"by fastgmm 0\.0\.1 .*by fastgmm {fastgmm.__version__}"):
        old.__setstate__({**state, "_fastgmm_version": "0.0.1"})
    assert old.n_components == 3
    with pytest.warns(UserWarning, match="unknown"):
        old.__setstate__(state)


# Exceptions -------------------------------------------------------------------------------------------------------


def test_not_fitted_error(X: Array) -> None:
    """NotFittedError is scikit-learn's, ours, a ValueError and an AttributeError, and can be pickled."""
    for expected in (NotFittedError, fastgmm.NotFittedError, ValueError, AttributeError):
        with pytest.raises(expected, match="This GaussianMixture instance is not fitted yet"):
            GaussianMixture().predict(X)
    with pytest.raises(NotFittedError) as caught:
        GaussianMixture().sample()
    assert type(caught.value).__name__ == "NotFittedError"
    again = pickle.loads(pickle.dumps(caught.value))
    assert type(again) is type(caught.value)
    assert again.args == caught.value.args


def test_exceptions_are_made_once() -> None:
    """The joint classes are cached, so that filters and comparisons by class work."""
    for category in (exceptions.NotFittedError, exceptions.ConvergenceWarning, exceptions.InvalidParameterError):
        joint = exceptions.compatible(category)
        assert joint is exceptions.compatible(category)
        assert issubclass(joint, category)
        assert joint is not category
    warning = exceptions.compatible(exceptions.ConvergenceWarning)("text")
    assert type(pickle.loads(pickle.dumps(warning))) is type(warning)


@pytest.mark.parametrize("category", [ConvergenceWarning, fastgmm.ConvergenceWarning])
def test_warning_filters(X: Array, category: type[Warning]) -> None:
    """Filters by either class work, and a warning turned into an error leaves the estimator as it was."""
    model = GaussianMixture(2, random_state=0).fit(X)
    before = pickle.dumps(model)
    model.set_params(max_iter=1, random_state=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", category)
        GaussianMixture(2, max_iter=1).fit(X)
        warnings.simplefilter("error", category)
        with pytest.raises(category):
            model.fit(X)
    assert pickle.dumps(model.set_params(max_iter=100, random_state=0)) == before


WITHOUT_SKLEARN = """
import pickle, sys, warnings
import fastgmm
X = [[0.0], [1.0], [5.0], [6.0], [9.0]]
try:
    fastgmm.GaussianMixture().predict(X)
except fastgmm.NotFittedError as error:
    assert type(error) is fastgmm.NotFittedError
    text = pickle.dumps(error)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    model = fastgmm.GaussianMixture(2, max_iter=1).fit(X)
assert caught[0].category is fastgmm.ConvergenceWarning
model.predict(X), model.sample(3), model.bic(X), repr(model), pickle.loads(pickle.dumps(model))
assert not {"sklearn", "scipy", "pandas"} & set(sys.modules)
import sklearn.exceptions
try:
    fastgmm.GaussianMixture().predict(X)
except sklearn.exceptions.NotFittedError:
    assert isinstance(pickle.loads(text), sklearn.exceptions.NotFittedError)
    print("joined")
"""


def test_sklearn_is_not_imported() -> None:
    """Using fastgmm does not import scikit-learn; importing scikit-learn later is noticed."""
    run = run_python("-c", WITHOUT_SKLEARN)
    assert run.stdout == "joined\n", run.stderr
