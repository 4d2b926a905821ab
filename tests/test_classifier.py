"""GaussianMixtureClassifier: Bayes' rule over the densities of a mixture for each class."""

from __future__ import annotations

import pickle
import warnings
from typing import Any

import numpy as np
import pytest
from problems import Array

import fastgmm
from fastgmm import BayesianGaussianMixture, GaussianMixture, GaussianMixtureClassifier, NotFittedError
from fastgmm.datasets import load_iris

IRIS = load_iris()
LABELS = np.array(["setosa", "versicolor", "virginica"])[IRIS.target]


@pytest.fixture(scope="module")
def problem() -> tuple[Array, Array]:
    """Two classes of two groups each, in turns, so that one component each cannot tell them apart."""
    rng = np.random.default_rng(0)
    groups = rng.integers(4, size=400)
    return rng.normal(size=(400, 2)) + 5.0 * groups[:, np.newaxis], np.where(groups % 2, "odd", "even")


# scikit-learn ------------------------------------------------------------------------------------------------------


def checks() -> list[Any]:
    """The checks that scikit-learn makes of its own classifiers, of one component, of two, and chosen by BIC."""
    estimator_checks = pytest.importorskip("sklearn.utils.estimator_checks")
    seeded = GaussianMixture(random_state=0)
    classifiers = [
        GaussianMixtureClassifier(),
        GaussianMixtureClassifier(2, mixture=seeded),
        GaussianMixtureClassifier([1, 2], mixture=seeded),
    ]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Estimator GaussianMixtureClassifier does not inherit from")
        found = [
            pytest.param(classifier, check, id=f"{check.func.__name__}-{number}")
            for number, classifier in enumerate(classifiers)
            for _, check in estimator_checks.estimator_checks_generator(classifier)
            if number == 0 or "sample_weight_equivalence" not in check.func.__name__  # k-means starts elsewhere
        ]
    assert "check_classifiers_train" in {parameter.values[1].func.__name__ for parameter in found}
    return found


@pytest.mark.parametrize(("classifier", "check"), checks())
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore::fastgmm.DegenerateComponentWarning")
@pytest.mark.filterwarnings("ignore::fastgmm.SelectionWarning")
def test_estimator_checks(classifier: Any, check: Any) -> None:
    """Every check passes."""
    if check.func.__name__ == "check_array_api_input":
        pytest.skip("needs SCIPY_ARRAY_API=1 and covers other array types than NumPy's")
    check(classifier)


def test_inside_scikit_learn(problem: tuple[Array, Array]) -> None:
    """It is a classifier, whose arguments are searched, whose weights are passed on, and which can be voted with."""
    sklearn = pytest.importorskip("sklearn")
    selection = pytest.importorskip("sklearn.model_selection")
    from sklearn.base import clone, is_classifier

    X, y = problem
    classifier = GaussianMixtureClassifier(mixture=GaussianMixture(random_state=0))
    assert is_classifier(classifier) and repr(clone(classifier)) == repr(classifier)
    grid = {"n_components": [1, 2], "mixture__covariance_type": ["full", "spherical"]}
    found = selection.GridSearchCV(classifier, grid, cv=3).fit(X, y)
    assert found.best_params_["n_components"] == 2 and found.best_score_ > 0.95
    with sklearn.config_context(enable_metadata_routing=True):
        asked = classifier.set_fit_request(sample_weight=True).set_score_request(sample_weight=False)
        assert asked.get_metadata_routing().fit.requests == {"sample_weight": True}
        assert not hasattr(asked, "set_partial_fit_request")


# Bayes' rule -------------------------------------------------------------------------------------------------------


