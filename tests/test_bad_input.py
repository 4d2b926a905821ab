"""Invalid rows, arguments and attributes raise scikit-learn's exceptions and leave the estimator as it was."""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from problems import Array, table_of

import fastgmm
from fastgmm import GaussianMixture

PREDICTIONS = ("predict", "predict_proba", "score_samples", "score", "bic", "aic")
GOOD = np.random.default_rng(0).normal(size=(30, 2))


def with_value(value: Any, row: int = 4, column: int = 1) -> Array:
    """Good rows but for one value."""
    rows = GOOD.copy()
    rows[row, column] = value
    return rows


def nullable() -> Any:
    """A pandas table with its own missing value."""
    pandas = pytest.importorskip("pandas")
    return pandas.DataFrame({"a": pandas.array([1, None, 3], dtype="Int64"), "b": [1.0, 2.0, 3.0]})


def too_large() -> Any:
    """A long double beyond the range of float64, or an infinity where long doubles are no longer."""
    rows = GOOD.astype(np.longdouble)
    rows[4, 1] = np.longdouble("1e4000")
    return rows


# Name: rows (made when asked for, as some need optional packages), and what both libraries' messages say.
ROWS: dict[str, tuple[Callable[[], Any], str]] = {
    "nan": (lambda: with_value(np.nan), "Input X contains NaN"),
    "nan in float32": (lambda: with_value(np.nan).astype("f4"), "Input X contains NaN"),
    "nan in a list": (lambda: with_value(np.nan).tolist(), "Input X contains NaN"),
    "None in a list": (lambda: [[1.0, 2.0], [None, 3.0], [4.0, 5.0]], "NaN"),
    "infinity": (lambda: with_value(np.inf), "Input X contains infinity or a value too large for dtype"),
    "minus infinity": (lambda: with_value(-np.inf), "Input X contains infinity or a value too large for dtype"),
    "too large": (too_large, "infinity or a value too large"),
    "pandas NA": (nullable, "NaN"),
    "polars null": (lambda: table_of("polars", a=[1, None, 3], b=[1.0, 2.0, 3.0]), "NaN"),
    "pyarrow null": (lambda: table_of("pyarrow", a=[1, None, 3], b=[1.0, 2.0, 3.0]), "NaN"),
    "no samples": (lambda: np.empty((0, 2)), r"Found array with 0 sample\(s\) \(shape=\(0, 2\)\) while a minimum of 2"),
    "no features": (lambda: np.empty((5, 0)), r"0 feature\(s\) \(shape=\(5, 0\)\) while a minimum of 1 is required"),
    "one sample": (lambda: GOOD[:1], r"1 sample\(s\)"),
    "empty list": (list, "Expected 2D array, got 1D array instead"),
    "1-D": (lambda: GOOD[:, 0], "Expected 2D array, got 1D array instead.*Reshape your data"),
    "list of numbers": (lambda: [1.0, 2.0, 3.0], "Expected 2D array, got 1D array instead.*Reshape your data"),
    "series": (lambda: table_of("pandas", a=[1.0, 2.0])["a"], "Expected a 2-dimensional container but got .*Series"),
    "scalar": (lambda: 3.0, "Expected 2D array, got scalar array instead"),
    "None": (lambda: None, "Expected 2D array, got scalar array instead"),
    "3-D": (lambda: GOOD[:, :, None], "Found array with dim 3, while dim <= 2 is required"),
    "complex": (lambda: GOOD + 1j, "Complex data not supported"),
    "strings": (lambda: [["a", "b"], ["c", "d"]], ""),
    "objects": (lambda: np.array([[{}, 1], [2, 3]], dtype=object), "argument must be .* string.* number"),
    "text column": (lambda: table_of("pandas", a=[1.0, 2.0], b=["x", "y"]), "could not convert string to float: 'x'"),
    "dict": (lambda: {"a": [1.0, 2.0]}, "argument must be .* string.* number"),
    "ragged list": (lambda: [[1.0, 2.0], [3.0]], "inhomogeneous"),
    "matrix": (lambda: np.asmatrix(GOOD), "np.matrix is not supported"),
    "sparse matrix": (lambda: pytest.importorskip("scipy.sparse").csr_matrix(GOOD), "Sparse data was passed"),
    "sparse array": (lambda: pytest.importorskip("scipy.sparse").coo_array(GOOD), "dense data is required"),
    "mixed names": (
        lambda: table_of("pandas", a=[1.0, 2.0]).assign(b=0.0).rename(columns={"b": 1}),
        "string names",
    ),
}

