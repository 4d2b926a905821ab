"""BayesianGaussianMixture: scikit-learn's numbers, and bounds against evidence that is worked out in other ways."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from problems import Array
from scipy import special, stats
from scipy.special import betaln, digamma, gammaln
from sklearn import mixture as sklearn_mixture

import fastgmm
from fastgmm import BayesianGaussianMixture
from fastgmm.fitting.variational import Variational
from fastgmm.mixture import bayesian
from fastgmm.model.parameters import Parameters
from fastgmm.model.posterior import Posterior
from fastgmm.model.structures import STRUCTURES
from fastgmm.sources.array import ArraySource
from fastgmm.sources.incomplete.source import IncompleteSource

TYPES = ("full", "tied", "diag", "spherical")
WEIGHT_PRIORS = ("dirichlet_process", "dirichlet_distribution")
ATTRIBUTES = (
    "weights_",
    "means_",
    "covariances_",
    "precisions_",
    "precisions_cholesky_",
    "weight_concentration_prior_",
    "weight_concentration_",
    "mean_precision_prior_",
    "mean_precision_",
    "mean_prior_",
    "degrees_of_freedom_prior_",
    "degrees_of_freedom_",
    "covariance_prior_",
    "lower_bounds_",
)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


class FromResponsibilities(sklearn_mixture.BayesianGaussianMixture):
    """scikit-learn's estimator from given responsibilities."""

    given: Array

    def _initialize_parameters(self, X: Array, *_: Any, **__: Any) -> None:
        self._initialize(X, self.given)


def rows(n_features: int, n_samples: int = 150) -> Array:
    """Three groups that overlap."""
    rng = np.random.RandomState(n_features)
    return rng.normal(size=(n_samples, n_features)) + 4 * rng.randint(3, size=(n_samples, 1))


def responsibilities(n_samples: int, n_components: int, seed: int = 0) -> Array:
    """Random ones."""
    return np.random.RandomState(seed).dirichlet(np.ones(n_components), size=n_samples)


def scale(structure: str, matrix: Array) -> Any:
    """A covariance prior made of a matrix."""
    return {
        "full": matrix,
        "tied": matrix,
        "diag": np.diagonal(matrix).copy(),
        "spherical": float(np.trace(matrix)) / len(matrix),
    }[structure]


def custom(structure: str, n_features: int) -> dict[str, Any]:
    """Hyperparameters none of which is the default."""
    rng = np.random.RandomState(7)
    root = rng.normal(size=(n_features, n_features))
    return {
        "weight_concentration_prior": 0.3,
        "mean_precision_prior": 0.2,
        "mean_prior": rng.normal(size=n_features),
        "degrees_of_freedom_prior": n_features + 1.5,
        "covariance_prior": scale(structure, root @ root.T + np.eye(n_features)),
        "reg_covar": 1e-3,
    }


def m_step(X: Array, structure: str, n_components: int, **params: Any) -> Variational:
    """The M-step of an estimator for some rows."""
    estimator = BayesianGaussianMixture(n_components=n_components, covariance_type=structure, **params)
    source = IncompleteSource(ArraySource(X, 1)) if np.isnan(X).any() else ArraySource(X, 1)
    made = estimator._m_step()(source, STRUCTURES[structure])
    assert isinstance(made, Variational)
    return made


# ---- scikit-learn


@pytest.mark.parametrize("structure", TYPES)
@pytest.mark.parametrize("weight_prior", WEIGHT_PRIORS)
@pytest.mark.parametrize("n_features", [1, 5])
@pytest.mark.parametrize("hyperparameters", ["default", "custom"])
def test_sklearn(structure: str, weight_prior: str, n_features: int, hyperparameters: str) -> None:
    """From the same responsibilities all attributes, bounds and densities are scikit-learn's."""
    X = rows(n_features)
    params: dict[str, Any] = {"n_components": 4, "covariance_type": structure}
    params["weight_concentration_prior_type"] = weight_prior
    if hyperparameters == "custom":
        params |= custom(structure, n_features)
    given = responsibilities(len(X), 4)
    for max_iter, tol in ((1, 0.0), (5, 0.0), (40, 1e-3)):
        ours = BayesianGaussianMixture(init_params=given, max_iter=max_iter, tol=tol, **params).fit(X)
        theirs = FromResponsibilities(max_iter=max_iter, tol=tol, **params)
        theirs.given = given
        theirs.fit(X)
        for name in ATTRIBUTES:
            mine, expected = getattr(ours, name), getattr(theirs, name)
            if name == "lower_bounds_":  # arrays of one number, if tied
                expected = np.ravel(expected)
            assert np.shape(mine) == np.shape(expected), name
            np.testing.assert_allclose(mine, expected, rtol=1e-8, atol=1e-11, err_msg=name)
        assert type(ours.weight_concentration_) is type(theirs.weight_concentration_)
        assert (ours.n_iter_, ours.converged_) == (theirs.n_iter_, theirs.converged_)
        assert ours.lower_bound_ == ours.lower_bounds_[-1]
        np.testing.assert_allclose(ours.score_samples(X), theirs.score_samples(X), rtol=1e-8)
        np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), rtol=1e-7, atol=1e-12)
        np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
        assert ours.score(X) == pytest.approx(theirs.score(X), rel=1e-10)


@pytest.mark.parametrize("structure", TYPES)
@pytest.mark.parametrize("weight_prior", WEIGHT_PRIORS)
def test_warm_starts_go_on_where_one_fit_goes(structure: str, weight_prior: str) -> None:
    """Fits of one iteration each come to the attributes of one fit, and of scikit-learn's; bounds never fall."""
    X = rows(2)
    params: dict[str, Any] = {"n_components": 4, "covariance_type": structure, "tol": 1e-3}
    params["weight_concentration_prior_type"] = weight_prior
    given = responsibilities(len(X), 4)
    steps = BayesianGaussianMixture(init_params=given, max_iter=1, warm_start=True, **params)
    bounds = []
    for _ in range(600):
        bounds.append(steps.fit(X).lower_bound_)
        if steps.converged_:
            break
    assert steps.converged_
    assert (np.diff(bounds) > -1e-9).all()
    whole = BayesianGaussianMixture(init_params=given, max_iter=600, **params).fit(X)
    assert whole.n_iter_ == len(bounds)
    np.testing.assert_allclose(whole.lower_bounds_, bounds, rtol=1e-10)
    np.testing.assert_allclose(whole.means_, steps.means_, rtol=1e-8, atol=1e-9)


def test_named_starts_are_those_of_the_other_estimator() -> None:
    """The same random_state starts both classes from the same responsibilities."""
    X = rows(2)
    for start in ("kmeans", "k-means++", "random", "random_from_data", "hierarchical"):
        found = BayesianGaussianMixture(n_components=3, init_params=start, random_state=0, max_iter=0).fit(X)
        other = fastgmm.GaussianMixture(3, init_params=start, random_state=0, max_iter=0).fit(X)
        counts = found.mean_precision_ - 1
        np.testing.assert_allclose(counts / counts.sum(), other.weights_, rtol=1e-8)
    assert (found.lower_bound_, found.lower_bounds_, found.elbo_) == (-math.inf, [], -math.inf)