def test_twin_of_scikit_learn_mixtures() -> None:
    """Bayes' rule over scikit-learn's mixtures of the classes, from the same start, gives the same probabilities."""
    mixture = pytest.importorskip("sklearn.mixture")
    means = IRIS.data[[0, 75]]
    precisions = np.repeat(np.eye(4)[np.newaxis], 2, axis=0)
    options: dict[str, Any] = {"weights_init": [0.5, 0.5], "means_init": means, "precisions_init": precisions}
    options |= {"tol": 0, "max_iter": 20, "reg_covar": 1e-3}
    held = GaussianMixture(2, **options)
    classifier = GaussianMixtureClassifier(mixture=held)
    joint = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        classifier.fit(IRIS.data, LABELS)
        for c in range(3):
            twin = mixture.GaussianMixture(2, **options).fit(IRIS.data[IRIS.target == c])
            joint.append(np.log(1 / 3) + twin.score_samples(IRIS.data))
    expected = np.array(joint).T
    np.testing.assert_allclose(classifier.decision_function(IRIS.data), expected, rtol=1e-8)
    posterior = np.exp(expected - np.logaddexp.reduce(expected, axis=1, keepdims=True))
    np.testing.assert_allclose(classifier.predict_proba(IRIS.data), posterior, rtol=1e-6, atol=1e-300)
    np.testing.assert_allclose(np.exp(classifier.predict_log_proba(IRIS.data)), posterior, rtol=1e-6, atol=1e-300)
    labels = np.array(["setosa", "versicolor", "virginica"])[expected.argmax(axis=1)]
    np.testing.assert_array_equal(classifier.predict(IRIS.data), labels)
    assert classifier.score(IRIS.data, LABELS) == pytest.approx((labels == LABELS).mean())
    assert not hasattr(held, "means_")


@pytest.mark.parametrize("priors", [None, [0.2, 0.3, 0.5]])
def test_one_component_is_quadratic_discriminant_analysis(priors: Any) -> None:
    """With one component each it is what scikit-learn calls so, with covariances of the maximum likelihood."""
    analysis = pytest.importorskip("sklearn.discriminant_analysis")
    from sklearn.covariance import EmpiricalCovariance

    peer = analysis.QuadraticDiscriminantAnalysis(
        solver="eigen", priors=priors, covariance_estimator=EmpiricalCovariance()
    )
    X, y = IRIS.data[:140], IRIS.target[:140]  # classes of different sizes
    classifier = GaussianMixtureClassifier(mixture=GaussianMixture(reg_covar=0), priors=priors).fit(X, y)
    peer.fit(X, y)
    np.testing.assert_allclose(classifier.predict_proba(X), peer.predict_proba(X), rtol=1e-6, atol=1e-12)
    np.testing.assert_array_equal(classifier.predict(X), peer.predict(X))


def test_groups_within_classes(problem: tuple[Array, Array]) -> None:
    """Two components each tell apart what one each cannot; BIC finds that, and the decision agrees."""
    X, y = problem
    mixture = GaussianMixture(random_state=0)
    one, two, chosen = (GaussianMixtureClassifier(k, mixture=mixture).fit(X, y) for k in (1, 2, "bic"))
    assert one.score(X, y) < 0.75 < 0.95 < two.score(X, y)
    assert [fitted.n_components for fitted in chosen.mixtures_] == [2, 2]
    assert chosen.score(X, y) == pytest.approx(two.score(X, y), abs=0.01)
    for classifier in (one, two, chosen):
        decision = classifier.decision_function(X)
        assert decision.shape == (len(X),)
        np.testing.assert_array_equal(classifier.classes_[(decision > 0).astype(int)], classifier.predict(X))
        ratio = classifier.predict_log_proba(X) @ [-1, 1]
        np.testing.assert_allclose(decision, ratio, atol=1e-9)


def test_sizes_of_classes(problem: tuple[Array, Array]) -> None:
    """Each class has the number of components that is asked for, or that `select` finds among its rows."""
    X, y = problem
    mixture = GaussianMixture(covariance_type="diag", random_state=0)
    classifier = GaussianMixtureClassifier({"odd": range(1, 4), "even": 3}, mixture=mixture).fit(X, y)
    assert [fitted.n_components for fitted in classifier.mixtures_] == [3, 2]
    selection = fastgmm.select(X[y == "odd"], range(1, 4), "diag", random_state=0)
    np.testing.assert_array_equal(classifier.mixtures_[1].means_, selection.best_estimator_.means_)
    alone = GaussianMixture(3, covariance_type="diag", random_state=0).fit(X[y == "even"])
    np.testing.assert_array_equal(classifier.mixtures_[0].means_, alone.means_)
    assert all(fitted.covariance_type == "diag" for fitted in classifier.mixtures_)


def test_small_class(problem: tuple[Array, Array]) -> None:
    """Among few rows BIC compares no more components than rows."""
    X, y = problem
    few = np.append(np.flatnonzero(y == "odd")[:3], np.flatnonzero(y == "even"))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        classifier = GaussianMixtureClassifier("bic", mixture=GaussianMixture(random_state=0)).fit(X[few], y[few])
    assert not [warning for warning in caught if "failed" in str(warning.message)]
    assert classifier.mixtures_[1].n_components <= 3