ARGUMENTS: list[tuple[dict[str, Any], str]] = [
    *(({"n_components": bad}, r"must be an int in the range \[1, inf\)") for bad in (0, -1, 1.5, "3", None)),
    *(({"tol": bad}, r"must be a float in the range \[0.0, inf\)") for bad in (-1e-3, np.nan, np.inf, "small", None)),
    *(({"reg_covar": bad}, r"must be a float in the range \[0.0, inf\)") for bad in (-1, np.nan, np.inf, None)),
    *(({"max_iter": bad}, r"must be an int in the range \[0, inf\)") for bad in (-1, 10.0, None)),
    *(({"n_init": bad}, r"must be an int in the range \[1, inf\)") for bad in (0, 2.0)),
    *(({"init_params": bad}, "must be a str among {") for bad in ("nonsense", 3, None, ["kmeans"])),
    *(({"covariance_type": bad}, "must be a str among {") for bad in ("banana", None, 2, ["full"])),
    *(({"random_state": bad}, "must be an int in the range") for bad in (-1, 2**32, 1.5, "seed")),
    *(({"warm_start": bad}, "'warm_start' parameter of GaussianMixture must be") for bad in (1, "yes", None)),
    *(({"verbose": bad}, r"must be an int in the range \[0, inf\)") for bad in (-1, 0.5, "loud")),
    *(({"verbose_interval": bad}, r"must be an int in the range \[1, inf\)") for bad in (0, 1.5)),
    *(({"weights_init": bad}, "must be an array-like or None") for bad in (1.0, "half")),
    *(({"means_init": bad}, "must be an array-like or None") for bad in (1, "here")),
    *(({"precisions_init": bad}, "must be an array-like or None") for bad in (2.0, "sharp")),
]

DEFINITE = "'{} precision' should be symmetric, positive-definite"
STARTS: list[tuple[dict[str, Any], str]] = [
    ({"weights_init": [0.5, 0.3, 0.2]}, r"The parameter 'weights' should have the shape of \(2,\), but got \(3,\)"),
    ({"weights_init": [[0.5, 0.5]]}, "'weights' should have the shape of"),
    ({"weights_init": [0.5, 0.4]}, r"The parameter 'weights' should be normalized, but got sum\(weights\) = 0.90000"),
    ({"weights_init": [1.5, -0.5]}, r"The parameter 'weights' should be in the range \[0, 1\]"),
    ({"weights_init": [-0.5, 0.5]}, r"The parameter 'weights' should be in the range \[0, 1\]"),
    ({"weights_init": [0.5, np.nan]}, "NaN"),
    ({"weights_init": ["a", "b"]}, ""),
    ({"means_init": [[0.0, 0.0]]}, r"The parameter 'means' should have the shape of \(2, 2\), but got \(1, 2\)"),
    ({"means_init": [[0.0], [1.0]]}, "'means' should have the shape of"),
    ({"means_init": [[0.0, np.inf], [1.0, 1.0]]}, "infinity"),
    ({"means_init": np.zeros((2, 2)) + 1j}, "Complex data not supported"),
    ({"precisions_init": np.eye(2)}, r"The parameter 'full precision' should have the shape of \(2, 2, 2\)"),
    ({"precisions_init": [np.eye(2), -np.eye(2)]}, DEFINITE.format("full")),
    ({"precisions_init": [np.eye(2), np.zeros((2, 2))]}, DEFINITE.format("full")),
    ({"precisions_init": [[[1.0, 0.5], [0.0, 1.0]], np.eye(2)]}, DEFINITE.format("full")),
    ({"covariance_type": "tied", "precisions_init": -np.eye(2)}, DEFINITE.format("tied")),
    ({"covariance_type": "tied", "precisions_init": np.ones((2, 3))}, "'tied precision' should have the shape of"),
    ({"covariance_type": "diag", "precisions_init": [[1, 0], [1, 1]]}, "'diag precision' should be positive"),
    ({"covariance_type": "diag", "precisions_init": np.ones(2)}, "'diag precision' should have the shape of"),
    ({"covariance_type": "spherical", "precisions_init": [1, -1]}, "'spherical precision' should be positive"),
    ({"covariance_type": "spherical", "precisions_init": [1.0]}, "'spherical precision' should have the shape of"),
]