@pytest.mark.parametrize("weight_prior", WEIGHT_PRIORS)
def test_families_have_one_model(weight_prior: str) -> None:
    """After the first M-step the scales of all types are projections of the general one, as in scikit-learn."""
    X, found = rows(3), {}
    for structure in TYPES:
        fitted = BayesianGaussianMixture(
            n_components=4,
            covariance_type=structure,
            weight_concentration_prior_type=weight_prior,
            init_params=responsibilities(150, 4),
            max_iter=0,
        ).fit(X)
        degrees = np.asarray(fitted.degrees_of_freedom_)
        found[structure] = fitted.covariances_ * degrees.reshape(degrees.shape + (1,) * (fitted.covariances_.ndim - 1))
        if structure == "tied":
            found[structure] = fitted.covariances_ * degrees
    diagonals = np.einsum("kii->ki", found["full"])
    np.testing.assert_allclose(found["tied"], found["full"].mean(axis=0), rtol=1e-10)
    np.testing.assert_allclose(found["diag"], diagonals, rtol=1e-10)
    np.testing.assert_allclose(found["spherical"], diagonals.mean(axis=1), rtol=1e-10)


# ---- bounds


def wishart_log_normalizer(inverse_scale: Array, degrees: float) -> float:
    """log B of Bishop (B.79)."""
    n_features = len(inverse_scale)
    return float(
        degrees / 2 * np.linalg.slogdet(inverse_scale)[1]
        - degrees * n_features / 2 * math.log(2)
        - n_features * (n_features - 1) / 4 * math.log(math.pi)
        - sum(gammaln((degrees - i) / 2) for i in range(n_features))
    )


def elbo_of_seven_terms(X: Array, r: Array, mixture: BayesianGaussianMixture) -> float:
    """Bishop (10.70) to (10.77), one by one; for sticks their own expectations in place of the Dirichlet's."""
    n_features = X.shape[1]
    nu = np.broadcast_to(mixture.degrees_of_freedom_, mixture.weights_.shape)
    beta, means, n = mixture.mean_precision_, mixture.means_, r.sum(axis=0)
    S = mixture.covariances_ * nu[:, None, None]
    W = np.linalg.inv(S)
    beta0, m0 = mixture.mean_precision_prior_, mixture.mean_prior_
    nu0, S0 = mixture.degrees_of_freedom_prior_, np.asarray(mixture.covariance_prior_)
    log_precision = np.array(
        [
            sum(digamma((nu[k] - i) / 2) for i in range(n_features))
            + n_features * math.log(2)
            - np.linalg.slogdet(S[k])[1]
            for k in range(len(n))
        ]
    )
    concentration, alpha = mixture.weight_concentration_, mixture.weight_concentration_prior_
    if isinstance(concentration, tuple):
        a, b = concentration
        log_v, log_rest = digamma(a) - digamma(a + b), digamma(b) - digamma(a + b)
        log_pi = log_v + np.concatenate([[0], np.cumsum(log_rest)[:-1]])
        prior = (-betaln(1, alpha) + (alpha - 1) * log_rest).sum()
        posterior = (-betaln(a, b) + (a - 1) * log_v + (b - 1) * log_rest).sum()
    else:
        log_pi = digamma(concentration) - digamma(concentration.sum())
        prior = gammaln(len(n) * alpha) - len(n) * gammaln(alpha) + ((alpha - 1) * log_pi).sum()
        posterior = gammaln(concentration.sum()) - gammaln(concentration).sum() + ((concentration - 1) * log_pi).sum()
    total = prior - posterior + (r * log_pi).sum() - (r * np.log(r)).sum()
    for k in range(len(n)):
        d = X - means[k]
        squares = nu[k] * np.einsum("ni,ij,nj->n", d, W[k], d) + n_features / beta[k]
        total += 0.5 * (r[:, k] * (log_precision[k] - n_features * math.log(2 * math.pi) - squares)).sum()
        d0 = means[k] - m0
        total += 0.5 * (n_features * math.log(beta0 / (2 * math.pi)) + log_precision[k])
        total -= 0.5 * (n_features * beta0 / beta[k] + beta0 * nu[k] * d0 @ W[k] @ d0)
        total += wishart_log_normalizer(S0, nu0) + (nu0 - n_features - 1) / 2 * log_precision[k]
        total -= nu[k] / 2 * np.trace(S0 @ W[k])
        total -= 0.5 * log_precision[k] + 0.5 * n_features * (math.log(beta[k] / (2 * math.pi)) - 1)
        total -= wishart_log_normalizer(S[k], nu[k]) + (nu[k] - n_features - 1) / 2 * log_precision[k]
        total += nu[k] * n_features / 2
    return float(total)


@pytest.mark.parametrize("weight_prior", WEIGHT_PRIORS)
@pytest.mark.parametrize("n_features", [1, 3])
@pytest.mark.parametrize("hyperparameters", ["default", "custom"])
def test_elbo_is_the_sum_of_its_terms(weight_prior: str, n_features: int, hyperparameters: str) -> None:
    """elbo_ after an iteration, and the objective at its start, which is no optimum for those responsibilities."""
    X = rows(n_features, 60)
    params = custom("full", n_features) | {"reg_covar": 0} if hyperparameters == "custom" else {"reg_covar": 0}
    given = responsibilities(60, 3)
    start = BayesianGaussianMixture(
        n_components=3, weight_concentration_prior_type=weight_prior, init_params=given, max_iter=0, **params
    ).fit(X)
    r = start.predict_proba(X)
    following = fastgmm.BayesianGaussianMixture(**start.get_params()).set_params(max_iter=1).fit(X)
    assert following.elbo_ == pytest.approx(elbo_of_seven_terms(X, r, following), rel=1e-11)
    step = m_step(X, "full", 3, weight_concentration_prior_type=weight_prior, **params)
    state = start._reached(vars(start))
    statistics = step.rows.statistics(STRUCTURES["full"], step.evaluated(state))
    value = step.value(statistics, state) - statistics.n_samples * statistics.log_volume
    assert value == pytest.approx(elbo_of_seven_terms(X, r, start), rel=1e-10)


def log_evidence(X: Array, structure: str, fitted: BayesianGaussianMixture) -> float:
    """log p(X) of one Gaussian by the chain rule: each row under the Student-t predictive of those before it."""
    beta, m = fitted.mean_precision_prior_, np.array(fitted.mean_prior_)
    nu, S, total = fitted.degrees_of_freedom_prior_, np.array(fitted.covariance_prior_, float), 0.0
    n_features = len(m)
    for x in X:
        d, grown = x - m, (1 + beta) / beta
        if structure in ("full", "tied"):
            df = nu + 1 - n_features
            total += stats.multivariate_t.logpdf(x, m, S * grown / df, df)
            S, nu = S + beta / (beta + 1) * np.outer(d, d), nu + 1
        elif structure == "diag":
            total += stats.t.logpdf(x, nu, m, np.sqrt(S * grown / nu)).sum()
            S, nu = S + beta / (beta + 1) * d**2, nu + 1
        else:
            total += stats.multivariate_t.logpdf(x, m, np.eye(n_features) * float(S) * grown / nu, nu)
            S, nu = S + beta / (beta + 1) * (d @ d), nu + n_features
        m, beta = (beta * m + x) / (beta + 1), beta + 1
    return float(total)


