"""Priors of GaussianMixture: the mode of the posterior, its density, and what no longer happens to components."""

from __future__ import annotations

import math
import pickle
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from problems import DATASETS, Array, bits, dense_covariances, grouped_rows, overlapping_problem

import fastgmm
from fastgmm import GaussianMixture, Prior
from fastgmm.fitting.penalized import Penalized
from fastgmm.fitting.search.trials import Candidate, Data, Trials
from fastgmm.fitting.settings import Settings
from fastgmm.mixture.prior import prior_of
from fastgmm.model.penalty import MixturePrior
from fastgmm.model.priors import Dirichlet, NormalWishart
from fastgmm.model.structures import LAYOUTS, STRUCTURES
from fastgmm.sources.array import ArraySource

IRIS = DATASETS["iris"]
KINDS = sorted(LAYOUTS)
PLAIN = {"reg_covar": 0, "random_state": 0}

# BIC of mclust 6.1, in its sign, for iris, VVV and its default prior, by K; and seeds of k-means that lead there.
MCLUST = {1: (-831.5, 0), 2: (-592.5, 0), 3: (-605.9, 0), 4: (-652.3, 3), 5: (-689.7, 1), 7: (-835.2, 4)}


def with_gaps(X: Array, share: float = 0.1) -> Array:
    """Rows with values missing at random."""
    return np.where(np.random.default_rng(5).random(X.shape) < share, np.nan, X)


def log_wishart(covariance: Array, degrees: float, scale: Array) -> float:
    """log of the inverse Wishart density, as textbooks have it."""
    d = len(scale)
    normalizer = degrees * d / 2 * math.log(2) + d * (d - 1) / 4 * math.log(math.pi)
    normalizer += sum(math.lgamma((degrees - i) / 2) for i in range(d))
    log_det, log_det_scale = np.linalg.slogdet(covariance)[1], np.linalg.slogdet(scale)[1]
    trace = np.trace(scale @ np.linalg.inv(covariance))
    return degrees / 2 * log_det_scale - normalizer - (degrees + d + 1) / 2 * log_det - trace / 2


def log_gamma(variance: float, degrees: float, scale: float) -> float:
    """log of the inverse gamma density with shape degrees / 2 and scale scale / 2."""
    shape, rate = degrees / 2, scale / 2
    return shape * math.log(rate) - math.lgamma(shape) - (shape + 1) * math.log(variance) - rate / variance


def log_normal(x: Array, mean: Array, covariance: Array) -> Array:
    """log of the normal density at points."""
    away = np.atleast_2d(x - mean)
    squares = np.einsum("ni,ij,nj->n", away, np.linalg.inv(covariance), away)
    return -0.5 * (squares + np.linalg.slogdet(covariance)[1] + len(mean) * math.log(2 * math.pi))


def log_prior(mixture: GaussianMixture, prior: Prior) -> float:
    """log density of a mixture's parameters under a prior of which everything is given, the scale as a matrix."""
    kind, covariances = mixture.covariance_type, mixture.covariances_
    degrees, scale, alpha = prior.degrees_of_freedom, np.asarray(prior.scale), prior.weight_concentration
    assert degrees is not None
    k, d = mixture.means_.shape
    total = math.lgamma(k * alpha) - k * math.lgamma(alpha) + (alpha - 1) * float(np.log(mixture.weights_).sum())
    if kind in ("full", "tied"):
        total += sum(log_wishart(one, degrees, scale) for one in covariances.reshape(-1, d, d))
    elif kind == "diag":
        total += sum(
            log_gamma(v, degrees, s) for row in covariances for v, s in zip(row, scale.diagonal(), strict=True)
        )
    else:
        total += sum(log_gamma(v, degrees, scale.diagonal().mean()) for v in covariances)
    if prior.mean_precision:
        for mean, covariance in zip(mixture.means_, dense_covariances(mixture), strict=True):
            total += float(log_normal(mean, np.asarray(prior.mean), covariance / prior.mean_precision)[0])
    return float(total)


