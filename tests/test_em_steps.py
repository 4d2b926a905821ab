"""EM by fastgmm.statistics, merge and maximize on parts of the rows equals fit on all of them."""

from __future__ import annotations

import pickle
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference as twin
from problems import Array, assert_same_fit, grouped_rows, run_python

import fastgmm
from fastgmm import GaussianMixture, Statistics
from fastgmm.exceptions import DegenerateComponentWarning, ModelFileError, NotFittedError
from fastgmm.model import archive
from fastgmm.model.structures import LAYOUTS, STRUCTURES
from fastgmm.sources.array import ArraySource
from fastgmm.sources.pooled import PooledRows

PARTS = (slice(0, 7), slice(7, 300), slice(300, 301), slice(301, 500))


def far_rows(seed: int = 0) -> Array:
    """Rows of three overlapping groups, far from the origin."""
    return grouped_rows(500, 3, 2, seed=seed, scale=[1, 2, 0.5], offset=50)


def started(X: Array, **options: Any) -> GaussianMixture:
    """A mixture at the start of a fit."""
    return GaussianMixture(**({"n_components": 3, "random_state": 0} | options | {"max_iter": 0})).fit(X)


def em_of_parts(mixture: GaussianMixture, X: Array, n_iter: int) -> GaussianMixture:
    """EM iterations from parts of the rows."""
    for _ in range(n_iter):
        parts = [fastgmm.statistics(mixture, X[part]) for part in PARTS]
        mixture = fastgmm.maximize(mixture, fastgmm.merge(*parts))
    return mixture


@pytest.mark.parametrize("reg_covar", [1e-6, "auto"])
@pytest.mark.parametrize("structure", LAYOUTS)
def test_merged_statistics_equal_fit(structure: str, reg_covar: float | str) -> None:
    """Iterations of maximize on merged statistics of parts end where fit does."""
    X = far_rows()
    options: dict[str, Any] = {"covariance_type": structure, "reg_covar": reg_covar}
    whole = GaussianMixture(3, tol=0, max_iter=5, random_state=0, **options).fit(X)
    mixture = em_of_parts(started(X, tol=0, **options), X, 5)
    assert_same_fit(mixture, whole, 1e-12)
    assert mixture.n_iter_ == 5 and mixture.lower_bound_ == mixture.lower_bounds_[-1] and not mixture.converged_
    assert mixture.n_features_in_ == 3 and mixture.stop_reason_ == "max_iter"


@pytest.mark.parametrize("convergence", ["likelihood", "parameters", "aitken"])
def test_maximize_converges_like_fit(convergence: str) -> None:
    """`converged_` becomes true after the same number of iterations."""
    X = far_rows(1)
    options: dict[str, Any] = {"convergence": convergence, "tol": 1e-3}
    whole = GaussianMixture(3, random_state=0, max_iter=500, **options).fit(X)
    mixture = started(X, **options)
    while not mixture.converged_:
        mixture = em_of_parts(mixture, X, 1)
    assert mixture.n_iter_ == whole.n_iter_ > 3 and mixture.stop_reason_ == whole.stop_reason_ == "tol"
    assert_same_fit(mixture, whole, 1e-9)


def test_maximize_leaves_its_mixture_unchanged() -> None:
    """maximize returns another mixture, with the same arguments and feature names."""
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(far_rows(), columns=["a", "b", "c"])
    mixture = started(table, covariance_type="diag")
    before = pickle.dumps(mixture)
    made = fastgmm.maximize(mixture, fastgmm.statistics(mixture, table))
    assert pickle.dumps(mixture) == before
    assert made is not mixture and made.get_params() == mixture.get_params()
    assert list(made.feature_names_in_) == ["a", "b", "c"]


def test_float32_statistics() -> None:
    """Statistics of float32 rows give a mixture of float32 numbers."""
    X = far_rows().astype(np.float32)
    whole = GaussianMixture(3, tol=0, max_iter=1, random_state=0).fit(X)
    mixture = em_of_parts(started(X), X, 1)
    assert mixture.means_.dtype == np.float32
    assert_same_fit(mixture, whole, 1e-5)