@pytest.mark.parametrize("structure", TYPES)
@pytest.mark.parametrize("weight_prior", WEIGHT_PRIORS)
@pytest.mark.parametrize("hyperparameters", ["default", "custom"])
def test_one_component_has_the_exact_evidence(structure: str, weight_prior: str, hyperparameters: str) -> None:
    """With K = 1 and the conjugate posterior the bound is log p(X); open sticks lose a known bit."""
    X = rows(3, 40)
    params = custom(structure, 3) if hyperparameters == "custom" else {}
    fitted = BayesianGaussianMixture(
        covariance_type=structure,
        weight_concentration_prior_type=weight_prior,
        posterior="exact",
        max_iter=3,
        tol=0,
        **params | {"reg_covar": 0},
    ).fit(X)
    expected = log_evidence(X, structure, fitted)
    if weight_prior == "dirichlet_process":  # all rows on the first stick
        alpha = fitted.weight_concentration_prior_
        expected += betaln(1 + len(X), alpha) - betaln(1, alpha)
    assert fitted.elbo_ == pytest.approx(expected, rel=1e-11)
    assert fitted.lower_bound_ == fitted.elbo_


@pytest.mark.parametrize("structure", TYPES)
@pytest.mark.parametrize("posterior", ["compatible", "exact"])
@pytest.mark.parametrize("weight_prior", WEIGHT_PRIORS)
@pytest.mark.parametrize("kind", ["complete", "gaps", "weights"])
def test_bounds_before_and_after_never_fall(structure: str, posterior: str, weight_prior: str, kind: str) -> None:
    """L before an M-step <= L after it <= L before the next, and both meet at the end."""
    X, weights = rows(3, 90), None
    if kind == "gaps":
        X[np.random.RandomState(0).random(X.shape) < 0.2] = np.nan
        X[5] = np.nan
    estimator = BayesianGaussianMixture(
        n_components=4,
        covariance_type=structure,
        posterior=posterior,
        weight_concentration_prior_type=weight_prior,
        reg_covar=0,
    )
    source: Any = ArraySource(X, 1)
    if kind == "gaps":
        source = IncompleteSource(source)
    elif kind == "weights":
        weights = np.random.RandomState(1).random(90)
        source = ArraySource(X, 1, weights=weights)
        source.weight_unit = 8.0
    rule = STRUCTURES[structure]
    step = estimator._m_step()(source, rule)
    filled = ArraySource(np.nan_to_num(X), 1)
    found = filled.statistics_given(rule, np.zeros((4, 3)), lambda part: responsibilities(90, 4)[part])
    parameters, bounds = step(found), []
    for iteration in range(1, 600):
        statistics = source.statistics(rule, step.evaluated(parameters))
        bounds.append(step.value(statistics, parameters))
        following = step(statistics, parameters, iteration)
        bounds.append(step.reported(statistics, parameters, following))
        parameters = following
        if bounds[-1] - bounds[-2] < 1e-7:
            break
    assert np.diff(bounds).min() > -1e-9
    assert bounds[-1] - bounds[-2] < 1e-5


def test_bound_is_below_the_evidence() -> None:
    """Against enumeration of all labelings of a few rows, and close to it where groups are clear."""
    X = np.array([[-5.0], [-5.2], [-4.9], [5.1], [4.8], [5.0]])
    params: dict[str, Any] = {"mean_prior": [0.0], "mean_precision_prior": 0.01, "degrees_of_freedom_prior": 3.0}
    params |= {"covariance_prior": [[1.0]], "weight_concentration_prior": 0.7, "reg_covar": 0}
    for weight_prior in WEIGHT_PRIORS:
        fitted = BayesianGaussianMixture(
            n_components=2, weight_concentration_prior_type=weight_prior, init_params=[0, 0, 0, 1, 1, 1], **params
        ).fit(X)
        terms = []
        for labels in itertools.product((0, 1), repeat=len(X)):
            parts = [X[np.array(labels) == k] for k in (0, 1)]
            n = np.array([len(part) for part in parts])
            if weight_prior == "dirichlet_process":
                sticks = betaln(1 + n, 0.7 + np.array([n[1], 0])) - betaln(1, 0.7)
                labeled = sticks.sum()
            else:
                labeled = gammaln(1.4) - 2 * gammaln(0.7) + gammaln(0.7 + n).sum() - gammaln(1.4 + n.sum())
            terms.append(labeled + sum(log_evidence(part, "full", fitted) for part in parts))
        evidence = float(np.logaddexp.reduce(terms))
        assert fitted.elbo_ < evidence
        assert fitted.elbo_ > evidence - math.log(2) - 1e-3  # one of two equal modes


@pytest.mark.parametrize("structure", TYPES)
@pytest.mark.parametrize("posterior", ["compatible", "exact"])
def test_squarem_never_lowers_the_bound(structure: str, posterior: str) -> None:
    """The end is no worse than that of plain iterations, in fewer passes."""
    X = rows(2, 400)
    params: dict[str, Any] = {"n_components": 6, "covariance_type": structure, "posterior": posterior}
    params |= {"tol": 1e-7, "max_iter": 5000, "init_params": responsibilities(400, 6)}
    plain = BayesianGaussianMixture(**params).fit(X)
    fast = BayesianGaussianMixture(acceleration="squarem", **params).fit(X)
    assert np.diff(fast.lower_bounds_).min() > -1e-6
    assert fast.converged_
    assert fast.n_iter_ < plain.n_iter_
    assert fast.lower_bound_ > plain.lower_bound_ - 5


# ---- any rows


@pytest.mark.parametrize("structure", TYPES)
def test_weights_are_repeated_rows(structure: str) -> None:
    """A weight of 3 is three rows, and weights are no ratios: twice of them is another posterior."""
    X, repeats = rows(2, 80), np.random.RandomState(0).randint(0, 4, size=80)
    params: dict[str, Any] = {"n_components": 3, "covariance_type": structure, "max_iter": 30, "tol": 0}
    labels = np.random.RandomState(1).randint(3, size=80)
    weighted = BayesianGaussianMixture(init_params=labels, **params).fit(X, sample_weight=repeats)
    repeated = BayesianGaussianMixture(init_params=labels.repeat(repeats), **params).fit(X.repeat(repeats, axis=0))
    for name in ATTRIBUTES:
        np.testing.assert_allclose(getattr(weighted, name), getattr(repeated, name), rtol=1e-9, atol=1e-10)
    assert weighted.elbo_ == pytest.approx(repeated.elbo_, rel=1e-12)
    doubled = BayesianGaussianMixture(init_params=labels, **params).fit(X, sample_weight=2 * repeats)
    assert abs(doubled.elbo_ - weighted.elbo_) > 10


def test_gaps_that_are_none() -> None:
    """Rows without any value change nothing but n_samples_seen_, where the priors are given."""
    X = rows(2, 80)
    params: dict[str, Any] = {"n_components": 3, "missing": "em", "tol": 0, "max_iter": 20} | custom("full", 2)
    with_empty = np.concatenate([X, np.full((7, 2), np.nan)])
    few = BayesianGaussianMixture(init_params=lambda X, k, rng: X[:3], **params).fit(X)
    more = BayesianGaussianMixture(init_params=lambda X, k, rng: X[:3], **params).fit(with_empty)
    np.testing.assert_allclose(few.means_, more.means_, rtol=0.2)
    converged = [
        BayesianGaussianMixture(init_params=lambda X, k, rng: X[:3], **params | {"max_iter": 600}).fit(Y)
        for Y in (X, with_empty)
    ]
    np.testing.assert_allclose(converged[0].means_, converged[1].means_, rtol=1e-6)
    assert converged[0].elbo_ == pytest.approx(converged[1].elbo_, rel=1e-9)