def explicit(X: Array, n_components: int, **others: Any) -> Prior:
    """mclust's default prior for some rows, as numbers."""
    d = X.shape[1]
    given = {"mean": X.mean(axis=0), "degrees_of_freedom": d + 2.0}
    return Prior(**{**given, "scale": np.atleast_2d(np.cov(X.T)) / n_components ** (2 / d), **others})


def moved(mixture: GaussianMixture, rng: np.random.Generator, step: float) -> list[GaussianMixture]:
    """The mixture with its parameters moved by a step along a random direction, forwards and backwards."""
    logits, means = rng.normal(size=mixture.weights_.shape), rng.normal(size=mixture.means_.shape)
    along = rng.normal(size=mixture.covariances_.shape) * np.abs(mixture.covariances_).mean() / 4
    if mixture.covariance_type in ("full", "tied"):
        along = along + np.swapaxes(along, -1, -2)
    found = []
    for h in (step, -step):
        weights = mixture.weights_ * np.exp(h * logits)
        given = weights / weights.sum(), mixture.means_ + h * means, mixture.covariances_ + h * along
        found.append(GaussianMixture.from_parameters(*given, covariance_type=mixture.covariance_type))
    return found


@pytest.fixture(scope="module")
def X() -> Array:
    """Rows of three groups that overlap."""
    return grouped_rows(120, 3, [2.0, -1.0, 1.5], seed=3) * [1.0, 2.0, 0.5]