def test_priors() -> None:
    """Priors are the shares of the classes, or those given in their order or by name."""
    y = LABELS[:140]
    shares = GaussianMixtureClassifier().fit(IRIS.data[:140], y)
    np.testing.assert_allclose(shares.class_prior_, [50 / 140, 50 / 140, 40 / 140])
    given = GaussianMixtureClassifier(priors=[0.1, 0.2, 0.7]).fit(IRIS.data[:140], y)
    named = {"virginica": 0.7, "setosa": 0.1, "versicolor": 0.2}
    by_name = GaussianMixtureClassifier(priors=named).fit(IRIS.data[:140], y)
    np.testing.assert_array_equal(given.class_prior_, by_name.class_prior_)
    difference = given.decision_function(IRIS.data) - shares.decision_function(IRIS.data)
    np.testing.assert_allclose(difference, np.tile(np.log(given.class_prior_ / shares.class_prior_), (150, 1)))
    never = GaussianMixtureClassifier(priors=[0, 0.5, 0.5]).fit(IRIS.data, LABELS)
    assert "setosa" not in never.predict(IRIS.data)
    np.testing.assert_array_equal(never.predict_proba(IRIS.data)[:, 0], 0)


def test_priors_by_label() -> None:
    """Priors of pandas go by their index, in whatever order, as of a mapping; one that names others is refused."""
    pandas = pytest.importorskip("pandas")
    y = np.repeat([0, 1, 2], [10, 100, 40])
    X = y[:, None] + np.linspace(0, 0.1, 150)[:, None]
    shares = pandas.Series(y).value_counts(normalize=True)  # the largest first
    assert list(shares.index) == [1, 2, 0]
    found = GaussianMixtureClassifier(priors=shares).fit(X, y).class_prior_
    np.testing.assert_allclose(found, [10 / 150, 100 / 150, 40 / 150])
    with pytest.raises(ValueError, match="priors has nothing for class 'x0'"):
        GaussianMixtureClassifier(priors=shares).fit(X, np.char.add("x", y.astype(str)))


def test_labels_of_pandas() -> None:
    """A label that pandas holds for missing is named by its row."""
    pandas = pytest.importorskip("pandas")
    with pytest.raises(ValueError, match="row 1 has no label"):
        GaussianMixtureClassifier().fit(IRIS.data, pandas.Series(["a", None, *LABELS[2:]], dtype="string"))


def test_rows_are_converted_once(problem: tuple[Array, Array]) -> None:
    """Answers read rows once for all classes, and name the classifier where they are refused."""
    X, y = problem
    classifier = GaussianMixtureClassifier().fit(X, y)

    class Rows:
        """An array that counts how often it is read."""

        def __init__(self) -> None:
            self.read = 0

        def __array__(self, dtype: Any = None, copy: Any = None) -> Array:
            self.read += 1
            return np.asarray(X, dtype)

    rows = Rows()
    np.testing.assert_array_equal(classifier.predict_log_proba(rows), classifier.predict_log_proba(X))
    once = Rows()
    classifier.mixtures_[0].score_samples(once)
    assert 0 < rows.read == once.read
    expected = np.column_stack([mixture.score_samples(X) for mixture in classifier.mixtures_])
    np.testing.assert_array_equal(classifier._joint(X), expected + np.log(classifier.class_prior_))
    with pytest.raises(ValueError, match=r"features, but GaussianMixtureClassifier is expecting"):
        classifier.predict(X[:, :1])


def test_thousands_of_classes() -> None:
    """Rows are dealt to classes in one sort, those without weight left out: each class has the moments of its own."""
    rng = np.random.default_rng(5)
    y = rng.permutation(np.repeat(np.arange(2000), 4)).astype(str)
    X, weights = rng.normal(size=(8000, 1)), np.ones(8000)
    weights[:50] = 0
    classifier = GaussianMixtureClassifier().fit(X, y, weights)
    assert classifier.classes_.tolist() == sorted(set(y[50:]))
    for label, mixture in list(zip(classifier.classes_, classifier.mixtures_, strict=True))[::97]:
        np.testing.assert_allclose(mixture.means_[0], X[50:][y[50:] == label].mean(axis=0), rtol=1e-12)