def test_threads_chunks_and_types() -> None:
    """The same bits for any number of threads, and from chunks; float32 rows give nearly the same in float64."""
    X = np.random.RandomState(0).normal(size=(20000, 3)) + 3 * np.random.RandomState(1).randint(3, size=(20000, 1))
    params: dict[str, Any] = {"n_components": 5, "random_state": 0, "max_iter": 10}
    one = BayesianGaussianMixture(n_threads=1, **params).fit(X)
    two = BayesianGaussianMixture(n_threads=2, **params).fit(X)
    chunks = BayesianGaussianMixture(**params).fit(fastgmm.sources.Chunks(lambda: iter(np.array_split(X, 7))))
    single = BayesianGaussianMixture(**params).fit(X.astype(np.float32))
    for name in (*ATTRIBUTES, "elbo_"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
        np.testing.assert_array_equal(getattr(one, name), getattr(chunks, name))
        np.testing.assert_allclose(getattr(one, name), getattr(single, name), rtol=1e-3, atol=1e-3)
    assert single.means_.dtype == np.float64


@pytest.mark.parametrize("structure", TYPES)
@pytest.mark.parametrize("factor", [2.0**-300, 1e-3, 1e3, 2.0**300])
def test_units(structure: str, factor: float) -> None:
    """Default priors follow the rows: the same labels, and elbo_ less N D log(factor)."""
    X = rows(2)
    params: dict[str, Any] = {"n_components": 3, "covariance_type": structure, "random_state": 0, "reg_covar": "auto"}
    plain = BayesianGaussianMixture(**params).fit(X)
    scaled = BayesianGaussianMixture(**params).fit(factor * X)
    np.testing.assert_array_equal(scaled.predict(factor * X), plain.predict(X))
    assert scaled.n_iter_ == plain.n_iter_
    expected = plain.elbo_ - X.size * math.log(factor)
    assert scaled.elbo_ == pytest.approx(expected, rel=1e-9)
    exact = math.frexp(factor)[0] == 0.5
    compare = np.testing.assert_array_equal if exact else lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-7)
    compare(scaled.means_, factor * plain.means_)
    compare(scaled.weights_, plain.weights_)
    compare(scaled.covariances_, factor**2 * plain.covariances_)


# ---- densities


@pytest.mark.parametrize("weight_prior", WEIGHT_PRIORS)
def test_three_densities(weight_prior: str) -> None:
    """score_samples integrates to less than one, the plug-in mixture to one, and has the public parameters."""
    X = rows(1, 60)
    fitted = BayesianGaussianMixture(n_components=4, weight_concentration_prior_type=weight_prior, random_state=0).fit(
        X
    )
    grid = np.linspace(-60, 60, 200001)[:, None]
    plug_in = fitted.to_mixture()
    assert type(plug_in) is fastgmm.GaussianMixture
    assert np.trapezoid(np.exp(plug_in.score_samples(grid)), grid.ravel()) == pytest.approx(1, abs=1e-9)
    integral = np.trapezoid(np.exp(fitted.score_samples(grid)), grid.ravel())
    log_w = fitted._evaluated().parameters.log_weights
    assert integral == pytest.approx(np.exp(log_w).sum(), rel=1e-9)
    assert integral < 1
    for name in ("weights_", "means_", "covariances_", "precisions_cholesky_"):
        np.testing.assert_array_equal(getattr(plug_in, name), getattr(fitted, name))
    np.testing.assert_array_equal(plug_in.sample(9, random_state=0)[0], fitted.sample(9, random_state=0)[0])


def test_parameters_set_by_hand_are_a_plug_in_mixture() -> None:
    """Without a posterior the methods read what there is."""
    fitted = BayesianGaussianMixture(n_components=3, random_state=0).fit(rows(2))
    by_hand = BayesianGaussianMixture(n_components=3)
    for name in ("weights_", "means_", "covariances_", "precisions_cholesky_"):
        setattr(by_hand, name, getattr(fitted, name))
    np.testing.assert_array_equal(by_hand.score_samples(rows(2)), fitted.to_mixture().score_samples(rows(2)))


def test_large_mixtures_are_not_remembered() -> None:
    """What answers are worked out by is kept between calls where it is small alone."""
    for n_features, kept in ((2, 1), (80, 0)):
        X = np.random.RandomState(0).normal(size=(200, n_features))
        fitted = BayesianGaussianMixture(n_components=2, random_state=0).fit(X)
        before = bayesian._remembered.cache_info()
        for _ in range(3):
            fitted.score_samples(X)
        after = bayesian._remembered.cache_info()
        assert (after.hits - before.hits, after.misses - before.misses) == (2 * kept, kept)


# ---- what is refused


@pytest.mark.parametrize(
    ("params", "error", "words"),
    [
        ({"weight_concentration_prior": 0}, ValueError, "weight_concentration_prior"),
        ({"weight_concentration_prior_type": "dirichlet"}, ValueError, "weight_concentration_prior_type"),
        ({"mean_precision_prior": -1.0}, ValueError, "mean_precision_prior"),
        ({"mean_prior": [1.0, 2.0, 3.0]}, ValueError, "'means' should have the shape of"),
        ({"mean_prior": [1.0, np.nan]}, ValueError, "NaN"),
        ({"degrees_of_freedom_prior": 1.0}, ValueError, "should be greater than 1, but got 1.000"),
        ({"covariance_prior": 1.0}, TypeError, "1.0"),
        ({"covariance_prior": np.eye(3)}, ValueError, "'full covariance_prior' should have the shape of"),
        ({"covariance_prior": [[1.0, 2.0], [2.0, 1.0]]}, ValueError, "symmetric, positive-definite"),
        ({"covariance_prior": [[1.0, 0.5], [0.0, 1.0]]}, ValueError, "symmetric, positive-definite"),
        ({"covariance_prior": [1.0, -1.0], "covariance_type": "diag"}, ValueError, "should be positive"),
        ({"covariance_prior": 0.0, "covariance_type": "spherical"}, ValueError, "covariance_prior"),
        ({"posterior": "Exact"}, ValueError, "posterior"),
    ],
)
def test_refused(params: dict[str, Any], error: type[Exception], words: str) -> None:
    """Priors out of range, of the wrong shape, or not positive definite: the value, the cause and the remedy."""
    mixture = BayesianGaussianMixture(n_components=2, **params)
    with pytest.raises(error, match=words) as caught:
        mixture.fit(rows(2))
    assert len(str(caught.value)) <= 500
    assert not hasattr(mixture, "means_")


def test_changed_size_is_refused_on_a_warm_start() -> None:
    """In words, where scikit-learn ends in an IndexError."""
    mixture = BayesianGaussianMixture(n_components=2, warm_start=True, random_state=0).fit(rows(2))
    with pytest.raises(ValueError, match="n_components"):
        mixture.set_params(n_components=3).fit(rows(2))


def test_unfitted() -> None:
    """predict before fit."""
    with pytest.raises(fastgmm.NotFittedError):
        BayesianGaussianMixture().predict(rows(2))