@pytest.mark.parametrize("structure", LAYOUTS)
def test_statistics_equal_twin(structure: str) -> None:
    """All moments are those of the twin."""
    rng = np.random.default_rng(3)
    model = twin.random_model(rng, structure, 3, 4, condition=10.0)
    X = twin.sample(rng, model, 300)
    mixture = GaussianMixture(
        3,
        covariance_type=structure,
        max_iter=0,
        weights_init=model.weights,
        means_init=model.means,
        precisions_init=STRUCTURES[structure].precisions(
            STRUCTURES[structure].factorize(np.array(model.covariances, float))
        ),
    ).fit(X)
    got = fastgmm.statistics(mixture, X)
    expected = twin.statistics_of(structure, X, twin.responsibilities(X, model), mixture.means_)
    np.testing.assert_allclose(got.counts, expected.counts.astype(float), rtol=1e-9)
    np.testing.assert_allclose(got.sums, expected.sums.astype(float), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(got.scatters, expected.scatters.astype(float), rtol=1e-9, atol=1e-9)
    assert got.n_samples == 300 and got.mean_log_likelihood == pytest.approx(mixture.score(X), rel=1e-12)


@pytest.mark.parametrize("structure", LAYOUTS)
@pytest.mark.parametrize("unit", [1.0, 1e-3, 1e200])
def test_merge_of_weighted_parts(structure: str, unit: float) -> None:
    """Weighted parts add up whatever the size of their weights, as rows repeated do."""
    X, weights = far_rows(), np.repeat([1.0, 64.0, 3.0], [200, 100, 200])
    mixture = started(X, covariance_type=structure)
    merged = fastgmm.merge(*(fastgmm.statistics(mixture, X[part], unit * weights[part]) for part in PARTS))
    copies = fastgmm.statistics(mixture, np.repeat(X, weights.astype(int), axis=0))
    assert merged.n_samples == pytest.approx(unit * copies.n_samples, rel=1e-12)
    for name in ("counts", "sums", "scatters", "log_likelihood"):
        ours, theirs = getattr(merged, name), unit * getattr(copies, name)
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9 * unit, err_msg=name)


# ---- degenerate components


SHARED = ("tied", "collapsed")  # a covariance that all components share does not collapse with one of them


def degenerate_start(case: str) -> tuple[Array, Array]:
    """Rows and means to start from, of which one loses its rows or collapses."""
    X = far_rows()
    if case == "empty":
        return X, np.array([X[0], X[1], X[2] + 1e6])
    X[:250] = X[0] - 30
    return X, np.array([X[0], X[300], X[301]])


@pytest.mark.parametrize(
    ("structure", "case"),
    [(structure, case) for structure in LAYOUTS for case in ("empty", "collapsed") if (structure, case) != SHARED],
)
def test_repairs_equal_fit(structure: str, case: str) -> None:
    """maximize repairs an empty and a collapsed component as fit does."""
    X, means = degenerate_start(case)
    precisions = np.eye(3) if structure == "tied" else STRUCTURES[structure].unit(means).covariances
    options: dict[str, Any] = {
        "covariance_type": structure,
        "weights_init": [0.5, 0.25, 0.25],
        "means_init": means,
        "precisions_init": precisions * 10,
        "reg_covar": 0,
        "tol": 0,
    }
    mixture = started(X, **options)
    with pytest.warns(DegenerateComponentWarning, match="component"):
        whole = GaussianMixture(3, max_iter=1, **options).fit(X)
    with pytest.warns(DegenerateComponentWarning, match="component") as caught:
        mixture = em_of_parts(mixture, X, 1)
    assert caught[0].filename == __file__
    assert mixture.degenerate_ == whole.degenerate_ != []
    assert_same_fit(mixture, whole, 1e-9)
    with pytest.warns(DegenerateComponentWarning, match=r"component 2 \(iteration 2\)" if case == "empty" else ""):
        mixture = em_of_parts(mixture, X, 1)
    assert mixture.degenerate_[: len(whole.degenerate_)] == whole.degenerate_
    assert mixture.degenerate_[-1].iteration == 2