def test_warnings_name_the_class() -> None:
    """A warning of a fit tells of which class it is, and only those do."""
    X = np.concatenate([np.random.default_rng(0).normal(size=(60, 2)), np.zeros((5, 2))])
    y = np.repeat(["wide", "flat"], [60, 5])
    with pytest.warns(fastgmm.DegenerateComponentWarning, match="^Class 'flat': Components were repaired"):
        GaussianMixtureClassifier(2).fit(X, y)
    with pytest.warns(fastgmm.DegenerateComponentWarning, match="^Components were repaired"):
        GaussianMixture(2).fit(X[60:])


def test_weights_are_repetitions() -> None:
    """A row of weight 3 is three equal rows; a class of no weight is none; one heavy row is several."""
    weights = np.random.default_rng(1).integers(0, 4, size=150)
    weights[50:100] = 0
    weights[50] = 3
    weighted = GaussianMixtureClassifier().fit(IRIS.data, LABELS, sample_weight=weights)
    repeated = GaussianMixtureClassifier().fit(IRIS.data.repeat(weights, axis=0), LABELS.repeat(weights))
    np.testing.assert_allclose(weighted.class_prior_, repeated.class_prior_, rtol=1e-12)
    np.testing.assert_allclose(weighted.predict_proba(IRIS.data), repeated.predict_proba(IRIS.data), atol=1e-9)
    expected = np.average(weighted.predict(IRIS.data) == LABELS, weights=weights)
    assert weighted.score(IRIS.data, LABELS, sample_weight=weights) == pytest.approx(expected)
    weights[50] = 0
    fewer = GaussianMixtureClassifier().fit(IRIS.data, LABELS, sample_weight=weights)
    assert fewer.classes_.tolist() == ["setosa", "virginica"]


def test_gaps() -> None:
    """With missing='em' rows are classified by what is known of them: all else by hand."""
    X = IRIS.data.copy()
    X[::3, 2:] = np.nan
    classifier = GaussianMixtureClassifier(mixture=GaussianMixture(missing="em")).fit(X, LABELS)
    marginal = [fitted.marginal([0, 1]).score_samples(IRIS.data[:, :2]) for fitted in classifier.mixtures_]
    expected = np.array(marginal).T + np.log(1 / 3)
    np.testing.assert_allclose(classifier.decision_function(X)[::3], expected[::3], rtol=1e-7)
    with pytest.raises(ValueError, match="NaN"):
        GaussianMixtureClassifier().fit(X, LABELS)