def test_singular_rows_raise_the_prior_and_say_so() -> None:
    """A constant column leaves cov(X) singular: its variance is raised, with a warning, and all stays finite."""
    X = np.column_stack([rows(2), np.full(150, 3.0)])
    with pytest.warns(fastgmm.DegenerateComponentWarning, match="singular as a prior"):
        fitted = BayesianGaussianMixture(n_components=3, random_state=0).fit(X)
    assert np.isfinite(fitted.score_samples(X)).all()
    assert np.diff(fitted.lower_bounds_).min() > -1e-6


def test_state_is_plain_parameters() -> None:
    """What a fit has left gives the E-step of its attributes."""
    X = rows(2)
    fitted = BayesianGaussianMixture(n_components=3, random_state=0).fit(X)
    state = fitted._reached(vars(fitted))
    assert isinstance(state, Parameters)
    evaluated = m_step(X, "full", 3).evaluated(state)
    np.testing.assert_allclose(evaluated.log_weights, fitted._evaluated().parameters.log_weights, rtol=1e-12)


# ---- options beyond scikit-learn's


def separate_groups(n_samples: int = 400, seed: int = 1) -> Array:
    """Five groups of unit variance, far apart."""
    rng = np.random.RandomState(seed)
    centers = rng.uniform(-30, 30, size=(5, 2))
    return centers[rng.randint(5, size=n_samples)] + rng.normal(size=(n_samples, 2))


@pytest.mark.parametrize("posterior", ["compatible", "exact"])
@pytest.mark.parametrize("structure", TYPES)
def test_sorted_sticks_are_the_best_order(structure: str, posterior: str) -> None:
    """Components come in decreasing order, the bound is no lower, and no other order of few components beats it."""
    X = separate_groups()
    params: dict[str, Any] = {"n_components": 6, "covariance_type": structure, "posterior": posterior}
    params |= {"random_state": 0, "max_iter": 300}
    plain = BayesianGaussianMixture(**params).fit(X)
    ordered = BayesianGaussianMixture(sort=True, **params).fit(X)
    assert np.diff(ordered.lower_bounds_).min() > -1e-6
    assert (np.diff(ordered.mean_precision_) <= 1e-3).all()
    assert ordered.elbo_ >= plain.elbo_ - 1e-6
    sticks = m_step(X, structure, 6, posterior=posterior).prior.weights
    counts = ordered.mean_precision_ - 1
    best = max(sticks.log_evidence(counts[list(order)]) for order in itertools.permutations(range(6)))
    assert sticks.log_evidence(counts) == pytest.approx(best, abs=1e-5)


@pytest.mark.parametrize("weight_prior", WEIGHT_PRIORS)
@pytest.mark.parametrize("structure", TYPES)
def test_pruned_components_come_back(structure: str, weight_prior: str) -> None:
    """The end is that of all components to a hundredth of a nat for each, and the last ones are the prior's."""
    X = separate_groups()
    params: dict[str, Any] = {"n_components": 20, "covariance_type": structure, "random_state": 0, "max_iter": 300}
    params |= {"weight_concentration_prior_type": weight_prior, "weight_concentration_prior": 0.01}
    for acceleration in (None, "squarem"):
        whole = BayesianGaussianMixture(sort=True, acceleration=acceleration, **params).fit(X)
        pruned = BayesianGaussianMixture(sort=True, prune=True, acceleration=acceleration, **params).fit(X)
        assert pruned.means_.shape == (20, 2)
        assert pruned.elbo_ > whole.elbo_ - 0.2
        assert np.diff(pruned.lower_bounds_).min() > -0.2
        empty = pruned.mean_precision_ == 1.0
        assert empty.sum() > 5
        np.testing.assert_allclose(pruned.means_[empty], np.tile(pruned.mean_prior_, (empty.sum(), 1)))
        if structure != "tied":
            prior = np.asarray(pruned.covariance_prior_) / pruned.degrees_of_freedom_prior_
            np.testing.assert_allclose(
                pruned.covariances_[empty], np.broadcast_to(prior, pruned.covariances_[empty].shape)
            )
        assert np.isfinite(pruned.score_samples(X)).all()
        assert pruned.score(X) == pytest.approx(whole.score(X), abs=2e-2)
        assert len(set(pruned.predict(X))) == len(set(whole.predict(X)))


@pytest.mark.parametrize("posterior", ["compatible", "exact"])
@pytest.mark.parametrize("structure", TYPES)
def test_fitted_priors_are_stationary_and_raise_the_bound(structure: str, posterior: str) -> None:
    """At the end no other prior has a higher bound for this posterior, in any direction; on the way it never falls."""
    X = separate_groups()
    params: dict[str, Any] = {"n_components": 8, "covariance_type": structure, "posterior": posterior}
    params |= {"random_state": 0, "reg_covar": 0, "weight_concentration_prior_type": "dirichlet_distribution"}
    plain = BayesianGaussianMixture(max_iter=300, **params).fit(X)
    fitted = BayesianGaussianMixture(prior="auto", max_iter=300, **params).fit(X)
    assert np.diff(fitted.lower_bounds_).min() > -1e-6
    assert fitted.elbo_ > plain.elbo_ + 100
    assert fitted.lower_bound_ == fitted.elbo_
    assert fitted.mean_precision_prior_ < 0.1
    step = m_step(
        X, structure, 8, **{name: params[name] for name in params if name not in ("n_components", "covariance_type")}
    )
    start = plain._reached(vars(plain))
    prior = Posterior(step.prior, start, len(X)).fitted_prior()
    used = start.weights * len(X) >= 1
    kept = np.flatnonzero(used)
    rule = STRUCTURES[structure]
    own = rule.reorder(start, kept)
    rng = np.random.RandomState(0)

    def divergence(beta0: float, mean: Array, matrix: Array) -> float:
        """Of the components in use, whose q stays as it is, from another prior of theirs."""
        total, components = 0.0, step.prior.components
        nu = np.broadcast_to(plain.degrees_of_freedom_, 8)[kept]
        beta = plain.mean_precision_[kept]
        for k in range(len(kept)):
            P = rule.dense(own.precisions_cholesky, len(kept), 2)[k]
            precision, d = P @ P.T, own.means[k] - mean
            total += 0.5 * (2 * (beta0 / beta[k] - math.log(beta0)) + beta0 * d @ precision @ d)
            shape = components.degrees_of_freedom
            if structure == "spherical" and posterior == "exact":
                total += 0.5 * (matrix[0, 0] * precision[0, 0] - shape * math.log(matrix[0, 0]))
            elif structure == "tied" and posterior == "exact" and k > 0:
                continue
            else:
                total += 0.5 * (np.trace(matrix @ precision) - shape * np.linalg.slogdet(matrix)[1])
            assert nu[k] > 0
        return total

    found = prior.components
    scale = np.asarray(found.scale if rule.shared else found.scale[0])
    matrix = scale if scale.ndim == 2 else np.diag(np.broadcast_to(scale, 2))
    least = divergence(found.mean_precision, found.mean, matrix)
    for _ in range(20):
        direction = rng.normal(size=(2, 2)) * matrix.max()
        direction = direction + direction.T
        if scale.ndim < 2:
            direction = np.diag(np.diagonal(direction)) if scale.ndim else np.eye(2) * direction[0, 0]
        moved = found.mean_precision * math.exp(1e-2 * rng.normal()), found.mean + 1e-2 * rng.normal(size=2)
        assert divergence(*moved, matrix + 1e-3 * direction) > least