def failure(call: Callable[[], Any]) -> Exception:
    """The exception that a call raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            call()
        except Exception as error:
            return error
    raise AssertionError("nothing was raised")


def assert_same_failure(ours: Callable[[], Any], theirs: Callable[[], Any], words: str) -> str:
    """Both calls raise; whatever catches scikit-learn's exception catches ours; both say the words."""
    expected, got = failure(theirs), failure(ours)
    assert isinstance(got, type(expected)), (got, expected)
    assert re.search(words, str(expected), re.DOTALL), f"scikit-learn says: {expected}"
    assert re.search(words, str(got), re.DOTALL), f"fastgmm says: {got}"
    return str(got)


def fitted_attributes(model: Any) -> bytes:
    """Everything that a fit has left."""
    return pickle.dumps({name: value for name, value in vars(model).items() if name.endswith("_")})


# fit --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["fit", "fit_predict"])
@pytest.mark.parametrize("case", ROWS)
def test_bad_rows(sklearn_mixture: Any, case: str, method: str) -> None:
    """Rows are refused as in scikit-learn, and a fitted estimator stays as it was."""
    make, words = ROWS[case]
    model = GaussianMixture(2, random_state=0).fit(GOOD)
    before = fitted_attributes(model)
    assert_same_failure(
        lambda: getattr(model, method)(make()), lambda: getattr(sklearn_mixture(), method)(make()), words
    )
    assert fitted_attributes(model) == before


@pytest.mark.parametrize(("options", "words"), ARGUMENTS, ids=str)
def test_bad_arguments(sklearn_mixture: Any, options: dict[str, Any], words: str) -> None:
    """Arguments are checked by fit, not before, and are named with the value seen."""
    model = GaussianMixture(2, random_state=0).fit(GOOD)
    before = fitted_attributes(model)
    model.set_params(**options)
    message = assert_same_failure(lambda: model.fit(GOOD), lambda: sklearn_mixture(**options).fit(GOOD), words)
    ((name, value),) = options.items()
    assert f"The {name!r} parameter of GaussianMixture must be" in message
    assert f"Got {value!r} instead" in message
    assert fitted_attributes(model) == before
    for expected in (ValueError, TypeError):
        with pytest.raises(expected):
            GaussianMixture(**options).fit(GOOD)


@pytest.mark.parametrize("bad", [0, -1, 1.5, "2"])
def test_bad_n_threads(bad: Any) -> None:
    """n_threads, which scikit-learn does not have, is checked like the other arguments."""
    with pytest.raises(ValueError, match=r"'n_threads' .* must be an int in the range \[1, inf\) or None\. Got"):
        GaussianMixture(n_threads=bad).fit(GOOD)


@pytest.mark.parametrize(("options", "words"), STARTS, ids=lambda value: str(value)[:60])
def test_bad_starts(sklearn_mixture: Any, options: dict[str, Any], words: str) -> None:
    """Starting values of wrong shape or range are refused."""
    model = GaussianMixture(2, random_state=0).fit(GOOD)
    before = fitted_attributes(model)
    model.set_params(**options)
    assert_same_failure(lambda: model.fit(GOOD), lambda: sklearn_mixture(2, **options).fit(GOOD), words)
    assert fitted_attributes(model) == before


def test_fewer_rows_than_components(sklearn_mixture: Any) -> None:
    """Fewer rows than components are refused."""
    words = "Expected n_samples >= n_components but got n_components = 4, n_samples = 3"
    assert_same_failure(lambda: GaussianMixture(4).fit(GOOD[:3]), lambda: sklearn_mixture(4).fit(GOOD[:3]), words)


@pytest.mark.parametrize("structure", ["full", "tied", "diag", "spherical"])
def test_ill_defined_covariance(sklearn_mixture: Any, structure: str) -> None:
    """Rows on two points have no covariance; the estimator stays as it was."""
    rows = np.repeat([[0.0, 0.0], [5.0, 5.0]], 10, axis=0)
    options = {"covariance_type": structure, "reg_covar": 0.0, "means_init": rows[[0, -1]]}
    model = GaussianMixture(2, covariance_type=structure, random_state=0).fit(GOOD)
    before = fitted_attributes(model)
    model.set_params(**options, degenerate="raise")
    assert_same_failure(
        lambda: model.fit(rows), lambda: sklearn_mixture(2, **options).fit(rows), "ill-defined empirical covariance"
    )
    assert fitted_attributes(model) == before


