"""An objective other than maximum likelihood: fits, streams and restarts ask an M-step that this file alone knows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from problems import Array, em

import fastgmm
from fastgmm import GaussianMixture
from fastgmm.fitting.em import expectation_maximization
from fastgmm.fitting.mstep import MaximumLikelihood, MSteps
from fastgmm.fitting.settings import Settings
from fastgmm.model.parameters import Parameters
from fastgmm.model.statistics import Statistics
from fastgmm.model.structures import FULL, LAYOUTS, STRUCTURES
from fastgmm.sources.array import ArraySource
from fastgmm.sources.incomplete.source import IncompleteSource

PSEUDO_COUNT = 40.0  # rows that each component has seen before


class DirichletWeights(MaximumLikelihood):
    """Maximum a posteriori under a symmetric Dirichlet prior of the weights."""

    def __call__(self, statistics: Statistics, previous: Parameters | None = None, iteration: int = 0) -> Parameters:
        counts = statistics.counts + PSEUDO_COUNT
        return replace(super().__call__(statistics, previous, iteration), weights=counts / counts.sum())

    def value(self, statistics: Statistics, parameters: Parameters) -> float:
        penalty = PSEUDO_COUNT * np.log(parameters.weights).sum()
        return statistics.mean_log_likelihood + float(penalty) / statistics.n_samples

    def reported(self, statistics: Statistics, before: Parameters, after: Parameters) -> float:
        return self.value(statistics, before)


class PenalizedMixture(GaussianMixture):
    """A mixture fitted by that M-step."""

    def _m_step(self, state: Any = None) -> MSteps:
        return DirichletWeights


class Halved(MaximumLikelihood):
    """An E-step that reads other logarithms of weights than those that are reported."""

    def evaluated(self, parameters: Parameters) -> Parameters:
        return replace(parameters, expected_log_weights=0.5 * parameters.log_weights)


@pytest.fixture(scope="module")
def X() -> Array:
    """A large and a small group of rows, which overlap."""
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(size=(900, 2)), rng.normal(size=(100, 2)) + 2.5])


def fitted(X: Array, **params: Any) -> PenalizedMixture:
    """A fit to convergence."""
    return PenalizedMixture(2, **{"random_state": 0, "tol": 1e-10, "max_iter": 2000, **params}).fit(X)


def objective(mixture: GaussianMixture, X: Array) -> float:
    """The penalized log-likelihood per row, from public attributes."""
    return mixture.score(X) + PSEUDO_COUNT * float(np.log(mixture.weights_).sum()) / len(X)


@pytest.mark.parametrize("structure", LAYOUTS)
@pytest.mark.parametrize("acceleration", [None, "squarem"])
def test_reported_bound_is_the_objective_and_never_falls(X: Array, structure: str, acceleration: str | None) -> None:
    """lower_bounds_ are the objective, plain or accelerated, and the optimum pulls the weights together."""
    mixture = fitted(X, covariance_type=structure, acceleration=acceleration)
    assert (np.diff(mixture.lower_bounds_) >= -1e-12).all()
    assert mixture.lower_bound_ == pytest.approx(objective(mixture, X), abs=1e-8)
    plain = GaussianMixture(2, covariance_type=structure, random_state=0, tol=1e-10, max_iter=2000).fit(X)
    assert objective(mixture, X) > objective(plain, X)
    assert plain.score(X) > mixture.score(X)


def test_restarts_compare_the_objective(X: Array) -> None:
    """Of several starts the one with the largest objective is kept."""
    mixture = fitted(X, n_init=5, init_params="random", drop_restarts=False)
    assert mixture.lower_bound_ == max(record.lower_bound for record in mixture.fits_)


def test_race_compares_the_objective(X: Array) -> None:
    """The start "best" runs the M-step of the fit."""
    mixture = fitted(X, init_params="best")
    assert mixture.lower_bound_ == pytest.approx(fitted(X).lower_bound_, abs=1e-6)


def test_stream_and_steps_by_hand(X: Array) -> None:
    """partial_fit and maximize use it as well: the weights are pulled together."""
    batches = PenalizedMixture(2, random_state=0, learning_decay=1.0)
    for start in range(0, len(X), 250):
        batches.partial_fit(X[np.random.default_rng(1).permutation(len(X))[start : start + 250]])
    assert batches.weights_.min() > 0.12
    mixture = fitted(X)
    after = fastgmm.maximize(mixture, fastgmm.statistics(mixture, X))
    assert type(after) is PenalizedMixture
    np.testing.assert_allclose(after.weights_, mixture.weights_, atol=1e-4)
    assert after.lower_bound_ == pytest.approx(objective(mixture, X), abs=1e-12)


def test_loop_evaluates_the_point_of_the_m_step(X: Array) -> None:
    """The E-step reads what the M-step makes of the parameters, and the weights reported are the parameters' own."""
    rows = ArraySource(X, 1)
    start = FULL.from_covariances(np.array([0.9, 0.1]), np.array([[0.0, 0.0], [2.5, 2.5]]), np.stack([np.eye(2)] * 2))
    expected = FULL.maximize(rows.statistics(FULL, replace(start, weights=np.sqrt(start.weights))), 0.0)
    settings = Settings(tol=0.0, max_iter=1)
    found = expectation_maximization(rows, Halved(rows, FULL), start, settings).parameters
    np.testing.assert_allclose(found.weights, expected.weights, rtol=1e-12)
    assert found.expected_log_weights is None
    gaps = IncompleteSource(ArraySource(np.concatenate([X, np.full((1, 2), np.nan)]), 1))  # a row that says nothing
    with_gaps = expectation_maximization(gaps, Halved(gaps, FULL), start, settings).parameters
    np.testing.assert_allclose(with_gaps.weights, found.weights, rtol=1e-9)
    ordinary = em(rows, FULL, start, tol=0.0, max_iter=1).parameters
    assert np.abs(found.weights - ordinary.weights).max() > 1e-3


@pytest.mark.parametrize("structure", ["diag", "spherical"])
def test_directions_without_matrices_are_features(structure: str) -> None:
    """A variance that is all `reg_covar` is unsound on collinear rows too, but not along a feature that is constant."""
    x = np.random.default_rng(0).normal(size=100)
    rule, means = STRUCTURES[structure], np.zeros((2, 2))

    def sound(X: Array, variances: Array) -> bool:
        covariances = variances if structure == "diag" else variances.mean(axis=1)
        return MaximumLikelihood(ArraySource(X), rule, 1e-3).sound(
            rule.from_covariances(np.full(2, 0.5), means, covariances)
        )

    collinear = np.column_stack([x, 2 * x])
    assert sound(collinear, np.array([[1.0, 4.0], [1.0, 4.0]]))
    assert not sound(collinear, np.array([[1.0, 4.0], [1e-3, 1e-3]]))
    assert sound(np.column_stack([x, np.full(100, 7.0)]), np.array([[1.0, 1e-3], [1.0, 1e-3]]))
    assert (
        not sound(np.column_stack([x, np.full(100, 7.0)]), np.array([[1.0, 1.0], [1e-3, 1e-3]])) or structure == "diag"
    )