@pytest.mark.parametrize("acceleration", [None, "squarem"])
@pytest.mark.parametrize("weight_prior", WEIGHT_PRIORS)
@pytest.mark.parametrize("posterior", ["compatible", "exact"])
@pytest.mark.parametrize("structure", TYPES)
def test_bounds_under_fitted_priors_never_fall(
    structure: str, posterior: str, weight_prior: str, acceleration: str | None
) -> None:
    """Few rows in many components: priors change much from one iteration to the next, and the bound only rises."""
    rng = np.random.RandomState(0)
    X = np.concatenate([rng.normal(size=(20, 4)), rng.normal(size=(20, 4)) + 3])
    params: dict[str, Any] = {"weight_concentration_prior_type": weight_prior, "posterior": posterior, "reg_covar": 0}
    params |= {"random_state": 0, "max_iter": 300, "tol": 1e-6, "acceleration": acceleration}
    mixture = BayesianGaussianMixture(n_components=6, covariance_type=structure, prior="auto", **params).fit(X)
    assert np.diff(mixture.lower_bounds_).min() > -1e-9


def test_fitted_priors_leave_whole_bounds() -> None:
    """Bounds under a fitted prior, of which scikit-learn knows nothing, have all constants, also when a fit goes on."""
    X = rows(2)
    mixture = BayesianGaussianMixture(n_components=3, prior="auto", random_state=0).fit(X)
    bounds = [mixture.lower_bound_ - mixture.elbo_]
    bounds.append(mixture.partial_fit(X).lower_bound_ - mixture.elbo_)
    by_hand = fastgmm.maximize(mixture, fastgmm.statistics(mixture, X))
    bounds.append(by_hand.lower_bound_ - by_hand.elbo_)
    assert bounds == [0, 0, 0]


# ---- the posterior


@pytest.mark.parametrize("posterior", ["compatible", "exact"])
@pytest.mark.parametrize("structure", TYPES)
def test_predictive_density_is_a_ratio_of_evidences(structure: str, posterior: str) -> None:
    """With one component p(x | X) = p(X, x) / p(X); with several it integrates to one."""
    X, more = rows(2, 30), rows(2, 40)[30:]
    params: dict[str, Any] = {"covariance_type": structure, "posterior": posterior, "reg_covar": 0, "tol": 0}
    one = BayesianGaussianMixture(max_iter=1, **params).fit(X)
    expected = []
    for x in more:
        if posterior == "exact":
            both, before = log_evidence(np.vstack([X, x]), structure, one), log_evidence(X, structure, one)
            expected.append(both - before)
        else:
            df = float(np.ravel(one.degrees_of_freedom_)[0]) - 1
            scale = STRUCTURES[structure].dense(np.asarray(one.covariances_), 1, 2)[0] * (df + 1)
            beta = one.mean_precision_[0]
            expected.append(stats.multivariate_t.logpdf(x, one.means_[0], scale * (1 + beta) / (beta * df), df))
    np.testing.assert_allclose(one.predictive_log_density(more), expected, rtol=1e-9)
    several = BayesianGaussianMixture(n_components=3, covariance_type=structure, posterior=posterior, random_state=0)
    several.fit(rows(1))
    grid = np.concatenate([-np.logspace(6, -3, 20001), np.logspace(-3, 6, 20001)])[:, None]
    total = np.trapezoid(np.exp(several.predictive_log_density(grid)), grid.ravel())
    assert total == pytest.approx(1, abs=1e-3)


def student_mixture(mixture: BayesianGaussianMixture, X: Array) -> Array:
    """Log density of a mixture of Student's t distributions, written out: products over features, or joint ones."""
    X, (n_components, n_features) = X.astype(np.float64), mixture.means_.shape
    nu, beta = np.broadcast_to(mixture.degrees_of_freedom_, n_components), mixture.mean_precision_
    dense = STRUCTURES[mixture.covariance_type].dense(np.asarray(mixture.covariances_), n_components, n_features)
    gammas = mixture.posterior == "exact" and mixture.covariance_type in ("diag", "spherical")
    logs = []
    for k in range(n_components):
        df = nu[k] if gammas else nu[k] + 1 - n_features
        scale = dense[k] * nu[k] / df * (1 + beta[k]) / beta[k]
        if gammas and mixture.covariance_type == "diag":
            log = stats.t.logpdf(X, df, mixture.means_[k], np.sqrt(np.diag(scale))).sum(axis=1)
        else:
            squares = np.einsum("ni,ij,nj->n", X - mixture.means_[k], np.linalg.inv(scale), X - mixture.means_[k])
            log = special.gammaln((df + n_features) / 2) - special.gammaln(df / 2)
            log = log - np.linalg.slogdet(np.pi * df * scale)[1] / 2 - (df + n_features) / 2 * np.log1p(squares / df)
        logs.append(log + np.log(mixture.weights_[k]))
    return np.asarray(special.logsumexp(logs, axis=0))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("n_features", [1, 2, 3, 5, 9])
@pytest.mark.parametrize("posterior", ["compatible", "exact"])
@pytest.mark.parametrize("structure", TYPES)
def test_predictive_density_is_a_mixture_of_t(structure: str, posterior: str, n_features: int, dtype: str) -> None:
    """Near and far from the groups, for few rows and for as many as a million, whose tails are almost normal."""
    rng = np.random.default_rng(n_features)
    X = (rng.normal(size=(70, n_features)) + 4 * rng.integers(2, size=(70, 1))).astype(dtype)
    more = np.concatenate([X, 30 * X[:5], 1e8 * X[:2]])
    params: dict[str, Any] = {"covariance_type": structure, "posterior": posterior, "random_state": 0, "max_iter": 5}
    for degrees in (n_features, 1e6):
        mixture = BayesianGaussianMixture(n_components=3, degrees_of_freedom_prior=degrees, **params).fit(X)
        found, expected = mixture.predictive_log_density(more), student_mixture(mixture, more)
        assert found.dtype == dtype
        rtol, atol = (1e-9, 1e-8) if dtype == "float64" else (1e-5, 1e-3)
        np.testing.assert_allclose(found, expected, rtol=rtol, atol=atol)
    out = np.empty(len(more), dtype)
    assert mixture.predictive_log_density(more, out=out) is out
    np.testing.assert_array_equal(out, found)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("posterior", ["compatible", "exact"])