def test_failed_fit_sets_no_attributes() -> None:
    """A failed first fit leaves no fitted attribute."""
    model = GaussianMixture(2, means_init=[[0.0]])
    with pytest.raises(ValueError, match="'means' should have the shape"):
        model.fit(GOOD)
    assert not [name for name in vars(model) if name.endswith("_")]


def test_warm_start_with_other_sizes() -> None:
    """A warm start cannot change the number of components, of features, or the structure."""
    model = GaussianMixture(2, warm_start=True, random_state=0).fit(GOOD)
    before = fitted_attributes(model)
    with pytest.raises(ValueError, match=r"means_ of shape \(2, 2\): .*\(3, 2\).*warm_start=False"):
        model.set_params(n_components=3).fit(GOOD)
    with pytest.raises(ValueError, match=r"means_ of shape \(2, 2\): .*\(2, 1\)"):
        model.set_params(n_components=2).fit(GOOD[:, :1])
    with pytest.raises(ValueError, match=r"covariance_type is 'spherical' now, .* shape \(2, 2, 2\).*warm_start=False"):
        model.set_params(covariance_type="spherical").fit(GOOD)
    assert fitted_attributes(model) == before


# Where and what ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize(("row", "column"), [(0, 0), (29, 1), (4, 0)])
def test_message_names_row_and_column(row: int, column: int, order: str) -> None:
    """The message names row and column of the first value that is not finite."""
    rows = np.asarray(with_value(np.nan, row, column), order=order)
    with pytest.raises(ValueError, match=rf"NaN, first at row {row}, column {column}\."):
        GaussianMixture().fit(rows)
    rows[row, column] = -np.inf
    with pytest.raises(ValueError, match=rf"-inf at row {row}, column {column}\."):
        GaussianMixture().fit(rows)


def test_nonfinite_value_in_a_late_block() -> None:
    """The search for NaN goes through all blocks of rows."""
    rows = np.zeros((300_000, 2), dtype=np.float32)
    rows[299_998, 1] = np.nan
    with pytest.raises(ValueError, match="row 299998, column 1"):
        GaussianMixture().fit(rows)


def test_infinities_that_cancel() -> None:
    """Infinities of both signs are found, though no sum of them is infinite."""
    with pytest.raises(ValueError, match=r"infinity .* row 2, column 0"):
        GaussianMixture().fit([[0.0], [1.0], [np.inf], [-np.inf]])


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_message_names_table_column(library: str) -> None:
    """Columns of tables are named."""
    with pytest.raises(ValueError, match="row 1, column 'width'"):
        GaussianMixture().fit(table_of(library, height=[1.0, 2.0], width=[1.0, np.nan]))
    with pytest.raises(ValueError, match=r"holds 'wide' at row 1, column 'width'.*drop it"):
        GaussianMixture().fit(table_of(library, height=[1.0, 2.0], width=["1", "wide"]))


def test_masked_values() -> None:
    """Masked values are refused, where their hidden contents would be taken without a word."""
    rows = np.ma.masked_array(GOOD, mask=GOOD > 1)
    with pytest.raises(ValueError, match=f"X contains {(GOOD > 1).sum()} masked values"):
        GaussianMixture().fit(rows)


@pytest.mark.parametrize("kind", ["V8", [("a", "f8"), ("b", "f8")]])
def test_non_numeric_dtypes(kind: Any) -> None:
    """Bytes and records are refused."""
    with pytest.raises(ValueError, match=r"X has dtype .*, which holds no numbers"):
        GaussianMixture().fit(np.zeros((2, 2), kind))


def test_complex_list() -> None:
    """A list of complex numbers is refused like an array of them, even where they are real."""
    with pytest.raises(ValueError, match="Complex data not supported: X has dtype complex128"):
        GaussianMixture().fit((GOOD + 0j).tolist())


def test_message_names_bad_precision() -> None:
    """The message names the component and what is wrong with its precision."""
    with pytest.raises(ValueError, match=r"component 1 has the eigenvalue -3\."):
        GaussianMixture(2, precisions_init=[np.eye(2), np.diag([1.0, -3.0])]).fit(GOOD)
    with pytest.raises(ValueError, match=r"component 0 is not symmetric"):
        GaussianMixture(2, precisions_init=[[[1.0, 0.5], [0.0, 1.0]], np.eye(2)]).fit(GOOD)


