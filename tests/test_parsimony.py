"""mclust's fourteen structures: as mclust where that is right, the most likely ones, and like any other structure.

The values of mclust stand in mclust.json. EM may end in one of several optima, and for more components than are tested
here common axes have several, too: there mclust's ends are no oracle.
"""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastgmm
from fastgmm import GaussianMixture
from fastgmm.datasets import load_faithful, load_iris
from fastgmm.exceptions import ConvergenceWarning, DegenerateComponentWarning
from fastgmm.model.constraint import Constraint
from fastgmm.model.structures import CONSTRAINED, LAYOUTS, MCLUST, STRUCTURES
from fastgmm.sources import from_chunks
from fastgmm.sources.array import ArraySource

Array = np.ndarray[Any, Any]

KNOWN = json.loads((Path(__file__).parent / "mclust.json").read_text(encoding="utf-8"))
DATA = {"iris": load_iris, "faithful": load_faithful}
ITERATIVE = ("VEE", "EVE", "VVE")  # mclust stops the inner iterations of its M-step early
ANOTHER_OPTIMUM = {("iris", "VVE", 4)}


def labels_of(data: str, n_components: int) -> Array:
    """Clusters of mclust's hierarchy, from 0."""
    return np.array([int(one) - 1 for one in KNOWN["data"][data]["labels"][str(n_components)]])