def test_degenerate_raise() -> None:
    """With degenerate="raise" maximize refuses a collapsed component as fit does."""
    X = np.ones((10, 2))
    mixture = GaussianMixture(1, reg_covar=0, degenerate="raise")
    mixture.weights_, mixture.means_, mixture.precisions_cholesky_ = np.ones(1), np.ones((1, 2)), np.eye(2)[None]
    with pytest.raises(ValueError, match="ill-defined"):
        fastgmm.maximize(mixture, fastgmm.statistics(mixture, X))


@pytest.mark.parametrize("structure", LAYOUTS)
def test_pooled_rows(structure: str) -> None:
    """Mean, squares and scatter of all rows, from statistics about means that are not theirs."""
    X = far_rows()
    source = ArraySource(X)
    mixture = started(X, covariance_type=structure)
    pooled = PooledRows(STRUCTURES[structure], fastgmm.statistics(mixture, X))
    np.testing.assert_allclose(pooled.origin, X.mean(axis=0), rtol=1e-13)
    scatter = np.cov(X.T, bias=True) * len(X)
    squares = np.full(3, np.trace(scatter) / 3) if structure == "spherical" else np.diag(scatter)
    np.testing.assert_allclose(pooled.squares, squares, rtol=1e-11, atol=1e-9)
    if STRUCTURES[structure].triangular:
        np.testing.assert_allclose(pooled.scatter, scatter, rtol=1e-11, atol=1e-9)
    assert pooled.total == source.total and pooled.dtype == source.dtype


# ---- storing


def sample_statistics(structure: str = "full") -> Statistics:
    """Statistics of some rows."""
    return fastgmm.statistics(started(far_rows(), covariance_type=structure), far_rows())


@pytest.mark.parametrize(
    ("change", "message"),
    [({"covariance_type": "round"}, "are of 'round' covariances"), ({"scatters": np.ones(3)}, "need .3, 3, 3.")],
    ids=str,
)
def test_statistics_of_another_structure(change: dict[str, Any], message: str) -> None:
    """maximize refuses statistics whose structure or shapes do not fit, as a file may hold."""
    with pytest.raises(ValueError, match=message):
        fastgmm.maximize(started(far_rows()), replace(sample_statistics(), **change))


def assert_same_statistics(one: Statistics, other: Statistics) -> None:
    """Every attribute is the same to the bit."""
    for field in fields(Statistics):
        ours, theirs = getattr(one, field.name), getattr(other, field.name)
        assert np.array_equal(ours, theirs) and np.shape(ours) == np.shape(theirs), field.name