# Use of a mixture -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", PREDICTIONS)
def test_not_fitted(sklearn_mixture: Any, method: str) -> None:
    """Every method asks for a fit, before it looks at the rows."""
    words = "This GaussianMixture instance is not fitted yet"
    assert_same_failure(
        lambda: getattr(GaussianMixture(), method)(None), lambda: getattr(sklearn_mixture(), method)(None), words
    )
    with pytest.raises(fastgmm.NotFittedError, match=words):
        getattr(GaussianMixture(), method)(GOOD)


def test_not_fitted_sample(sklearn_mixture: Any) -> None:
    """sample asks for a fit too, and names the attributes that a mixture set by hand lacks."""
    assert_same_failure(GaussianMixture().sample, sklearn_mixture().sample, "is not fitted yet")
    model = GaussianMixture()
    model.weights_, model.means_ = np.ones(1), np.zeros((1, 1))
    with pytest.raises(fastgmm.NotFittedError, match=r"by hand: covariances_\.$"):
        model.sample()
    with pytest.raises(fastgmm.NotFittedError, match=r"by hand: precisions_cholesky_\.$"):
        model.predict([[0.0]])


PREDICTED = ("nan", "infinity", "1-D", "3-D", "complex", "sparse matrix", "objects", "text column", "mixed names")


@pytest.mark.parametrize("method", ["predict", "predict_proba", "score_samples", "score"])
@pytest.mark.parametrize("case", PREDICTED)
def test_bad_rows_to_predict(sklearn_mixture: Any, case: str, method: str) -> None:
    """Rows to predict are refused like those to fit."""
    make, words = ROWS[case]
    ours, theirs = GaussianMixture().fit(GOOD), sklearn_mixture().fit(GOOD)
    assert_same_failure(lambda: getattr(ours, method)(make()), lambda: getattr(theirs, method)(make()), words)


@pytest.mark.parametrize("method", PREDICTIONS)
def test_other_number_of_features(sklearn_mixture: Any, method: str) -> None:
    """Rows with another number of features than in fit are refused."""
    ours, theirs = GaussianMixture().fit(GOOD), sklearn_mixture().fit(GOOD)
    words = "X has 3 features, but GaussianMixture is expecting 2 features as input"
    rows = np.zeros((4, 3))
    assert_same_failure(lambda: getattr(ours, method)(rows), lambda: getattr(theirs, method)(rows), words)


def test_no_rows_to_predict(sklearn_mixture: Any) -> None:
    """At least one row is needed to predict."""
    ours, theirs = GaussianMixture().fit(GOOD), sklearn_mixture().fit(GOOD)
    rows = np.empty((0, 2))
    assert_same_failure(lambda: ours.predict(rows), lambda: theirs.predict(rows), r"0 sample\(s\).*minimum of 1")
    assert ours.predict(GOOD[:1]).shape == (1,)


@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.parametrize("names", [["b", "a"], ["a", "c"], ["a", "b", "c"], ["a"], list("cdefghij")])
def test_other_feature_names(sklearn_mixture: Any, library: str, names: list[str]) -> None:
    """Columns have the names of the fit, in its order; differences are listed as in scikit-learn."""
    rows = table_of(library, a=GOOD[:, 0], b=GOOD[:, 1])
    ours, theirs = GaussianMixture().fit(rows), sklearn_mixture().fit(rows)
    other = table_of(library, **dict.fromkeys(names, GOOD[:, 0]))
    expected = str(failure(lambda: theirs.predict(other)))
    with pytest.raises(ValueError, match="The feature names should match those that were passed during fit"):
        ours.predict(other)
    assert str(failure(lambda: ours.predict(other))) == expected


def test_feature_names_in_fit_or_predict_only(sklearn_mixture: Any) -> None:
    """Names in fit alone or in predict alone are warned of, pointing at the caller."""
    rows = table_of("pandas", a=GOOD[:, 0], b=GOOD[:, 1])
    for fit_on, predict_on in ((GOOD, rows), (rows, GOOD), (rows, GOOD.tolist())):
        messages = []
        for estimator in (GaussianMixture, sklearn_mixture):
            model = estimator().fit(fit_on)
            with pytest.warns(UserWarning, match="feature names, but GaussianMixture was fitted with") as caught:
                model.predict(predict_on)
            messages.append(str(caught[0].message))
            assert estimator is sklearn_mixture or caught[0].filename == __file__
        assert messages[0] == messages[1]