def test_far_rows() -> None:
    """Where no density is a number above zero the priors decide, and nothing is NaN."""
    classifier = GaussianMixtureClassifier(priors=[0.2, 0.3, 0.5]).fit(IRIS.data, IRIS.target)
    far = np.full((1, 4), 1e200)
    np.testing.assert_allclose(classifier.predict_proba(far), [[0.2, 0.3, 0.5]])
    assert classifier.predict(far) == [2]
    single = classifier.predict_proba(IRIS.data.astype(np.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, classifier.predict_proba(IRIS.data), atol=1e-3)


def test_posteriors_and_chunks(problem: tuple[Array, Array]) -> None:
    """The mixture may be a posterior, and rows may come in chunks."""
    from fastgmm.sources import Chunks

    X, y = problem
    held = BayesianGaussianMixture(n_components=2, random_state=0)
    posterior = GaussianMixtureClassifier(mixture=held).fit(X, y)
    assert posterior.score(X, y) > 0.95
    with pytest.raises(ValueError, match="compares objects of GaussianMixture by BIC, but mixture is a Bayes"):
        posterior.set_params(n_components="bic").fit(X, y)
    classifier = GaussianMixtureClassifier(2, mixture=GaussianMixture(random_state=0))
    whole = classifier.fit(X, y).decision_function(X)
    chunks = Chunks(lambda: iter(np.array_split(X, 5)))
    np.testing.assert_array_equal(classifier.fit(chunks, y).decision_function(chunks), whole)


# The estimator -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "y", "message"),
    [
        ({"n_components": 0}, LABELS, "'n_components' parameter of GaussianMixtureClassifier must be an int"),
        ({"n_components": "aic"}, LABELS, "or 'bic' or a sequence of ints .* Got 'aic'"),
        ({"n_components": []}, LABELS, r"Got \[\] instead"),
        ({"n_components": {"setosa": 2}}, LABELS, "n_components has nothing for class 'versicolor'"),
        ({"n_components": 51}, LABELS, "Class 'setosa': Expected n_samples >= n_components"),
        ({"priors": 0.5}, LABELS, "'priors' parameter"),
        ({"priors": [0.5, 0.5]}, LABELS, "priors has 2 values for 3 classes"),
        ({"priors": [0.5, 0.5, 0.5]}, LABELS, "of sum 1.5: give probabilities"),
        ({"priors": dict.fromkeys("abc", 1 / 3)}, LABELS, "nothing for class 'setosa'"),
        ({"mixture": "full"}, LABELS, "'mixture' parameter"),
        ({"mixture": GaussianMixture(tol=-1)}, LABELS, "'tol' parameter of GaussianMixture"),
        ({}, None, "requires y to be passed"),
        ({}, LABELS[:-1], "150 rows, but y 149 labels"),
        ({}, np.stack([LABELS, LABELS], axis=1), r"1d array, got an array of shape \(150, 2\)"),
        ({}, IRIS.data[:, 0], "Unknown label type: continuous. y holds 5.1"),
        ({}, np.where(IRIS.target > 1, np.nan, 1.0), "Input y contains NaN"),
        ({}, [None, *LABELS[1:]], "row 0 has no label"),
        ({}, IRIS.target * 1j, "Unknown label type: complex128"),
        ({}, np.append(np.zeros(149), 1), "Class 1.0: Found array with 1 sample"),
    ],
)
def test_refused(arguments: dict[str, Any], y: Any, message: str) -> None:
    """What cannot be fitted is refused, and a class by its name."""
    with pytest.raises(ValueError, match=message):
        GaussianMixtureClassifier(**arguments).fit(IRIS.data, y)


def test_labels_of_several_kinds() -> None:
    """Labels that have no order are refused; a column of labels is taken, with a warning."""
    with pytest.raises(TypeError, match="Labels of several kinds in y"):
        GaussianMixtureClassifier().fit(IRIS.data, np.array([*LABELS[:149], 1], dtype=object))
    classifier = GaussianMixtureClassifier()
    with pytest.warns(UserWarning, match="A column-vector y was passed"):
        classifier.fit(IRIS.data, LABELS[:, np.newaxis])
    with pytest.raises(ValueError, match=r"y holds 0, but classes are like 'setosa': make both of one kind"):
        classifier.score(IRIS.data, IRIS.target)
    assert classifier.score(IRIS.data, LABELS.astype(object)) == classifier.score(IRIS.data, LABELS) > 0.9
    with pytest.raises(NotFittedError, match="This GaussianMixtureClassifier instance is not fitted yet"):
        GaussianMixtureClassifier().predict(IRIS.data)


def test_names_pickle_and_page() -> None:
    """Names of columns are kept, also by the mixtures; a pickle answers alike; a notebook shows the classes."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(IRIS.data, columns=list("abcd"))
    classifier = GaussianMixtureClassifier()
    assert "not fitted" in classifier._repr_html_()
    classifier.fit(frame, LABELS)
    assert classifier.feature_names_in_.tolist() == classifier.mixtures_[0].feature_names_in_.tolist() == list("abcd")
    again = pickle.loads(pickle.dumps(classifier))
    np.testing.assert_array_equal(again.predict_proba(frame), classifier.predict_proba(frame))
    page = classifier._repr_html_()
    assert all(word in page for word in ("setosa", "0.3333", "full"))
    assert not hasattr(classifier.fit(IRIS.data, LABELS), "feature_names_in_")


def test_failed_fit_changes_nothing() -> None:
    """A fit that fails, or is interrupted in a later class, leaves the classifier as it was."""
    calls = []

    def press(iteration: int, *_: Any) -> None:
        calls.append(iteration)
        if len(calls) > 4:
            raise KeyboardInterrupt

    classifier = GaussianMixtureClassifier().fit(IRIS.data, LABELS)
    before = vars(classifier).copy()
    classifier.mixture = GaussianMixture(2, callback=press, random_state=0)
    with pytest.raises(KeyboardInterrupt):
        classifier.fit(IRIS.data, IRIS.target)
    classifier.mixture = None
    assert vars(classifier) == before