@pytest.mark.parametrize("structure", TYPES)
def test_predictive_density_however_far(structure: str, posterior: str, dtype: str) -> None:
    """Where squares overflow densities fall on as a power of the distance, in any units of the rows."""
    rng = np.random.default_rng(0)
    largest, unit = (300, 2.0**465) if dtype == "float64" else (37, 2.0**17)
    X = rng.normal(size=(80, 3)).astype(dtype)
    params: dict[str, Any] = {"covariance_type": structure, "posterior": posterior, "random_state": 0, "reg_covar": 0}
    mixture = BayesianGaussianMixture(n_components=2, **params).fit(X)
    exponents = np.arange(2.0, largest, largest // 12)
    found = mixture.predictive_log_density(np.array([1.0, -2.0, 0.5]) * 10 ** exponents[:, None].astype(dtype))
    degrees = np.broadcast_to(mixture.degrees_of_freedom_, 2)
    gammas = posterior == "exact" and structure in ("diag", "spherical")
    powers = degrees + (3 if structure == "spherical" else 1) if gammas else degrees + 1
    power = powers.min() if not (gammas and structure == "diag") else 3 * powers.min()
    slopes = -np.diff(found[2:].astype(np.float64)) / np.diff(exponents[2:]) / math.log(10)
    np.testing.assert_allclose(slopes, power, rtol=1e-3)
    scaled = BayesianGaussianMixture(n_components=2, **params).fit(X * np.asarray(unit, dtype))
    rows = np.array([1.0, -2.0, 0.5]) * 10.0 ** np.array([1, 4, 8, 15])[:, None]
    expected = student_mixture(mixture, rows) - 3 * math.log(unit)
    given = (rows * unit).astype(dtype)
    rtol = 1e-9 if dtype == "float64" else 1e-4
    np.testing.assert_allclose(scaled.predictive_log_density(given), expected, rtol=rtol, atol=1e-3)


@pytest.mark.parametrize("posterior", ["compatible", "exact"])
@pytest.mark.parametrize("structure", TYPES)
def test_scikit_learn_gets_only_posteriors_that_it_has(structure: str, posterior: str) -> None:
    """Densities are equal there and back; what would have others there is refused, and its plug-in mixture is not."""
    X = rows(2)
    mixture = BayesianGaussianMixture(n_components=3, covariance_type=structure, posterior=posterior, random_state=0)
    mixture.fit(X)
    if posterior == "exact" and structure in ("diag", "spherical"):
        with pytest.raises(ValueError, match=r"posterior='exact' of '.*to_mixture"):
            mixture.to_sklearn()
        theirs, ours = mixture.to_mixture().to_sklearn(), mixture.to_mixture()
        np.testing.assert_allclose(theirs.score_samples(X), ours.score_samples(X), rtol=1e-9)
        return
    theirs = mixture.to_sklearn()
    np.testing.assert_allclose(theirs.score_samples(X), mixture.score_samples(X), rtol=1e-9)
    back = BayesianGaussianMixture.from_sklearn(theirs)
    np.testing.assert_allclose(back.predictive_log_density(X), mixture.predictive_log_density(X), rtol=1e-9)


def test_streams_need_no_rows_for_each_component() -> None:
    """Components that stay empty do not keep a stream waiting: they are the point of so many."""
    rng = np.random.RandomState(0)
    X = np.concatenate([rng.normal(size=(3000, 3)), rng.normal(size=(3000, 3)) + 6])
    rng.shuffle(X)
    stream, begun = BayesianGaussianMixture(n_components=20, random_state=0), 0
    for batch in np.array_split(X, 120):
        stream.partial_fit(batch)
        begun = begun or (int(stream.n_samples_seen_) if hasattr(stream, "weights_") else 0)
    assert begun <= 1000 and stream.n_samples_seen_ == 6000
    assert (stream.weights_ > 0.01).sum() <= 4
    assert stream.score(X) > BayesianGaussianMixture(n_components=20, random_state=0).fit(X).score(X) - 0.05


@pytest.mark.parametrize("weight_prior", WEIGHT_PRIORS)
@pytest.mark.parametrize("structure", TYPES)
def test_draws_from_the_posterior_have_its_moments(structure: str, weight_prior: str) -> None:
    """Means of many draws are the expectations that the attributes are."""
    X = rows(2)
    fitted = BayesianGaussianMixture(
        n_components=3,
        covariance_type=structure,
        weight_concentration_prior_type=weight_prior,
        random_state=0,
    ).fit(X)
    draws = fitted.sample_posterior(40000, random_state=1)
    assert draws.covariances.shape == (40000, *fitted.covariances_.shape)
    np.testing.assert_allclose(draws.weights.sum(axis=1), 1)
    tolerance = (
        0.1 if weight_prior == "dirichlet_process" else 0.01
    )  # weights_ shares out what is beyond the last stick
    np.testing.assert_allclose(draws.weights.mean(axis=0), fitted.weights_, atol=tolerance)
    np.testing.assert_allclose(draws.means.mean(axis=0), fitted.means_, atol=0.02)
    precisions = (
        np.linalg.inv(draws.covariances)
        if draws.covariances.ndim > 2 and structure in ("full", "tied")
        else 1 / draws.covariances
    )
    np.testing.assert_allclose(precisions.mean(axis=0), fitted.precisions_, rtol=0.03, atol=0.01)
    nu = np.broadcast_to(fitted.degrees_of_freedom_, 3) - (1 if structure in ("full", "tied") else 0)
    variances = STRUCTURES[structure].variances(np.asarray(fitted.covariances_), 3, 2)
    width = (
        variances
        / fitted.mean_precision_[:, None]
        * (np.broadcast_to(fitted.degrees_of_freedom_, 3) / (nu - 2))[:, None]
    )
    np.testing.assert_allclose(draws.means.var(axis=0), width, rtol=0.05)


def test_credible_intervals_cover_clear_groups() -> None:
    """Of 200 intervals of 90 % for the mean of one group 180 or so hold the truth; ends of a weight are a Beta's."""
    rng, hits = np.random.RandomState(0), 0
    for _ in range(200):
        fitted = BayesianGaussianMixture().fit(rng.normal(size=(50, 1)))
        low, high = fitted.credible_intervals(0.9, 400).means[:, 0, 0]
        hits += low < 0 < high
    assert 165 <= hits <= 195
    mixture = BayesianGaussianMixture(
        n_components=2, weight_concentration_prior_type="dirichlet_distribution", random_state=0
    ).fit(separate_groups())
    ends = mixture.credible_intervals(0.95, 20000).weights
    a = mixture.weight_concentration_
    np.testing.assert_allclose(ends[:, 0], stats.beta.ppf([0.025, 0.975], a[0], a[1]), rtol=0.02)
    with pytest.raises(ValueError, match="probability is 95"):
        mixture.credible_intervals(95)


# ---- kept, converted, streamed


@pytest.mark.parametrize("weight_prior", WEIGHT_PRIORS)
@pytest.mark.parametrize("structure", TYPES)
def test_files_and_scikit_learn(structure: str, weight_prior: str, tmp_path: Any) -> None:
    """A fit comes back from a file to the last bit, and from scikit-learn's class with equal predictions."""
    X = rows(2)
    fitted = BayesianGaussianMixture(
        n_components=3, covariance_type=structure, weight_concentration_prior_type=weight_prior, random_state=0
    ).fit(X)
    fitted.save(tmp_path / "posterior.npz")
    for back in (fastgmm.load(tmp_path / "posterior.npz"), BayesianGaussianMixture.load(tmp_path / "posterior.npz")):
        assert type(back) is BayesianGaussianMixture
        for name in (*ATTRIBUTES, "elbo_", "n_iter_", "converged_"):
            np.testing.assert_array_equal(getattr(back, name), getattr(fitted, name), err_msg=name)
            assert type(getattr(back, name)) is type(getattr(fitted, name)), name
        np.testing.assert_array_equal(back.predict_proba(X), fitted.predict_proba(X))
    with pytest.raises(fastgmm.ModelFileError, match="BayesianGaussianMixture"):
        fastgmm.GaussianMixture.load(tmp_path / "posterior.npz")
    theirs = fitted.to_sklearn()
    assert type(theirs) is sklearn_mixture.BayesianGaussianMixture
    np.testing.assert_allclose(theirs.score_samples(X), fitted.score_samples(X), rtol=1e-9)
    ours = BayesianGaussianMixture.from_sklearn(theirs)
    np.testing.assert_allclose(ours.score_samples(X), fitted.score_samples(X), rtol=1e-9)
    with pytest.raises(TypeError, match="BayesianGaussianMixture"):
        BayesianGaussianMixture.from_sklearn(sklearn_mixture.GaussianMixture())


@pytest.mark.parametrize("posterior", ["compatible", "exact"])
@pytest.mark.parametrize("structure", TYPES)
def test_statistics_equivalent_to_a_posterior(structure: str, posterior: str) -> None:
    """The M-step of the statistics that stand for a fit is that fit."""
    X = rows(2)
    fitted = BayesianGaussianMixture(
        n_components=3, covariance_type=structure, posterior=posterior, random_state=0, max_iter=5, reg_covar=1e-3
    ).fit(X)
    step = m_step(X, structure, 3, posterior=posterior, reg_covar=1e-3)
    state = fitted._reached(vars(fitted))
    found = step(step.equivalent(state, len(X), np.finfo(float).eps))
    np.testing.assert_allclose(found.means, state.means, rtol=1e-10)
    np.testing.assert_allclose(found.covariances, state.covariances, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(found.weights, state.weights, rtol=1e-10)


@pytest.mark.parametrize("structure", TYPES)
def test_streams(structure: str) -> None:
    """Batches come to what a fit of all rows comes to: the same densities, and as many rows behind the posterior."""
    rng = np.random.RandomState(0)
    X = rng.normal(size=(8000, 2)) + 5 * rng.randint(3, size=(8000, 1))
    params: dict[str, Any] = {"n_components": 3, "covariance_type": structure, "random_state": 0}
    whole = BayesianGaussianMixture(**params).fit(X)
    batches = BayesianGaussianMixture(**params)
    for start in range(0, len(X), 400):
        batches.partial_fit(X[start : start + 400])
    assert batches.score(X) == pytest.approx(whole.score(X), abs=5e-3)
    assert batches.mean_precision_.sum() - 3 == pytest.approx(8000, rel=1e-9)
    assert batches.elbo_ == pytest.approx(whole.elbo_, rel=0.05)
    assert batches.n_samples_seen_ == 8000
    np.testing.assert_array_equal(batches.mean_prior_, BayesianGaussianMixture(**params).fit(X[:400]).mean_prior_)


@pytest.mark.parametrize("structure", TYPES)
def test_steps_by_hand(structure: str) -> None:
    """Statistics of parts, merged and maximized, go the way that one fit goes."""
    X = rows(2)
    params: dict[str, Any] = {"n_components": 3, "covariance_type": structure, "random_state": 0, "tol": 0}
    mixture: Any = BayesianGaussianMixture(max_iter=1, **params).fit(X)
    for _ in range(4):
        parts = [fastgmm.statistics(mixture, part) for part in (X[:40], X[40:])]
        mixture = fastgmm.maximize(mixture, fastgmm.merge(*parts))
    whole = BayesianGaussianMixture(max_iter=5, **params).fit(X)
    assert type(mixture) is BayesianGaussianMixture
    for name in (*ATTRIBUTES, "elbo_"):
        np.testing.assert_allclose(getattr(mixture, name), getattr(whole, name), rtol=1e-9, atol=1e-10, err_msg=name)


# ---- like any other fit


def test_dask_collections() -> None:
    """A fit of chunks on a cluster is that of the rows in memory, to rounding; so are default priors."""
    array = pytest.importorskip("dask.array")
    X = rows(2, 3000)
    params: dict[str, Any] = {"n_components": 3, "random_state": 0, "max_iter": 20}
    params |= {"init_params": np.random.RandomState(0).randint(3, size=3000)}
    memory = BayesianGaussianMixture(**params).fit(X)
    chunks = BayesianGaussianMixture(**params).fit(array.from_array(X, chunks=(700, 2)))
    for name in (*ATTRIBUTES, "elbo_"):
        np.testing.assert_allclose(getattr(chunks, name), getattr(memory, name), rtol=1e-8, atol=1e-9, err_msg=name)


def test_fits_that_are_cut_short() -> None:
    """What has been fitted when a callback or Ctrl-C ends a fit is kept, posterior and all."""

    def stop(iteration: int, lower_bound: float, elapsed: float) -> bool:
        if iteration == 3 and raised:
            raise raised[0]
        return iteration == 3

    X, raised = rows(2), list[type[BaseException]]()
    mixture = BayesianGaussianMixture(n_components=4, random_state=0, tol=0, callback=stop)
    with pytest.warns(fastgmm.ConvergenceWarning):
        mixture.fit(X)
    assert (mixture.n_iter_, mixture.stop_reason_) == (3, "callback")
    expected = BayesianGaussianMixture(n_components=4, random_state=0, tol=0, max_iter=3).fit(X)
    raised.append(KeyboardInterrupt)
    interrupted = BayesianGaussianMixture(n_components=4, random_state=0, tol=0, callback=stop)
    with pytest.raises(KeyboardInterrupt):
        interrupted.fit(X)
    for name in (*ATTRIBUTES, "elbo_"):
        np.testing.assert_array_equal(getattr(mixture, name), getattr(expected, name), err_msg=name)
        np.testing.assert_array_equal(getattr(interrupted, name), getattr(expected, name), err_msg=name)


def test_displays() -> None:
    """Pictures take a posterior like any mixture."""
    pytest.importorskip("matplotlib").use("Agg")
    from fastgmm.plotting import PairsDisplay

    X = rows(2)
    display = PairsDisplay.from_estimator(BayesianGaussianMixture(n_components=3, random_state=0).fit(X), X)
    assert display.axes_.size == 4


@pytest.mark.parametrize("structure", TYPES)
def test_posterior_and_most_probable_parameters_agree_on_many_rows(structure: str) -> None:
    """Expectations under the posterior and its mode, with the same prior, differ like 1 / N."""
    differences = []
    for n_samples in (1000, 16000):
        rng = np.random.RandomState(0)
        X = rng.normal(size=(n_samples, 2)) + 8 * rng.randint(2, size=(n_samples, 1))
        labels = (X[:, 0] > 4).astype(int)
        mean, covariance = X.mean(axis=0), np.cov(X.T)
        prior = fastgmm.Prior(mean_precision=1.0, mean=mean, degrees_of_freedom=4.0, scale=covariance)
        params: dict[str, Any] = {"covariance_type": structure, "init_params": labels, "reg_covar": 0, "tol": 1e-9}
        mode = fastgmm.GaussianMixture(2, prior=prior, max_iter=500, **params).fit(X)
        expected = BayesianGaussianMixture(
            n_components=2,
            posterior="exact",
            mean_precision_prior=1.0,
            mean_prior=mean,
            degrees_of_freedom_prior=4.0,
            covariance_prior=scale(structure, covariance),
            max_iter=500,
            **params,
        ).fit(X)
        differences.append(
            np.abs(mode.means_ - expected.means_).max() + np.abs(mode.weights_ - expected.weights_).max()
        )
    assert differences[1] < differences[0] / 8