@pytest.mark.parametrize("n_samples", [0, -3])
def test_bad_n_samples(sklearn_mixture: Any, n_samples: int) -> None:
    """n_samples below one is refused."""
    ours, theirs = GaussianMixture().fit(GOOD), sklearn_mixture().fit(GOOD)
    words = "Invalid value for 'n_samples'.*least one sample"
    message = assert_same_failure(lambda: ours.sample(n_samples), lambda: theirs.sample(n_samples), words)
    assert str(n_samples) in message


@pytest.mark.parametrize("n_samples", [1.5, "3", None])
def test_n_samples_must_be_int(n_samples: Any) -> None:
    """An n_samples that is no int is a TypeError."""
    with pytest.raises(TypeError, match="Invalid value for 'n_samples'"):
        GaussianMixture().fit(GOOD).sample(n_samples)


@pytest.mark.parametrize("random_state", [-1, "seed", 0.5])
def test_bad_random_state_of_sample(sklearn_mixture: Any, random_state: Any) -> None:
    """A random state set after the fit is checked before it is used."""
    ours, theirs = GaussianMixture().fit(GOOD), sklearn_mixture().fit(GOOD)
    for model in (ours, theirs):
        model.set_params(random_state=random_state)
    assert_same_failure(ours.sample, theirs.sample, "")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("means_", np.zeros(2)),
        ("means_", np.zeros((3, 2))),
        ("means_", np.zeros((2, 2, 2))),
        ("weights_", np.ones((2, 2))),
        ("weights_", np.ones((1, 2))),
        ("weights_", np.float64(1.0)),
        ("precisions_cholesky_", np.eye(2)),
        ("precisions_cholesky_", np.zeros((2, 3, 3))),
    ],
)
def test_bad_attribute_shapes(name: str, value: Any) -> None:
    """Attributes set by hand are measured before the kernels read them."""
    model = GaussianMixture(2, random_state=0).fit(GOOD)
    setattr(model, name, value)
    with pytest.raises(ValueError, match=r"The attribute '.*' should have the shape of"):
        model.predict(GOOD)


def test_bad_covariances_shape() -> None:
    """Covariances set by hand are measured before samples are drawn from them."""
    model = GaussianMixture(2, random_state=0).fit(GOOD)
    model.covariances_ = np.eye(2)
    with pytest.raises(ValueError, match=r"'covariances_' should have the shape of \(2, 2, 2\), but got \(2, 2\)"):
        model.sample()


QUESTIONS = {
    **{name: lambda model, name=name: getattr(model, name)(GOOD) for name in (*PREDICTIONS, "icl", "uncertainty")},
    "regress": lambda model: model.regress(GOOD[:, :1], [1]),
    "marginal": lambda model: model.marginal(0),
    "condition": lambda model: model.condition(0, 0.0),
    "sample": lambda model: model.sample(),
    "statistics": lambda model: fastgmm.statistics(model, GOOD),
    "partial_fit": lambda model: model.partial_fit(GOOD),
}


@pytest.mark.parametrize("structure", ["full", "tied", "diag", "spherical"])
@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("weights_", lambda values: values * [1, -1], "should hold probabilities.*from -0"),
        ("weights_", lambda values: values * 1.1, "with the sum 1.1"),
        ("weights_", lambda values: values * 0.9, "with the sum 0.9"),
        ("weights_", lambda values: values * 1e308 * 10, "should hold probabilities.*inf"),
        ("weights_", lambda values: values * [1, np.nan], "should hold probabilities.*nan"),
        ("weights_", lambda values: ["a", "b"], r"should be an array of numbers, but is \['a'"),
        ("means_", lambda values: values * np.nan, "'means_' holds nan"),
        ("means_", lambda values: values * np.inf, "'means_' holds -?inf"),
        ("means_", lambda values: values.astype(object) + "1", "should be an array of numbers"),
        ("means_", lambda values: values[:, :0], "shape|expecting 0 features"),
    ],
)
def test_bad_attribute_values(structure: str, name: str, change: Any, words: str) -> None:
    """Weights that are no probabilities and means that are no numbers are named by every question."""
    model = GaussianMixture(2, covariance_type=structure, random_state=0).fit(GOOD)
    with np.errstate(all="ignore"):
        try:
            setattr(model, name, change(getattr(model, name)))
        except TypeError:
            setattr(model, name, [["1", "x"], ["2", "y"]])
    for question, ask in QUESTIONS.items():
        with pytest.raises(ValueError, match=words):
            pytest.fail(f"{question}: {ask(model)}")