# The M-step and the density -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mean_precision", [0.0, 0.7])
def test_m_step_is_a_mode(X: Array, kind: str, mean_precision: float) -> None:
    """At the M-step the expected log joint density plus the log prior is stationary and largest along any direction."""
    prior = explicit(X, 3, mean_precision=mean_precision, weight_concentration=2.5)
    shares = np.random.default_rng(0).dirichlet(np.ones(3), size=len(X))
    mixture = GaussianMixture(3, covariance_type=kind, prior=prior, init_params=shares, max_iter=0, **PLAIN).fit(X)

    def objective(at: GaussianMixture) -> float:
        log_joint = [
            math.log(w) + log_normal(X, m, c)
            for w, m, c in zip(at.weights_, at.means_, dense_covariances(at), strict=True)
        ]
        return float((shares * np.transpose(log_joint)).sum()) + log_prior(at, prior)

    rng, top = np.random.default_rng(1), objective(mixture)
    for _ in range(12):
        forwards, backwards = (objective(one) for one in moved(mixture, rng, 1e-4))
        assert abs(forwards - backwards) / 2e-4 < 1e-3
        assert max(objective(one) for one in moved(mixture, rng, 1e-2)) < top


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("others", [{}, {"mean_precision": None, "weight_concentration": 3.0}])
def test_bound_is_the_log_posterior(X: Array, kind: str, others: dict[str, Any]) -> None:
    """lower_bound_ is the log density of rows and parameters per row, all constants included."""
    prior = explicit(X, 3, **others)
    before = GaussianMixture(3, covariance_type=kind, prior=prior, max_iter=4, tol=0, **PLAIN).fit(X)
    expected = before.score(X) + log_prior(before, prior) / len(X)
    after = GaussianMixture(3, covariance_type=kind, prior=prior, max_iter=5, tol=0, **PLAIN).fit(X)
    assert after.lower_bound_ == pytest.approx(expected, abs=1e-10)
    by_hand = fastgmm.maximize(before, fastgmm.statistics(before, X))
    assert by_hand.lower_bound_ == pytest.approx(expected, abs=1e-10)
    np.testing.assert_allclose(by_hand.covariances_, after.covariances_, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_default_is_mclusts(X: Array, kind: str) -> None:
    """'mclust' is the prior with column means and covariance / K^(2/D); diag takes variances, spherical their mean."""
    named, written = (
        GaussianMixture(3, covariance_type=kind, prior=prior, **PLAIN).fit(X) for prior in ("mclust", explicit(X, 3))
    )
    np.testing.assert_allclose(named.covariances_, written.covariances_, rtol=1e-8)
    assert named.lower_bound_ == pytest.approx(written.lower_bound_, abs=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_one_component_in_closed_form(kind: str) -> None:
    """Of one component mean and covariance are those of the formula."""
    n, d = IRIS.shape
    mixture = GaussianMixture(covariance_type=kind, prior="mclust", **PLAIN).fit(IRIS)
    scatter = np.cov(IRIS.T) + (n - 1) * np.cov(IRIS.T)
    expected = {
        "full": scatter / (d + 2 + n + d + 2),
        "tied": scatter / (d + 2 + n + d + 2),
        "diag": scatter.diagonal() / (d + 2 + n + 3),
        "spherical": (np.cov(IRIS.T).trace() / d + (n - 1) * np.cov(IRIS.T).trace()) / (d + 2 + (n + 1) * d + 2),
    }[kind]
    np.testing.assert_allclose(np.squeeze(mixture.covariances_), expected, rtol=1e-12)
    np.testing.assert_allclose(mixture.means_[0], IRIS.mean(axis=0), rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_no_prior_in_the_limit(X: Array, kind: str) -> None:
    """With kappa and S0 near zero and as many degrees of freedom as cancel the mode's own it is maximum likelihood."""
    rule, rows = STRUCTURES[kind], ArraySource(X)
    start = GaussianMixture(3, covariance_type=kind, max_iter=3, tol=0, **PLAIN).fit(X)
    parameters = rule.from_covariances(start.weights_, start.means_, start.covariances_)
    statistics = rows.statistics(rule, parameters)
    degrees = -4.0 if rule.triangular else -2.0
    scale = rule.covariance_shape(1, 3)
    nothing = NormalWishart(0.0, np.zeros(3), degrees, np.zeros(scale), np.ones(scale))
    found = Penalized(rows, rule, MixturePrior(rule, Dirichlet(1.0), nothing))(statistics, parameters)
    for name in ("weights", "means", "covariances", "precisions_cholesky"):
        expected = getattr(rule.maximize(statistics, 0.0), name)
        np.testing.assert_allclose(getattr(found, name), expected, rtol=1e-9, atol=1e-12)


def test_prior_matters_less_as_rows_grow() -> None:
    """The distance between the modes of posterior and likelihood shrinks like 1 / N."""
    X = grouped_rows(20_000, 2, 6.0, seed=1)
    away = []
    for n in (200, 20_000):
        plain, mode = (GaussianMixture(2, prior=p, tol=1e-9, **PLAIN).fit(X[:n]) for p in (None, "mclust"))
        away.append(np.abs(plain.covariances_ - mode.covariances_).max())
    assert 20 < away[0] / away[1] < 500


# Promises of every fit ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", ["plain", "squarem", "weights", "gaps", "concentration"])
def test_log_posterior_never_falls(kind: str, how: str) -> None:
    """The bound of every iteration is at least that of the one before."""
    X, _ = overlapping_problem(kind, n_samples=300)
    options: dict[str, Any] = {"acceleration": "squarem" if how in ("squarem", "gaps") else None}
    weights = np.random.default_rng(0).exponential(size=len(X)) if how == "weights" else None
    if how == "gaps":
        X, options["missing"] = with_gaps(X), "em"
    options["prior"] = Prior(weight_concentration=4.0) if how == "concentration" else "mclust"
    mixture = GaussianMixture(5, covariance_type=kind, tol=1e-9, max_iter=400, **PLAIN, **options)
    bounds = mixture.fit(X, sample_weight=weights).lower_bounds_
    assert len(bounds) > 20 and np.diff(bounds).min() > -1e-13
    assert mixture.degenerate_ == []


@pytest.mark.parametrize("kind", KINDS)
def test_weights_repeat_rows(X: Array, kind: str) -> None:
    """A weight counts against the prior like so many equal rows, also where all weights are the same."""
    counts = np.random.default_rng(2).integers(1, 4, size=len(X))
    for weights in (counts, np.full(len(X), 3)):
        labels = np.arange(len(X)) % 3
        options = {"covariance_type": kind, "prior": explicit(X, 3), "max_iter": 20, "tol": 0, **PLAIN}
        weighted = GaussianMixture(3, init_params=labels, **options).fit(X, sample_weight=weights)
        repeated = GaussianMixture(3, init_params=np.repeat(labels, weights), **options).fit(np.repeat(X, weights, 0))
        np.testing.assert_allclose(weighted.covariances_, repeated.covariances_, rtol=1e-8, atol=1e-10)
        assert weighted.lower_bound_ == pytest.approx(repeated.lower_bound_, abs=1e-10)
    assert (
        np.abs(weighted.covariances_ - GaussianMixture(3, init_params=labels, **options).fit(X).covariances_).max()
        > 1e-3
    )


@pytest.mark.parametrize("kind", KINDS)
def test_units_do_not_matter(X: Array, kind: str) -> None:
    """Features in other units give the same mixture in these; powers of two give the same bits."""
    start = {"init_params": np.arange(len(X)) % 3, "tol": 1e-10, "max_iter": 200, "covariance_type": kind, **PLAIN}
    plain = GaussianMixture(3, prior="mclust", **start).fit(X)
    scales = np.full(3, 1e-3) if kind == "spherical" else np.array([1e-6, 1.0, 1e9])
    other = GaussianMixture(3, prior="mclust", **start).fit(X * scales)
    np.testing.assert_allclose(other.means_ / scales, plain.means_, rtol=1e-6)
    np.testing.assert_allclose(other.weights_, plain.weights_, rtol=1e-6)
    assert abs(other.n_iter_ - plain.n_iter_) <= 1
    power = GaussianMixture(3, prior="mclust", **start).fit(X * 2.0**20)
    assert bits(power.means_ / 2.0**20) == bits(plain.means_) and power.n_iter_ == plain.n_iter_
    wider = explicit(X * scales, 3)
    assert other.lower_bound_ == pytest.approx(other.score(X * scales) + log_prior(other, wider) / len(X), abs=1e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_threads_and_places(kind: str) -> None:
    """The bits are the same for any number of threads, and for chunks as for an array."""
    X = grouped_rows(9000, 4, 3.0, seed=7)
    options = {"covariance_type": kind, "prior": "mclust", "max_iter": 8, "tol": 0, **PLAIN}
    one, many = (GaussianMixture(4, n_threads=n, **options).fit(X) for n in (1, 5))
    assert bits(one) == bits(many)
    chunks = fastgmm.sources.from_chunks(lambda: iter(np.array_split(X, 7)))
    assert bits(GaussianMixture(4, **options).fit(chunks)) == bits(one)


def test_dask_collections() -> None:
    """The same chunks on Dask are the same fit, to rounding."""
    da = pytest.importorskip("dask.array")
    X = grouped_rows(2000, 3, 3.0, seed=7)
    options = {"prior": "mclust", "max_iter": 8, "tol": 0, **PLAIN}
    lazy = GaussianMixture(3, **options).fit(da.from_array(X, chunks=(500, -1)))
    plain = GaussianMixture(3, **options).fit(X)
    np.testing.assert_allclose(lazy.lower_bounds_, plain.lower_bounds_, rtol=1e-10)
    np.testing.assert_allclose(lazy.covariances_, plain.covariances_, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_streams(kind: str) -> None:
    """Batches end near the fit of all rows, and a batch of equal rows breaks nothing."""
    X = grouped_rows(6000, 2, 6.0, seed=2)
    stream = GaussianMixture(2, covariance_type=kind, prior="mclust", learning_decay=1.0, **PLAIN)
    for batch in np.array_split(X, 12):
        stream.partial_fit(batch)
    fit = GaussianMixture(2, covariance_type=kind, prior="mclust", **PLAIN).fit(X)
    np.testing.assert_allclose(np.sort(stream.means_, axis=0), np.sort(fit.means_, axis=0), atol=0.05)
    stream.partial_fit(np.repeat(X[:1], 50, axis=0)).partial_fit(X[:1])
    assert np.isfinite(stream.covariances_).all() and stream.degenerate_ == []


# Components that would collapse ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("kind", ["full", "diag", "spherical"])
def test_no_component_collapses(unit: float, kind: str) -> None:
    """A component on one row that is there five times keeps the spread that the prior gives it, in any unit."""
    X = np.random.default_rng(4).normal(size=(150, 2)) * unit
    X[1:5] = X[0]
    means = np.concatenate([X[:1], X[50:53]])
    shares = np.zeros((150, 4))
    shares[np.arange(150), np.linalg.norm(X[:, None] - means, axis=2).argmin(axis=1)] = 1
    shares[:5], shares[5:, 0] = [1, 0, 0, 0], 0
    shares[5:][shares[5:].sum(axis=1) == 0, 1] = 1
    mixture = GaussianMixture(
        4, covariance_type=kind, prior="mclust", init_params=shares, tol=1e-8, max_iter=2000, **PLAIN
    ).fit(X)
    deviations = np.sqrt(np.linalg.eigvalsh(dense_covariances(mixture)))
    assert deviations.min() > 0.1 * unit
    assert mixture.degenerate_ == [] and mixture.converged_


@pytest.mark.parametrize("kind", KINDS)
def test_singular_rows(kind: str) -> None:
    """Constant and dependent features, more features than rows: the prior is raised with a warning, or needs not be."""
    rng = np.random.default_rng(0)
    flat = np.column_stack([rng.normal(size=40), np.full(40, 7.0)])
    for X, singular in ((flat, kind != "spherical"), (rng.normal(size=(5, 8)), False)):
        mixture = GaussianMixture(2, covariance_type=kind, prior="mclust", **PLAIN)
        if singular:
            with pytest.warns(fastgmm.DegenerateComponentWarning, match="singular as a prior"):
                mixture.fit(X)
        else:
            mixture.fit(X)
        assert np.isfinite(mixture.precisions_).all() and np.isfinite(mixture.lower_bounds_).all()
        assert len(mixture.degenerate_) == singular


@pytest.mark.parametrize("kind", KINDS)
def test_start_whose_rounding_exceeds_the_prior(kind: str) -> None:
    """In single precision scatters about one point are not positive definite along collinear features."""
    rng = np.random.default_rng(3)
    X = rng.normal(size=(60, 4))
    X = np.column_stack([X, X @ rng.normal(size=4)]).astype(np.float32)
    X[7] = rng.normal(size=5) * 1e12
    options = {"covariance_type": kind, "init_params": "random", "prior": "mclust", "max_iter": 40, **PLAIN}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mixture = GaussianMixture(6, **options).fit(X)
    assert np.isfinite(mixture.precisions_).all() and np.diff(mixture.lower_bounds_).min() > -1e-4
    assert {repair.problem for repair in mixture.degenerate_} <= {"singular as a prior"}


# As in mclust ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_components", MCLUST)
def test_bic_of_mclust(n_components: int) -> None:
    """BIC with the prior in the fit, not in the criterion, is the one that mclust tells for iris."""
    expected, seed = MCLUST[n_components]
    options = {"prior": "mclust", "reg_covar": 0, "tol": 1e-7, "max_iter": 500, "acceleration": "squarem"}
    assert -GaussianMixture(n_components, random_state=seed, **options).fit(IRIS).bic(IRIS) == pytest.approx(
        expected, abs=0.06
    )


def test_select_with_a_prior() -> None:
    """All candidates have the prior, none is degenerate, and the choice does not depend on units."""
    tables = []
    for unit in (1.0, 1000.0):
        found = fastgmm.select(IRIS * unit, range(1, 6), ["full", "tied"], prior="mclust", reg_covar=0, random_state=0)
        assert found.best_estimator_.prior == "mclust" and not found.table_["degenerate"].any()
        tables.append(found.table_)
    assert [tuple(row)[:2] for row in tables[0]] == [tuple(row)[:2] for row in tables[1]]
    assert -tables[0]["bic"].min() == pytest.approx(-592.5, abs=0.1)
    np.testing.assert_allclose(
        tables[1]["log_likelihood"] + IRIS.size * math.log(1000), tables[0]["log_likelihood"], atol=0.5
    )


# The argument ---------------------------------------------------------------------------------------------------------

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"mean_precision": -1.0}, "'mean_precision' parameter of Prior .* Got -1.0"),
    ({"mean_precision": "much"}, "'mean_precision' parameter"),
    ({"mean_precision": math.inf}, "'mean_precision' parameter"),
    ({"degrees_of_freedom": 0.0}, "'degrees_of_freedom' parameter"),
    ({"degrees_of_freedom": math.nan}, "'degrees_of_freedom' parameter"),
    ({"weight_concentration": 0.5}, r"'weight_concentration' .* range \[1.0, inf\).* Got 0.5"),
    ({"weight_concentration": None}, "'weight_concentration' parameter"),
    ({"mean": "zero"}, "'mean' parameter of Prior must be an array-like of numbers"),
    ({"scale": [[1.0], [1.0, 2.0]]}, "'scale' parameter of Prior must be an array-like of numbers"),
    ({"degrees_of_freedom": 2.0}, "degrees_of_freedom=2: with 3 features there must be more than 2"),
    ({"mean": [0.0, 1.0]}, r"mean of the prior is .*shape \(2,\): it must be 3"),
    ({"mean": [0.0, 1.0, math.nan]}, "mean of the prior"),
    ({"scale": np.eye(2)}, r"scale of the prior is .*shape \(2, 2\).*\(3, 3\)"),
    ({"scale": [1.0, 1.0, math.inf]}, "scale of the prior"),
    ({"scale": 0.0}, r"range \(0.0, inf\).* Got 0.0"),
    ({"scale": [1.0, -1.0, 1.0]}, "not symmetric and positive definite"),
    ({"scale": np.ones((3, 3))}, "not symmetric and positive definite"),
    ({"scale": np.eye(3) + np.eye(3, k=1) / 2}, "not symmetric and positive definite"),
]


@pytest.mark.parametrize("kind", ["full", "spherical"])
@pytest.mark.parametrize(
    ("fields", "message"), REFUSED, ids=[f"{i}-{next(iter(f))}" for i, (f, _) in enumerate(REFUSED)]
)
def test_bad_priors(X: Array, kind: str, fields: dict[str, Any], message: str) -> None:
    """A field out of range or of the wrong shape is refused with its value, the cause and a remedy."""
    with pytest.raises(ValueError, match=message) as refusal:
        GaussianMixture(2, covariance_type=kind, prior=Prior(**fields)).fit(X)
    assert len(str(refusal.value)) <= 500


@pytest.mark.parametrize("prior", ["mclst", 1.0, {"scale": 1.0}, Prior])
def test_bad_argument(X: Array, prior: Any) -> None:
    """What is no prior is refused like any other argument."""
    with pytest.raises(ValueError, match=r"The 'prior' parameter of GaussianMixture must be a fastgmm\.Prior or a str"):
        GaussianMixture(prior=prior).fit(X)


@pytest.mark.parametrize("kind", KINDS)
def test_shapes_of_the_scale(X: Array, kind: str) -> None:
    """A number, variances and a diagonal matrix are the same prior, for every structure."""
    scales: list[Callable[[int], Any]] = [lambda d: 2.0, lambda d: np.full(d, 2.0), lambda d: 2.0 * np.eye(d)]
    fits = [GaussianMixture(2, covariance_type=kind, prior=Prior(scale=s(3)), **PLAIN).fit(X) for s in scales]
    assert bits(fits[0]) == bits(fits[1]) == bits(fits[2])


def test_prior_is_kept(X: Array, tmp_path: Any) -> None:
    """Pickles keep the prior, and so do files."""
    named = GaussianMixture(2, prior="mclust", random_state=0).fit(X)
    named.save(tmp_path / "named.npz")
    assert fastgmm.load(tmp_path / "named.npz").prior == "mclust"
    own = GaussianMixture(2, prior=Prior(scale=2.0), random_state=0).fit(X)
    own.save(tmp_path / "own.npz")
    assert fastgmm.load(tmp_path / "own.npz").prior.scale == 2.0
    again = pickle.loads(pickle.dumps(own))
    assert again.prior.scale == 2.0 and bits(again.fit(X)) == bits(own)
    with pytest.raises(AttributeError):
        own.prior.scale = 3.0


def test_prior_of_a_sample_is_that_of_all_rows(X: Array) -> None:
    """An M-step for a sample has the prior of all rows, and weighs it against all of them."""
    rule, rows, sample = STRUCTURES["full"], ArraySource(X), ArraySource(X[::4])
    m_step = Penalized(rows, rule, lambda *of: prior_of(*of, Prior()))
    start = GaussianMixture(2, max_iter=2, tol=0, **PLAIN).fit(X)
    parameters = rule.from_covariances(start.weights_, start.means_, start.covariances_)
    of_sample = sample.statistics(rule, parameters)
    assert of_sample.n_samples == len(X) / 4
    data, settings = Data(rows, sample), Settings(m_step=partial(Penalized, prior=partial(prior_of, prior=Prior())))
    candidate = Candidate(rule, 2)
    goal = Trials(data, settings, 0.01, [candidate]).goal(candidate, sample)
    found = m_step.on(sample)(of_sample, parameters)
    assert bits(goal.m_step(of_sample, parameters)) == bits(found)
    four_times = ArraySource(np.repeat(X[::4], 4, axis=0))
    expected = m_step.on(four_times)(four_times.statistics(rule, parameters), parameters)
    np.testing.assert_allclose(found.covariances, expected.covariances, rtol=1e-9)
    priors = []
    for of in (sample, rows):
        statistics, own = of.statistics(rule, parameters), m_step.on(of)
        bound = own.value(statistics, parameters) - own.offset(statistics)
        priors.append(bound - statistics.in_data_units().mean_log_likelihood)
    assert priors[0] == pytest.approx(priors[1], abs=1e-12)


def test_select_cut_short_is_judged_by_likelihood(X: Array) -> None:
    """What there is when a search ends early has criteria of the likelihood, as when it ends by itself."""
    calls = []

    def callback(*of: Any) -> None:
        calls.append(of)
        if len(calls) == 15:
            raise RuntimeError

    options: dict[str, Any] = {"prior": "mclust", "reg_covar": 0, "random_state": 0}
    with pytest.raises(RuntimeError) as ended:
        fastgmm.select(X, range(1, 5), "full", callback=callback, **options)
    found = ended.value.selection  # type: ignore[attr-defined]
    best, log_likelihood = found.best_estimator_, found.table_["log_likelihood"][0]
    of_prior = len(X) * (best.lower_bound_ - best.score(X))
    assert abs(log_likelihood - len(X) * best.score(X)) < 0.2 * abs(of_prior)  # one M-step earlier


@pytest.mark.parametrize(
    "prior",
    [
        Prior(mean_precision=5.0, degrees_of_freedom=30.0, scale=20.0),
        Prior(mean=np.array([0.1, 0.2]), scale=np.array([[2.0, 0.3], [0.3, 1.0]]), weight_concentration=2.0),
        "mclust",
    ],
)
def test_priors_are_kept_in_files(prior: Any, tmp_path: Path) -> None:
    """A mixture from a file goes on under the same prior."""
    X = np.random.default_rng(0).normal(size=(60, 2))
    mixture = GaussianMixture(2, prior=prior, reg_covar=0, random_state=0).fit(X)
    mixture.save(tmp_path / "mixture.npz")
    again = GaussianMixture.load(tmp_path / "mixture.npz")
    assert repr(again.prior) == repr(prior) or np.array_equal(again.prior.scale, prior.scale)
    more = np.random.default_rng(1).normal(size=(200, 2))
    assert mixture.partial_fit(more).means_.tobytes() == again.partial_fit(more).means_.tobytes()
    assert mixture.covariances_.tobytes() == again.covariances_.tobytes()