def fitted(X: Array, structure: str, labels: Array, **options: Any) -> GaussianMixture:
    """A fit from labels, without regularization."""
    options = {"reg_covar": 0.0, "tol": 1e-13, "max_iter": 3000, **options}
    mixture = GaussianMixture(int(labels.max()) + 1, covariance_type=structure, init_params=labels, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return mixture.fit(X)


def clusters(n: int = 400, d: int = 3, seed: int = 0) -> tuple[Array, Array]:
    """Three correlated groups of different spreads, and their labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(3, size=n)
    spreads = [np.linalg.qr(rng.normal(size=(d, d)))[0] * rng.uniform(0.5, 2.0, size=d) for _ in range(3)]
    centers = rng.normal(scale=3.0, size=(3, d))
    return centers[labels] + np.einsum("ni,nij->nj", rng.normal(size=(n, d)), np.array(spreads)[labels]), labels


# ---- against mclust


@pytest.mark.parametrize("structure", MCLUST)
@pytest.mark.parametrize("data", DATA)
def test_as_mclust(data: str, structure: str) -> None:
    """From the same labels the log-likelihoods after 1, 5 and 50 M-steps and at the end are mclust's."""
    X = DATA[data]().data
    for k in (2, 3, 4):
        labels, expected = labels_of(data, k), list(KNOWN["data"][data]["log_likelihood"][structure][str(k)])
        if structure == "VVE":
            expected[-1] = KNOWN["VVE"][data][str(k)]
        for max_iter, value in zip((0, 4, 49, 3000), expected, strict=True):
            if (max_iter < 3000 and structure in ITERATIVE) or (data, structure, k) in ANOTHER_OPTIMUM:
                continue
            mixture = fitted(X, structure, labels, max_iter=max_iter)
            assert mixture.score(X) * len(X) == pytest.approx(value, rel=1e-6)
            assert not mixture.degenerate_


@pytest.mark.parametrize("structure", MCLUST)
@pytest.mark.parametrize("data", DATA)
def test_one_component(data: str, structure: str) -> None:
    """One component has one of three covariances."""
    X = DATA[data]().data
    mixture = GaussianMixture(covariance_type=structure, reg_covar=0.0).fit(X)
    assert mixture.score(X) * len(X) == pytest.approx(
        KNOWN["data"][data]["log_likelihood"][structure]["1"][0], rel=1e-9
    )


def test_numbers_of_parameters() -> None:
    """They are those that mclust counts, of three components of four features."""
    expected = dict(zip(MCLUST, (15, 17, 18, 20, 24, 26, 24, 26, 30, 32, 36, 38, 42, 44), strict=True))
    assert {name: STRUCTURES[name].n_parameters(3, 4) for name in MCLUST} == expected
    assert (STRUCTURES["E"].n_parameters(3, 1), STRUCTURES["V"].n_parameters(3, 1)) == (6, 8)
    for name in MCLUST:
        assert STRUCTURES[name].n_parameters(3, 1) == (6 if name[0] == "E" else 8)


def test_one_feature() -> None:
    """Of one feature all fourteen are E or V, by their first letter."""
    X, labels = load_faithful().data[:, 1:], labels_of("faithful", 3)
    ends = {name: fitted(X, name, labels).score(X) * len(X) for name in (*MCLUST, "E", "V")}
    for name, end in ends.items():
        assert end == pytest.approx(ends[name[0]], rel=1e-9)
    assert ends["E"] == pytest.approx(-1034.0018, abs=1e-3)


# ---- the M-step


def objective(weights: Array, S: Array, covariances: Array) -> float:
    """What an M-step minimizes: sum_k pi_k (log |Sigma_k| + tr(S_k Sigma_k^-1))."""
    traces = np.einsum("kij,kji->k", S, np.linalg.inv(covariances))
    return float(weights @ (np.linalg.slogdet(covariances)[1] + traces))


def unconstrained(name: str, S: Array) -> Array:
    """Covariance matrices as the layout of a structure has them."""
    structure = STRUCTURES[name]
    if structure.triangular:
        return S
    variances = S.diagonal(axis1=1, axis2=2)
    return variances if structure.covariance_shape(1, 2) == (1, 2) else variances.mean(axis=1)


def parts(covariances: Array) -> tuple[Array, Array, Array]:
    """Volumes, shapes in ascending order and axes in the columns."""
    values, vectors = np.linalg.eigh(covariances)
    volumes = np.exp(np.log(values).mean(axis=1))
    return volumes, values / volumes[:, None], vectors


def moved(rng: np.random.Generator, name: str, volumes: Array, shapes: Array, axes: Array, size: float) -> Array:
    """Covariances of the same structure near by."""
    (k, d), count = shapes.shape, {"E": 1, "V": len(volumes)}
    volumes = volumes * np.exp(size * rng.normal(size=count[name[0]]))
    logs = size * rng.normal(size=(count.get(name[1], 1), d)) * (name[1] != "I")
    shapes = shapes * np.exp(logs - logs.mean(axis=1, keepdims=True))
    skew = size * rng.normal(size=(count.get(name[2], 1), d, d)) * (name[2] != "I")
    skew = skew - np.swapaxes(skew, 1, 2)
    turned = np.linalg.solve(np.eye(d) - skew / 2, np.eye(d) + skew / 2) @ axes
    return np.einsum("kai,k,ki,kbi->kab", turned, volumes, np.broadcast_to(shapes, (k, d)), turned)


@pytest.mark.parametrize(("k", "d"), [(1, 3), (2, 2), (3, 4), (5, 9)])
@pytest.mark.parametrize("name", CONSTRAINED)
def test_most_likely_covariances(name: str, k: int, d: int) -> None:
    """They have the structure, and none near by that has it is more likely."""
    rng = np.random.default_rng([k, d])
    weights = rng.dirichlet(np.full(k, 5.0))
    rows = rng.normal(size=(k, 30, d)) @ (np.eye(d) + 0.4 * rng.normal(size=(k, d, d))) * rng.uniform(0.5, 2, (k, 1, 1))
    S = np.swapaxes(rows, 1, 2) @ rows / 30
    structure, own = STRUCTURES[name], unconstrained(name, S)
    found = structure.constrained(weights, np.zeros((k, d)), own)
    for _ in range(100 if Constraint(name).keeps_axes else 0):
        found = structure.constrained(weights, np.zeros((k, d)), own, found.axes)
    dense = structure.dense(found.covariances, k, d)
    axes = np.tile(np.eye(d), (k, 1, 1)) if name[2] == "I" else parts(dense)[2]
    if found.axes is not None:
        axes = np.tile(found.axes.T, (k, 1, 1))
    along = np.einsum("kai,kab,kbi->ki", axes, dense, axes)
    np.testing.assert_allclose(np.einsum("kai,ki,kbi->kab", axes, along, axes), dense, atol=1e-12 * dense.max())
    volumes = np.exp(np.log(along).mean(axis=1))
    shapes = along / volumes[:, None]
    if name[0] == "E":
        np.testing.assert_allclose(volumes, volumes[0], rtol=1e-9)
    if name[1] != "V":
        np.testing.assert_allclose(shapes, np.tile(shapes[0] if name[1] == "E" else np.ones(d), (k, 1)), rtol=1e-9)
    if name[2] == "E" and name[1] == "E":
        np.testing.assert_allclose(dense / volumes[:, None, None], np.tile(dense[0] / volumes[0], (k, 1, 1)), atol=1e-9)
        axes = np.tile(axes[0], (k, 1, 1))
    least = objective(weights, S, dense)
    for size in (1e-3, 1e-2, 0.1):
        for _ in range(20):
            near = moved(rng, name, volumes, shapes, axes, size)
            assert objective(weights, S, near) > least - 1e-9


@pytest.mark.parametrize("name", CONSTRAINED)
def test_units_of_covariances(name: str) -> None:
    """Covariances in other units, however small or large, have constrained ones in these units, bit for bit."""
    rng, weights = np.random.default_rng(0), np.array([0.3, 0.7])
    rows = rng.normal(size=(2, 9, 3)) @ (np.eye(3) + 0.4 * rng.normal(size=(2, 3, 3)))
    structure, own = STRUCTURES[name], unconstrained(name, np.swapaxes(rows, 1, 2) @ rows / 9)

    def found(power: int) -> Array:
        result = Constraint(name).covariances(structure.triangular, weights, np.ldexp(own, power), 3, None)
        assert result is not None
        return result[0]

    for power in (-900, 900):
        np.testing.assert_array_equal(found(power), np.ldexp(found(0), power))


# ---- EM


def assert_structured(mixture: GaussianMixture) -> None:
    """The constraint leaves the covariances as they are."""
    rule = STRUCTURES[mixture.covariance_type]
    again = rule.nearest(mixture._fitted().parameters)
    np.testing.assert_allclose(again.covariances, mixture.covariances_, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("acceleration", [None, "squarem"])
@pytest.mark.parametrize("structure", MCLUST)
def test_never_falls(structure: str, acceleration: str | None) -> None:
    """The log-likelihood never falls: with weights, with gaps, accelerated or not."""
    X, labels = clusters()
    rng = np.random.default_rng(1)
    weights = rng.exponential(size=len(X))
    holes = np.where(rng.uniform(size=X.shape) < 0.15, np.nan, X)
    wrong = rng.integers(3, size=len(X))
    for rows, sample_weight in ((X, None), (X, weights), (holes, None), (holes, weights)):
        for start in (labels, wrong):
            mixture = GaussianMixture(
                3, covariance_type=structure, init_params=start, reg_covar=0.0, tol=1e-10, max_iter=60,
                acceleration=acceleration, missing="em",
            )  # fmt: skip
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                mixture.fit(rows, sample_weight=sample_weight)
            assert np.diff(mixture.lower_bounds_).min(initial=0.0) > -1e-11
            assert not mixture.degenerate_


@pytest.mark.parametrize("structure", CONSTRAINED)
def test_squarem_ends_there(structure: str) -> None:
    """Accelerated EM ends at the optimum of plain EM, with covariances of the structure."""
    X, labels = clusters()
    plain = fitted(X, structure, labels, tol=1e-11)
    fast = fitted(X, structure, labels, tol=1e-11, acceleration="squarem")
    assert fast.lower_bound_ == pytest.approx(plain.lower_bound_, abs=1e-7)
    assert_structured(fast)


@pytest.mark.parametrize("structure", CONSTRAINED)
def test_weights_are_repetitions(structure: str) -> None:
    """A weight of two is a row that occurs twice."""
    X, labels = clusters(200)
    counts = np.arange(len(X)) % 3 + 1
    mixture = GaussianMixture(3, covariance_type=structure, init_params=labels, reg_covar=0.0, max_iter=20, tol=0.0)
    repeated = GaussianMixture(
        3, covariance_type=structure, init_params=np.repeat(labels, counts), reg_covar=0.0, max_iter=20, tol=0.0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        mixture.fit(X, sample_weight=counts)
        repeated.fit(np.repeat(X, counts, axis=0))
    np.testing.assert_allclose(mixture.means_, repeated.means_, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(mixture.covariances_, repeated.covariances_, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("structure", CONSTRAINED)
def test_collapsed_components_are_repaired(structure: str) -> None:
    """Rows on few points are fitted all the same, and what was repaired is named; or the error says what is wrong."""
    X = np.repeat(np.array([[0.0, 0.0], [1.0, 5.0], [7.0, 2.0], [9.0, 9.0]]), 10, axis=0)
    labels = np.repeat(np.arange(4), 10)
    options = {"covariance_type": structure, "init_params": labels, "reg_covar": 0.0}
    with pytest.warns(DegenerateComponentWarning):
        mixture = GaussianMixture(4, **options).fit(X)
    assert np.isfinite(mixture.covariances_).all() and mixture.degenerate_
    np.testing.assert_array_equal(mixture.predict(X), labels)
    with pytest.raises(ValueError, match=f"ill-defined empirical covariances, so that there are none of .*{structure}"):
        GaussianMixture(4, degenerate="raise", **options).fit(X)


def test_structures_make_up_for_few_rows() -> None:
    """A component of two rows has the volume that is its own, and the shape of all: nothing is repaired."""
    X, labels = clusters(100)
    X = np.vstack([X, [[40.0, 40.0, 40.0], [41.0, 40.5, 40.2]]])
    labels = np.append(labels, [3, 3])
    for structure in ("EII", "VII", "EEI", "VEI", "VEE", "EEV", "VEV"):
        mixture = fitted(X, structure, labels, tol=1e-6)
        assert mixture.degenerate_ == [] and (mixture.predict(X[-2:]) == 3).all(), structure


@pytest.mark.parametrize(("module", "arguments"), [("stress", (None,)), ("around", ())])
def test_hostile_rows(monkeypatch: pytest.MonkeyPatch, module: str, arguments: tuple[None, ...]) -> None:
    """Some of the problems of bench/ with these structures; a whole run has ten thousand."""
    bench = Path(__file__).resolve().parents[1] / "bench"
    if not bench.is_dir():
        pytest.skip("bench/ is not here")
    monkeypatch.syspath_prepend(str(bench))
    check = __import__(module).check
    n = {"stress": 200, "around": 40}[module]
    assert {seed: found for seed in range(n) if (found := check(seed, *arguments, tuple(CONSTRAINED))[0])} == {}


# ---- like any other structure


@pytest.fixture(scope="module", params=CONSTRAINED)
def mixture(request: pytest.FixtureRequest) -> GaussianMixture:
    """A mixture of each structure."""
    X, labels = clusters()
    return fitted(X, request.param, labels, tol=1e-8)


def as_layout(mixture: GaussianMixture) -> GaussianMixture:
    """The same distribution under no constraint."""
    layout = STRUCTURES[mixture.covariance_type].layout.name
    return GaussianMixture.from_parameters(mixture.weights_, mixture.means_, mixture.covariances_, layout)


def test_arrays_are_those_of_scikit_learn(mixture: GaussianMixture) -> None:
    """Shapes are those of a covariance type of scikit-learn, which takes the mixture over as it is."""
    X = clusters(seed=1)[0]
    assert mixture.precisions_cholesky_.shape == mixture.covariances_.shape
    theirs, kind = mixture.to_sklearn(), STRUCTURES[mixture.covariance_type].layout.name
    assert theirs.covariance_type == kind and theirs.covariances_.shape == mixture.covariances_.shape
    np.testing.assert_allclose(theirs.score_samples(X), mixture.score_samples(X), rtol=1e-9)


def test_same_distribution(mixture: GaussianMixture) -> None:
    """Labels, densities, parts and samples are those of the same Gaussians under no constraint."""
    X, plain = clusters(seed=1)[0], as_layout(mixture)
    np.testing.assert_array_equal(mixture.predict_proba(X), plain.predict_proba(X))
    np.testing.assert_array_equal(mixture.sample(50, random_state=0)[0], plain.sample(50, random_state=0)[0])
    part, given = mixture.marginal([2, 0]), mixture.condition([1], [0.5])
    kept = mixture.covariance_type if mixture.covariance_type in ("EII", "EEI", "VEI", "VEE") else plain.covariance_type
    assert part.covariance_type == given.covariance_type == kept
    np.testing.assert_array_equal(part.covariances_, plain.marginal([2, 0]).covariances_)
    np.testing.assert_array_equal(given.covariances_, plain.condition([1], [0.5]).covariances_)
    holes = np.where(np.arange(X.size).reshape(X.shape) % 7 == 0, np.nan, X)
    for one in (mixture, plain):
        one.set_params(missing="em")
    np.testing.assert_array_equal(mixture.impute(holes), plain.impute(holes))
    mixture.set_params(missing="raise")


def test_decomposition(mixture: GaussianMixture) -> None:
    """Volumes, shapes and axes make up the covariances, and are equal where the name says so."""
    name = mixture.covariance_type
    volumes, shapes, axes = mixture.decomposition()
    dense = STRUCTURES[name].dense(mixture.covariances_, 3, 3)
    np.testing.assert_allclose(np.einsum("k,kai,ki,kbi->kab", volumes, axes, shapes, axes), dense, atol=1e-10)
    np.testing.assert_allclose(np.swapaxes(axes, 1, 2) @ axes, [np.eye(3)] * 3, atol=1e-12)
    np.testing.assert_allclose(shapes.prod(axis=1), 1, rtol=1e-9)
    assert name[2] == "I" or (np.diff(np.log(shapes).mean(axis=0)) < 0).all()  # the longest axis first
    for letter, values in zip(name, (volumes, shapes, axes), strict=True):
        assert bool(np.allclose(values, values[0], rtol=1e-7, atol=1e-7)) == (letter != "V")


def test_criteria_count_its_parameters(mixture: GaussianMixture) -> None:
    """BIC counts the parameters of the structure."""
    X = clusters()[0]
    free = STRUCTURES[mixture.covariance_type].n_parameters(3, 3)
    assert mixture.bic(X) == pytest.approx(-2 * len(X) * mixture.score(X) + free * math.log(len(X)))


def test_file(mixture: GaussianMixture, tmp_path: Path) -> None:
    """A file keeps the structure and every bit, of mixtures and of statistics."""
    X = clusters()[0]
    mixture.save(tmp_path / "mixture.npz")
    loaded = fastgmm.load(tmp_path / "mixture.npz")
    assert loaded.covariance_type == mixture.covariance_type
    np.testing.assert_array_equal(loaded.covariances_, mixture.covariances_)
    statistics = fastgmm.statistics(mixture, X)
    statistics.save(tmp_path / "statistics.npz")
    again = fastgmm.Statistics.load(tmp_path / "statistics.npz")
    after, other = fastgmm.maximize(mixture, statistics), fastgmm.maximize(loaded, again)
    np.testing.assert_array_equal(after.covariances_, other.covariances_)


def test_em_by_hand(mixture: GaussianMixture) -> None:
    """statistics, merge and maximize go on from the end without losing likelihood."""
    X = clusters()[0]
    before, following = mixture.score(X), mixture
    for _ in range(3):
        parts = [fastgmm.statistics(following, rows) for rows in (X[:150], X[150:])]
        following = fastgmm.maximize(following, fastgmm.merge(*parts))
        assert following.score(X) > before - 1e-11
        before = following.score(X)


@pytest.mark.parametrize("structure", ["EEI", "VEV", "VVE"])
def test_other_places(structure: str) -> None:
    """Chunks are fitted with the bits of an array, any number of threads gives the same bits."""
    X, _ = clusters(5000)
    options = {"covariance_type": structure, "random_state": 0, "max_iter": 20, "tol": 0.0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        whole = GaussianMixture(3, n_threads=1, **options).fit(X)
        for found in (
            GaussianMixture(3, n_threads=3, **options).fit(X),
            GaussianMixture(3, **options).fit(from_chunks([X[i : i + 700] for i in range(0, 5000, 700)])),
        ):
            np.testing.assert_array_equal(found.covariances_, whole.covariances_)
            np.testing.assert_array_equal(found.lower_bounds_, whole.lower_bounds_)


@pytest.mark.parametrize("structure", CONSTRAINED)
def test_stream(structure: str) -> None:
    """Batches lead near the fit of all rows."""
    X, _ = clusters(6000)
    mixture = GaussianMixture(3, covariance_type=structure, random_state=0)
    for start in range(0, len(X), 500):
        mixture.partial_fit(X[start : start + 500])
    whole = GaussianMixture(3, covariance_type=structure, random_state=0).fit(X)
    assert mixture.score(X) > whole.score(X) - 0.02


@pytest.mark.parametrize("structure", CONSTRAINED)
def test_prior(structure: str) -> None:
    """Under mclust's prior the bound, a log posterior density, never falls, and the covariances have the structure."""
    X, labels = clusters(150)
    mixture = fitted(X, structure, labels, prior="mclust", tol=1e-10, max_iter=200)
    assert np.diff(mixture.lower_bounds_).min(initial=0.0) > -1e-11
    assert_structured(mixture)


@pytest.mark.parametrize("structure", CONSTRAINED)
def test_given_start_is_projected(structure: str) -> None:
    """Precisions given as a start that the structure does not have give way to the nearest ones."""
    X, labels = clusters()
    plain = fitted(X, STRUCTURES[structure].layout.name, labels)
    mixture = GaussianMixture(
        3, covariance_type=structure, reg_covar=0.0, tol=1e-9, max_iter=500,
        weights_init=plain.weights_, means_init=plain.means_, precisions_init=plain.precisions_,
    ).fit(X)  # fmt: skip
    assert np.diff(mixture.lower_bounds_).min(initial=0.0) > -1e-11


def test_names_that_say_the_same() -> None:
    """mclust's names of scikit-learn's structures are these structures, and get_params returns what was given."""
    X, labels = clusters()
    for name, kind in {"VVV": "full", "EEE": "tied", "VVI": "diag", "VII": "spherical"}.items():
        found, expected = (fitted(X, one, labels, max_iter=30) for one in (name, kind))
        np.testing.assert_array_equal(found.covariances_, expected.covariances_)
        assert found.get_params()["covariance_type"] == name
        assert fastgmm.statistics(found, X).merge(fastgmm.statistics(expected, X)).covariance_type == kind


def test_unknown_names() -> None:
    """Names that there are not are refused with those there are, those of one feature where there are several."""
    X = clusters()[0]
    with pytest.raises(ValueError, match="'VVE'"):
        GaussianMixture(2, covariance_type="XXX").fit(X)
    for name, remedy in (("E", "EII"), ("V", "VII")):
        with pytest.raises(
            ValueError, match=f"covariance_type='{name}' is for one feature, but there are 3: set '{remedy}'"
        ):
            GaussianMixture(2, covariance_type=name).fit(X)
        with pytest.raises(ValueError, match="is for one feature"):
            fastgmm.select(X, [1, 2], [name])
    with pytest.raises(ValueError, match="covariance_type"):
        fastgmm.BayesianGaussianMixture(n_components=2, covariance_type="VVE").fit(X)
    assert set(LAYOUTS) <= set(STRUCTURES)


def test_many() -> None:
    """fit_many fits each table as one."""
    X, _ = clusters(300)
    tables = [X[:100], X[100:200], X[200:]]
    fits = fastgmm.fit_many(tables, 2, covariance_type="VEV", random_state=0)
    for i, rows in enumerate(tables):
        one = GaussianMixture(2, covariance_type="VEV", random_state=0).fit(rows)
        np.testing.assert_array_equal(fits[i].covariances_, one.covariances_)


# ---- equal weights


@pytest.mark.parametrize("structure", MCLUST)
def test_equal_weights(structure: str) -> None:
    """All weights are 1 / K, EM never falls and ends where a slow program does from the same labels."""
    X = load_iris().data
    mixture = fitted(X, structure, labels_of("iris", 3), equal_weights=True)
    np.testing.assert_array_equal(mixture.weights_, np.full(3, 1 / 3))
    assert mixture.score(X) * len(X) == pytest.approx(KNOWN["equal_weights"][structure], rel=1e-6)
    assert np.diff(mixture.lower_bounds_).min(initial=0.0) > -1e-12
    free = STRUCTURES[structure].n_parameters(3, 4) - 2
    assert mixture.bic(X) == pytest.approx(-2 * len(X) * mixture.score(X) + free * math.log(len(X)))


@pytest.mark.parametrize("options", [{"acceleration": "squarem"}, {"prior": "mclust"}, {"n_init": 3}], ids=str)
def test_equal_weights_with(options: dict[str, Any]) -> None:
    """Acceleration, priors and restarts keep weights equal."""
    X = clusters()[0]
    mixture = GaussianMixture(3, equal_weights=True, random_state=0, tol=1e-9, max_iter=300, **options).fit(X)
    np.testing.assert_allclose(mixture.weights_, np.full(3, 1 / 3), rtol=1e-12)
    assert np.diff(mixture.lower_bounds_).min(initial=0.0) > -1e-11


def test_equal_weights_elsewhere(tmp_path: Path) -> None:
    """Files, streams, select, fit_many and EM by hand heed them; starting weights are refused."""
    X = clusters(900)[0]
    options: dict[str, Any] = {"equal_weights": True, "random_state": 0}
    mixture = GaussianMixture(3, **options).fit(X)
    mixture.save(tmp_path / "mixture.npz")
    loaded = fastgmm.load(tmp_path / "mixture.npz")
    assert loaded.equal_weights and loaded.bic(X) == mixture.bic(X)
    following = fastgmm.maximize(mixture, fastgmm.statistics(mixture, X))
    np.testing.assert_array_equal(following.weights_, mixture.weights_)
    stream = GaussianMixture(3, **options)
    for start in range(0, 900, 300):
        stream.partial_fit(X[start : start + 300])
    np.testing.assert_allclose(stream.weights_, np.full(3, 1 / 3))
    selection = fastgmm.select(X, [2, 3], ["full", "VEV"], **options)
    assert selection.best_estimator_.equal_weights and np.ptp(selection.best_estimator_.weights_) == 0
    line = selection.table_[0]
    best = selection.best_estimator_
    assert line["bic"] == pytest.approx(best.bic(X)) and line["n_parameters"] == best._fitted().n_parameters
    many = fastgmm.fit_many([X[:300], X[300:]], 3, **options)
    np.testing.assert_array_equal(many[0].weights_, np.full(3, 1 / 3))
    with pytest.raises(ValueError, match="equal_weights=True"):
        GaussianMixture(2, weights_init=[0.3, 0.7], equal_weights=True).fit(X)
    assert mixture.to_sklearn().weights_ == pytest.approx(mixture.weights_)


# ---- select


def test_select_all() -> None:
    """All fourteen by mclust's names: its choices for two data sets, log-likelihoods nested as the structures are."""
    for data, name, k, bic in (("iris", "VEV", 2, 561.7285), ("faithful", "EEE", 3, 2314.3)):
        X = DATA[data]().data
        selection = fastgmm.select(X, range(1, 10), "all", random_state=0)
        best, table = selection.best_estimator_, selection.table_
        assert (best.covariance_type, best.n_components) == (name, k)
        assert best.bic(X) == pytest.approx(bic, abs=1.0)
        assert set(table["covariance_type"]) == set(MCLUST)
        ends = {(one["covariance_type"], int(one["n_components"])): one for one in table}
        for (kind, k), one in ends.items():  # with many components some collapse in the larger structure alone
            assert one["n_parameters"] == STRUCTURES[kind].n_parameters(k, X.shape[1])
            for other in MCLUST:
                above = ends[other, k]
                if (
                    k < 6
                    and STRUCTURES[kind].within(STRUCTURES[other])
                    and not (one["degenerate"] or above["degenerate"])
                ):
                    assert above["log_likelihood"] > one["log_likelihood"] - 1e-3 * len(X)


def test_select_reaches_mclust() -> None:
    """With ten starts hardly any end is below that of mclust from its hierarchy."""
    reached, tried = 0, 0
    for data in DATA:
        X = DATA[data]().data
        options: dict[str, Any] = {"random_state": 0, "tol": 1e-9, "max_iter": 3000, "reg_covar": 0.0}
        table = fastgmm.select(X, range(1, 5), "all", n_init=10, **options).table_
        ends = {(one["covariance_type"], str(one["n_components"])): one["log_likelihood"] for one in table}
        for name, known in KNOWN["data"][data]["log_likelihood"].items():
            for k, values in known.items():
                tried += 1
                reached += ends[name, k] > values[-1] - 1e-3
    assert tried == 112 and reached >= 110


def test_within() -> None:
    """A structure is within those of which it is a special case."""
    within = {name: {other for other in MCLUST if STRUCTURES[name].within(STRUCTURES[other])} for name in MCLUST}
    assert within["VVV"] == set() and within["VEV"] == {"VVV"} and within["EVV"] == {"VVV"}
    assert within["EEI"] == {"VEI", "EVI", "VVI", "EEE", "VEE", "EVE", "VVE", "EEV", "VEV", "EVV", "VVV"}
    assert len(within["EII"]) == 13 and "EII" not in within["EII"] and "EVE" not in within["VEE"]
    free, equal = STRUCTURES["VVE"], STRUCTURES["VVE"].equally_weighted
    assert equal.within(free) and not free.within(equal) and equal.within(STRUCTURES["VVV"])
    assert STRUCTURES["diag"].within(STRUCTURES["full"]) and not STRUCTURES["VVI"].within(STRUCTURES["diag"])


def test_select_equal_weights() -> None:
    """Free and equal weights are candidates of one search; the table, its words and the picture tell them apart."""
    X = load_faithful().data
    selection = fastgmm.select(X, range(1, 5), ["EEE", "VVV"], equal_weights=[False, True], random_state=0)
    table = selection.table_
    assert sorted(table["equal_weights"].tolist()) == [False] * 8 + [True] * 6
    assert selection.best_estimator_.equal_weights and table["equal_weights"][0]
    assert "equal weights" in str(selection).splitlines()[1]
    for one, estimator in zip(table, selection.estimators_, strict=True):
        assert one["equal_weights"] == estimator.equal_weights
        assert one["bic"] == pytest.approx(estimator.bic(X))
    with pytest.raises(ValueError, match="give False, True, or both in a list"):
        fastgmm.select(X, [1, 2], equal_weights=["yes"])


def test_all_of_one_feature() -> None:
    """All of one feature are E and V; of posteriors the four that there are."""
    X = load_faithful().data[:, 1:]
    assert set(fastgmm.select(X, [1, 2], "all", random_state=0).table_["covariance_type"]) == {"E", "V"}
    found = fastgmm.select(load_faithful().data, [1, 2], "all", "elbo", random_state=0).table_["covariance_type"]
    assert set(found) == {"VII", "VVI", "EEE", "VVV"}


def test_picture_of_fourteen() -> None:
    """Each structure has a curve that differs from the others in color, dashes or marker."""
    selection = fastgmm.select(load_iris().data, range(1, 4), "all", random_state=0)
    lines = [line for line in selection.plot().ax_.get_lines() if line.get_label()[:3].rstrip(" ") in MCLUST]
    styles = {(line.get_color(), line.get_linestyle(), line.get_marker()) for line in lines}
    assert len(lines) == len(styles) == 14


@pytest.mark.parametrize("reg_covar", [0.0, 1e-6])
def test_lines_that_a_common_shape_hides(reg_covar: float) -> None:
    """Seven rows on a line are no group, though the shape of all gives them some width: the fit is set aside."""
    X = load_faithful().data
    line = (X[:, 1] == 54.0).astype(int)
    labels = np.where(line == 1, 2, X[:, 0] > 3)
    mixture = fitted(X, "VEV", labels, tol=1e-6, reg_covar=reg_covar)
    assert mixture.degenerate_ == [] and np.linalg.eigvalsh(mixture.covariances_).min() > 2e-6
    source = ArraySource(X, 1)
    step = mixture._m_step()(source, mixture._structure())
    assert not step.sound(mixture._fitted().parameters)
    usual = fitted(X, "VEV", labels_of("faithful", 3), tol=1e-6, reg_covar=reg_covar)
    assert step.sound(usual._fitted().parameters)


# ---- other structures' parameters


def test_warm_start_of_another_structure() -> None:
    """A warm start from another structure's fit goes on from the nearest parameters, and never falls."""
    X = clusters()[0]
    first = GaussianMixture(3, covariance_type="VVE", reg_covar=0.0, random_state=0).fit(X)
    for name in ("VEE", "EVV", "EEV", "VEV", "EVE", "full"):
        mixture = GaussianMixture(3, covariance_type="VVE", reg_covar=0.0, random_state=0).fit(X)
        mixture.set_params(covariance_type=name, warm_start=True, tol=1e-9, max_iter=0).fit(X)
        if name != "full":
            assert_structured(mixture)
        with warnings.catch_warnings(action="ignore"):
            mixture.set_params(max_iter=50).fit(X)
        assert np.diff(mixture.lower_bounds_).min(initial=0.0) > -1e-11
    kept = GaussianMixture(3, covariance_type="VVE", reg_covar=0.0, warm_start=True, max_iter=0)
    vars(kept).update({name: value for name, value in vars(first).items() if name.endswith("_")})
    np.testing.assert_array_equal(kept.fit(X).covariances_, first.covariances_)


@pytest.mark.parametrize("structure", ["EVE", "VVE"])
def test_by_hand_is_a_fit(structure: str) -> None:
    """EM by hand finds the axes again that a fit keeps, in the same order: the iterations are the same."""
    X = clusters(80, 5)[0]
    options: dict[str, Any] = {"covariance_type": structure, "reg_covar": 0.0, "tol": 0.0, "random_state": 0}
    with warnings.catch_warnings(action="ignore"):
        fit = GaussianMixture(2, max_iter=5, **options).fit(X)
        following = GaussianMixture(2, max_iter=0, **options).fit(X)
    for _ in range(5):
        following = fastgmm.maximize(following, fastgmm.statistics(following, X))
    np.testing.assert_allclose(following.lower_bounds_, fit.lower_bounds_, rtol=1e-9)


def test_decomposition_of_any_parameters() -> None:
    """Parameters set by hand that have no axes in common are taken apart all the same."""
    X = clusters()[0]
    mixture = GaussianMixture(3, random_state=0).fit(X).set_params(covariance_type="VVE")
    volumes, shapes, axes = mixture.decomposition()
    found = np.einsum("k,kai,ki,kbi->kab", volumes, axes, shapes, axes)
    np.testing.assert_allclose(found, mixture.covariances_, rtol=1e-9, atol=1e-9)


def test_marginals_keep_what_they_can() -> None:
    """Constraints that hold for some of the features stay, others give way to the layout; weights stay equal."""
    X, labels = clusters()
    for name in MCLUST:
        part = fitted(X, name, labels, equal_weights=True, tol=1e-6).marginal([0, 2])
        kept = name in ("EII", "EEI", "VEI", "VEE") or STRUCTURES[name].constraint is None
        assert part.covariance_type == (name if kept else STRUCTURES[name].layout.name)
        assert part.equal_weights
        if kept and STRUCTURES[name].constraint is not None:
            assert_structured(part)


def test_select_is_not_behind_single_fits() -> None:
    """No candidate of few rows and components ends far below a fit from k-means."""
    X = load_iris().data
    table = fastgmm.select(X, range(1, 4), "all", random_state=0).table_
    for one in table[table["n_components"] == 3]:
        single = GaussianMixture(3, covariance_type=one["covariance_type"], random_state=0).fit(X)
        assert one["degenerate"] or one["log_likelihood"] > single.score(X) * len(X) - 1


@pytest.mark.parametrize("given", ["both", 1, None, [0, 1], [[True]], []])
def test_bad_equal_weights(given: Any) -> None:
    """Anything but False, True or a list of these is refused."""
    with pytest.raises(ValueError, match="give False, True, or both in a list"):
        fastgmm.select(load_iris().data, [1, 2], equal_weights=given)


def test_equal_weights_of_posteriors() -> None:
    """Posteriors have free weights."""
    with pytest.raises(TypeError, match="leave equal_weights out"):
        fastgmm.select(load_iris().data, [1, 2], criterion="elbo", equal_weights=True)