@pytest.mark.parametrize("structure", ["full", "tied", "diag", "spherical"])
def test_bad_factors_and_covariances(structure: str) -> None:
    """Factors that no precision has are named by all questions that read them, covariances by sample."""
    for wrong in (np.nan, -np.inf, -1.0, 0.0):
        model = GaussianMixture(2, covariance_type=structure, random_state=0).fit(GOOD)
        with np.errstate(invalid="ignore"):
            model.precisions_cholesky_ = wrong * model.precisions_cholesky_
        for question, ask in QUESTIONS.items():
            if question != "sample":
                with pytest.raises(ValueError, match=r"'precisions_cholesky_' (holds|should be positive)"):
                    pytest.fail(f"{question}: {ask(model)}")
    for wrong in (np.nan, np.inf, -1.0):
        model = GaussianMixture(2, covariance_type=structure, random_state=0).fit(GOOD)
        with np.errstate(invalid="ignore"):
            model.covariances_ = wrong * model.covariances_
        with pytest.raises(ValueError, match=r"'covariances_' (holds|has the variance -)"):
            model.sample()
        assert np.isfinite(model.score(GOOD))


@pytest.mark.parametrize("unit", [1e-150, 1e-10, 1.0, 1e150])
def test_covariances_that_no_samples_have(unit: float) -> None:
    """Asymmetric and indefinite covariances are refused in any units; singular ones can be drawn from."""
    model = GaussianMixture.from_parameters([1], [[0, 0]], [np.eye(2)], random_state=0)
    for wrong, words in (([[1, 0.9], [0, 1]], "symmetric"), ([[1, 2], [2, 1]], "component 0: .* is -1")):
        model.covariances_ = np.array([wrong]) * unit
        with pytest.raises(ValueError, match=words):
            model.sample()
    model.covariances_ = np.array([[[1.0, 2], [2, 4]]]) * unit
    drawn = model.sample(5)[0] / np.sqrt(unit)
    np.testing.assert_allclose(drawn[:, 1], 2 * drawn[:, 0], rtol=1e-6)
    model.covariances_ = np.array([[[1.0, 0], [0, 0]]]) * unit
    drawn = model.sample(5)[0] / np.sqrt(unit)
    assert drawn[:, 0].all() and not drawn[:, 1].any()


@pytest.mark.parametrize("unit", [1e-150, 1e-12, 1e12, 1e150])
def test_symmetry_in_any_units(unit: float) -> None:
    """Asymmetric covariances and precisions are refused, rounding is not, whatever the units of one or all features."""
    lopsided = np.array([[1, 0.9], [0, 1]])
    rounded = np.array([[1, 0.5 + 1e-7], [0.5, 1]])
    for units in (np.full(2, unit**0.5), np.array([1.0, unit**0.5])):
        scale = units * units[:, np.newaxis]
        with pytest.raises(ValueError, match="not symmetric"):
            GaussianMixture.from_parameters([1], [[0, 0]], [lopsided * scale])
        GaussianMixture.from_parameters([1], [[0, 0]], [rounded * scale])
        with pytest.raises(ValueError, match="not symmetric"):
            GaussianMixture(precisions_init=[lopsided / scale]).fit(GOOD)
        with pytest.raises(ValueError, match="eigenvalue"):
            GaussianMixture(precisions_init=[np.array([[1, 2], [2, 1]]) / scale]).fit(GOOD)
        fitted = GaussianMixture(precisions_init=[rounded / scale], max_iter=0).fit(GOOD * units)
        np.testing.assert_allclose(fitted.precisions_[0] * scale, rounded, rtol=1e-6)


def test_structure_changed_after_the_fit() -> None:
    """Another covariance_type without another fit is refused, an unknown one too."""
    model = GaussianMixture(2, random_state=0).fit(GOOD)
    with pytest.raises(ValueError, match=r"'precisions_cholesky_' should have the shape of \(2, 2\)"):
        model.set_params(covariance_type="diag").predict(GOOD)
    for bad in ("banana", ["full"]):
        with pytest.raises(ValueError, match="'covariance_type' parameter of GaussianMixture must be"):
            model.set_params(covariance_type=bad).predict(GOOD)