@pytest.mark.parametrize("structure", LAYOUTS)
def test_files_and_pickles_keep_every_bit(structure: str, tmp_path: Path) -> None:
    """Statistics read from a file or a pickle have every bit of those written."""
    statistics = sample_statistics(structure)
    for path in (tmp_path / "no suffix", str(tmp_path / "some.npz")):
        statistics.save(path)
        assert_same_statistics(Statistics.load(path), statistics)
    assert_same_statistics(pickle.loads(pickle.dumps(statistics)), statistics)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"counts": None}, "counts"),
        ({"more": np.ones(1)}, "more"),
        ({"format_version": 99}, "format version 99"),
        ({"model": "GaussianMixture"}, "it is the file of a 'GaussianMixture'"),
        ({"covariance_type": 3}, "it is the file of a 'Statistics'"),
        ({"scatters": np.ones((3, 2))}, r"scatters have shape \(3, 2\)"),
        ({"counts": np.ones(4)}, r"counts is float64 of shape \(4,\)"),
        ({"sums": np.ones((3, 3), np.float32)}, "sums is float32"),
        ({"reference": np.ones(3)}, "reference"),
        ({"counts": np.array([1.0, -1.0, 1.0])}, "counts"),
        ({"totals": np.array([-1.0, 0.0, 1e-16])}, "counts"),
        ({"totals": np.ones(2)}, r"totals is float64 of shape \(2,\)"),
    ],
    ids=str,
)
def test_files_are_checked(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    """A file whose checksum fits, but which holds something else, is refused."""
    path = tmp_path / "statistics.npz"
    sample_statistics().save(path)
    header, arrays = archive.read(path)
    changed_arrays = {name: value for name, value in change.items() if value is None or isinstance(value, np.ndarray)}
    header |= {name: value for name, value in change.items() if name not in changed_arrays}
    kept = {name: value for name, value in (arrays | changed_arrays).items() if value is not None}
    archive.write(path, header, kept)
    with pytest.raises(ModelFileError, match=f"statistics.npz' holds no statistics: .*{message}"):
        Statistics.load(path)


def test_file_of_one_variance_for_all(tmp_path: Path) -> None:
    """Scatters may have any axes of K, D or 1: structures that are registered later may share them."""
    path = tmp_path / "statistics.npz"
    statistics = replace(sample_statistics(), scatters=np.ones(1), covariance_type="one variance")
    statistics.save(path)
    np.testing.assert_array_equal(Statistics.load(path).scatters, [1.0], strict=True)


def test_pickled_objects_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An archive of NumPy with pickled objects is refused, unread."""
    monkeypatch.chdir(tmp_path)  # a long path would shorten the message
    np.savez("statistics.npz", sums=np.array([[{}] * 3] * 3), allow_pickle=True)
    with pytest.raises(ModelFileError, match="not a model saved by fastgmm"):
        Statistics.load("statistics.npz")


def test_mixture_and_statistics_are_told_apart(tmp_path: Path) -> None:
    """The file of statistics is no mixture."""
    path = tmp_path / "statistics.npz"
    sample_statistics().save(path)
    with pytest.raises(ModelFileError, match="it is a 'Statistics', not a GaussianMixture"):
        fastgmm.load(path)


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    """Empty, damaged and foreign files are refused; a missing file is an OSError."""
    path = tmp_path / "statistics.npz"
    sample_statistics().save(path)
    whole = path.read_bytes()
    np.save(tmp_path / "array.npy", np.ones(3))
    for content in (b"", b"noise", whole[: len(whole) // 2], (tmp_path / "array.npy").read_bytes()):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="holds no statistics"):
            Statistics.load(path)
    with pytest.raises(FileNotFoundError):
        Statistics.load(tmp_path / "missing.npz")


WORKER = """
import pickle, sys
import numpy as np
import fastgmm
folder = sys.argv[1]
with open(folder + "/mixture.pickle", "rb") as file:
    mixture = pickle.load(file)
fastgmm.statistics(mixture, np.load(folder + "/half.npy")).save(folder + "/half.npz")
"""


def test_statistics_from_another_process(tmp_path: Path) -> None:
    """Statistics computed elsewhere are those computed here."""
    X = far_rows()
    mixture = started(X)
    np.save(tmp_path / "half.npy", X[:250])
    (tmp_path / "mixture.pickle").write_bytes(pickle.dumps(mixture))
    run_python("-c", WORKER, str(tmp_path), check=True, cwd=tmp_path)
    there = Statistics.load(tmp_path / "half.npz")
    assert_same_statistics(there, fastgmm.statistics(mixture, X[:250]))
    made = fastgmm.maximize(mixture, fastgmm.merge(there, fastgmm.statistics(mixture, X[250:])))
    assert_same_fit(made, GaussianMixture(3, max_iter=1, random_state=0).fit(X), 1e-12)


# ---- refusals


def test_incompatible_statistics() -> None:
    """merge refuses statistics about other means, of another structure or size, and other objects."""
    X = far_rows()
    full, tied, diagonal = (started(X, covariance_type=name) for name in ("full", "tied", "diag"))
    one = fastgmm.statistics(full, X)
    later = fastgmm.statistics(fastgmm.maximize(full, one), X)
    with pytest.raises(ValueError, match="different means do not add up: the largest difference is"):
        fastgmm.merge(one, later)
    alike = fastgmm.statistics(tied, X), fastgmm.statistics(diagonal, X)
    assert alike[0].scatters.shape == alike[1].scatters.shape
    with pytest.raises(ValueError, match="'tied' and of 'diag'"):
        fastgmm.merge(*alike)
    with pytest.raises(ValueError, match=r"3 component\(s\) of 3 feature\(s\) and of 2 component"):
        fastgmm.merge(one, fastgmm.statistics(started(X, n_components=2), X))
    with pytest.raises(TypeError, match="not with list"):
        fastgmm.merge(one, [one])  # type: ignore[arg-type]


def test_statistics_of_another_mixture() -> None:
    """maximize refuses statistics of another mixture."""
    X = far_rows()
    mixture = started(X)
    one = fastgmm.statistics(mixture, X)
    for other, message in [
        (started(X, covariance_type="tied"), "'full' covariances, the mixture's are 'tied'"),
        (started(X, n_components=2), r"shape \(3, 3\), the mixture has means_ of shape \(2, 3\)"),
        (fastgmm.maximize(mixture, one), "computed for another mixture"),
    ]:
        with pytest.raises(ValueError, match=message):
            fastgmm.maximize(other, one)
    with pytest.raises(TypeError, match="got ndarray"):
        fastgmm.maximize(mixture, X)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="reg_covar"):
        fastgmm.maximize(GaussianMixture(3, reg_covar=-1), one)
    with (
        pytest.raises(ValueError, match="NaN or infinity"),
        np.errstate(invalid="raise"),
    ):
        fastgmm.maximize(mixture, replace(one, log_likelihood=-np.inf, counts=one.counts * np.nan))


@pytest.mark.parametrize("weights", [None, [3.0, 0.5, 1.0]])
@pytest.mark.parametrize(("dtype", "far"), [("float64", 1e160), ("float64", 1e200), ("float32", 1e37)])
@pytest.mark.parametrize("structure", LAYOUTS)
def test_rows_without_density(structure: str, dtype: str, far: float, weights: Any) -> None:
    """A row that squares to infinity, or that is hopelessly far, has no statistics; a step of fit refuses it too."""
    covariances = STRUCTURES[structure].uncorrelated(np.full((1, 2), 1e-6))
    covariances = covariances[0] if structure == "tied" else covariances
    mixture = GaussianMixture.from_parameters([1.0], [[0.0, 0.0]], covariances, structure)
    X = np.array([[far, 0.0], [0.0, 1e-3], [-far, 1e-3]], dtype)
    with pytest.raises(ValueError, match=r"log-likelihood.*standard deviations.*Drop outliers"):
        fastgmm.statistics(mixture, X, weights)
    with pytest.raises(ValueError, match=r"too large to be|too far apart|overflow in"):
        mixture.set_params(max_iter=1, warm_start=True).fit(X, sample_weight=weights)
    assert fastgmm.statistics(mixture, X[1:2]).counts == 1


def test_bad_rows() -> None:
    """statistics refuses an unfitted mixture, rows that are not finite, and rows of other features."""
    X = far_rows()
    with pytest.raises(NotFittedError):
        fastgmm.statistics(GaussianMixture(3), X)
    with pytest.raises(ValueError, match="first at row 0, column 1"):
        fastgmm.statistics(started(X), [[0.0, np.nan, 0.0]])
    with pytest.raises(ValueError, match="2 features, but GaussianMixture is expecting 3"):
        fastgmm.statistics(started(X), X[:, :2])
