"""SQUAREM acceleration reaches EM's optimum in fewer passes, counts every pass and never lowers the likelihood."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import reference as twin
from problems import Array, em, overlapping_problem, parameters_of

from fastgmm import GaussianMixture
from fastgmm.datasets import load_faithful, load_iris
from fastgmm.fitting.acceleration import Chart, Squarem
from fastgmm.fitting.convergence import LikelihoodRule
from fastgmm.fitting.em import Fit
from fastgmm.model.parameters import Parameters
from fastgmm.model.statistics import Statistics
from fastgmm.model.structure import Structure
from fastgmm.model.structures import STRUCTURES
from fastgmm.sources.array import ArraySource


def slow_problem(
    structure: str, seed: int, dtype: str = "float64", separation: float = 0.9
) -> tuple[Array, Parameters]:
    """Three overlapping components, and a start from which EM is slow."""
    X, start = overlapping_problem(structure, seed=seed, dtype=dtype, n_components=3, separation=separation, offset=0.0)
    return X, parameters_of(start)


def fit(
    source: Any, structure: str, start: Parameters, acceleration: str | None, tol: float = 0.0, max_iter: int = 150
) -> Fit:
    """EM, accelerated or not, without a ridge."""
    return em(source, STRUCTURES[structure], start, tol=tol, max_iter=max_iter, acceleration=acceleration)


class Counting:
    """A source that is nothing but `statistics`, of two halves of the rows, and counts its passes."""

    def __init__(self, X: Array) -> None:
        self.halves = ArraySource(X[: len(X) // 2]), ArraySource(X[len(X) // 2 :])
        self.passes = 0

    def remembering(self, *_: object) -> Counting:
        """The same for each pass."""
        return self

    def statistics(self, structure: Structure, parameters: Parameters) -> Statistics:
        """Both halves, merged."""
        self.passes += 1
        one, two = (half.statistics(structure, parameters) for half in self.halves)
        return one.merge(two)


@pytest.mark.parametrize(("dtype", "slack"), [("float64", 16 * 2.0**-53), ("float32", 4 * 2.0**-24)])
@pytest.mark.parametrize("structure", twin.STRUCTURES)
def test_likelihood_never_falls(structure: str, dtype: str, slack: float) -> None:
    """The mean log-likelihood never falls, neither in an EM step nor by an extrapolation."""
    for seed in range(4):
        X, start = slow_problem(structure, seed, dtype)
        bounds = np.array(fit(ArraySource(X), structure, start, "squarem").lower_bounds)
        assert np.all(np.diff(bounds) >= -slack * np.abs(bounds[1:]))


@pytest.mark.parametrize("structure", twin.STRUCTURES)
def test_same_optimum_in_half_the_passes(structure: str) -> None:
    """From the same starts: EM's limit, to within 1e-5 per row, in at most half the passes (median)."""
    ratios = []
    for seed in range(10):
        X, start = slow_problem(structure, seed, separation=0.7)
        source = ArraySource(X)
        plain, fast = (
            np.array(fit(source, structure, start, name, 1e-9, 10_000).lower_bounds) for name in (None, "squarem")
        )
        assert fast[-1] > plain[-1] - 1e-6
        target = plain[-1] - 1e-5
        ratios.append(float(np.argmax(fast >= target) + 1) / float(np.argmax(plain >= target) + 1))
    assert np.median(ratios) < 0.5


@pytest.mark.parametrize("structure", twin.STRUCTURES)
@pytest.mark.parametrize("tol", [1e-3, 1e-6])
def test_never_below_plain_em(structure: str, tol: float) -> None:
    """Both stopped by the same tol, the accelerated fit is not lower by more than tol."""
    for data in (load_iris().data, load_faithful().data):
        for seed in range(3):
            options = {"covariance_type": structure, "tol": tol, "max_iter": 10_000, "random_state": seed}
            plain, fast = (GaussianMixture(3, **options, acceleration=name).fit(data) for name in (None, "squarem"))
            assert fast.converged_
            assert fast.lower_bound_ >= plain.lower_bound_ - tol


@pytest.mark.parametrize("structure", twin.STRUCTURES)
def test_few_more_passes_on_separated_data(structure: str) -> None:
    """Where EM needs a handful of passes SQUAREM needs at most a fifth more."""
    X, start = slow_problem(structure, 3, separation=12.0)
    start = Parameters(start.weights, X[[0, 1, 2]], start.covariances, start.precisions_cholesky)
    plain, fast = (
        np.array(fit(ArraySource(X), structure, start, name, 1e-9).lower_bounds) for name in (None, "squarem")
    )
    target = plain[-1] - 1e-5
    assert np.argmax(fast >= target) + 1 <= 1.2 * (np.argmax(plain >= target) + 1)


@pytest.mark.parametrize("structure", twin.STRUCTURES)
def test_n_iter_counts_passes(structure: str) -> None:
    """n_iter is the number of passes, on a source that offers no more than `statistics`."""
    X, start = slow_problem(structure, 0)
    source = Counting(X)
    accelerated = fit(source, structure, start, "squarem", 1e-7, 3000)
    assert accelerated.converged
    assert len(accelerated.lower_bounds) == source.passes
    whole = fit(ArraySource(X), structure, start, "squarem", 1e-7, 3000)
    assert accelerated.lower_bounds[-1] == pytest.approx(whole.lower_bounds[-1], abs=1e-7)


@pytest.mark.parametrize("structure", twin.STRUCTURES)
def test_refused_extrapolations(structure: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused extrapolation costs a pass, which repeats the last bound; the rest is plain EM, bit for bit."""
    X, start = slow_problem(structure, 1)

    def astray(self: Squarem, start: Parameters, first: Parameters, second: Parameters) -> Parameters:
        """A point that no row is near."""
        return Parameters(second.weights, second.means + 100.0, second.covariances, second.precisions_cholesky)

    monkeypatch.setattr(Squarem, "_extrapolate", astray)
    fast = fit(ArraySource(X), structure, start, "squarem", max_iter=61)
    kept = [bound for i, bound in enumerate(fast.lower_bounds) if i % 3 != 2]
    refused = fast.lower_bounds[2::3]
    assert refused == fast.lower_bounds[1::3][: len(refused)]
    plain = fit(ArraySource(X), structure, start, None, max_iter=len(kept))
    assert kept == plain.lower_bounds
    np.testing.assert_array_equal(fast.parameters.means, plain.parameters.means)


def test_extrapolation_without_density_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """An extrapolated point whose likelihood is -inf or NaN is refused, and the fit goes on."""
    X, start = slow_problem("full", 1)

    def nowhere(self: Squarem, start: Parameters, first: Parameters, second: Parameters) -> Parameters:
        """A point that gives no row any density."""
        return Parameters(second.weights, second.means + 1e200, second.covariances, second.precisions_cholesky)

    monkeypatch.setattr(Squarem, "_extrapolate", nowhere)
    accelerated = fit(ArraySource(X), "full", start, "squarem", max_iter=30)
    assert np.isfinite(accelerated.lower_bounds).all() and np.isfinite(accelerated.parameters.means).all()


def test_convergence_judged_at_em_steps_only() -> None:
    """Convergence is never declared at an extrapolated point or right after a large extrapolation."""
    unit = STRUCTURES["full"].unit(np.zeros((1, 1)))
    rule = LikelihoodRule(STRUCTURES["full"], 1e-3)
    told = [(-3.0, False), (-2.5, False), (-2.4999, True), (-2.4998, False), (-2.0, True), (-1.9999, False)]
    met = [rule.met(bound, unit, unit, jumped) for bound, jumped in told]
    assert met == [False, False, False, True, False, False]


# Coordinates ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("structure", twin.STRUCTURES)
def test_chart_coordinates_round_trip(structure: str) -> None:
    """Coordinates lead back to the parameters, those of the origin are zero, and any are valid parameters."""
    X, start = slow_problem(structure, 5)
    first, second = (fit(ArraySource(X), structure, start, None, max_iter=n).parameters for n in (3, 9))
    chart = Chart(STRUCTURES[structure], first)
    assert max(np.abs(part).max() for part in chart.coordinates(first)) < 1e-12
    there = chart.coordinates(second)
    back = chart.parameters(there)
    for name in ("weights", "means", "precisions_cholesky"):
        np.testing.assert_allclose(getattr(back, name), getattr(second, name), rtol=1e-9, atol=1e-11)
    rng = np.random.default_rng(0)
    wild = chart.parameters(type(there)(*(3 * rng.normal(size=part.shape) for part in there)))
    assert wild.weights.min() > 0 and wild.weights.sum() == pytest.approx(1)
    assert STRUCTURES[structure].diagonals(wild.precisions_cholesky).min() > 0


@pytest.mark.parametrize("structure", twin.STRUCTURES)
def test_scale_equivariance(structure: str) -> None:
    """In other units (powers of two, spherical: one for all) the same passes lead to the same bounds."""
    X, start = slow_problem(structure, 6)
    units = np.full(3, 2.0**40) if structure == "spherical" else np.array([2.0**-30, 1.0, 2.0**20])
    scaled = {
        "full": lambda: start.covariances * np.outer(units, units),
        "tied": lambda: start.covariances * np.outer(units, units),
        "diag": lambda: start.covariances * units**2,
        "spherical": lambda: start.covariances * units[0] ** 2,
    }[structure]()
    moved = STRUCTURES[structure].from_covariances(start.weights, start.means * units, scaled)
    one = fit(ArraySource(X), structure, start, "squarem").lower_bounds
    two = fit(ArraySource(X * units), structure, moved, "squarem").lower_bounds
    np.testing.assert_allclose(np.array(two) + np.log(units).sum(), one, rtol=1e-6)


def test_same_bits_for_any_number_of_threads() -> None:
    """The bits of an accelerated fit are the same for any number of threads."""
    rng = np.random.default_rng(0)
    X = twin.sample(rng, twin.random_model(rng, "full", 4, 5, separation=0.8), 30_011)
    fits = [GaussianMixture(4, acceleration="squarem", tol=1e-4, random_state=0, n_threads=n).fit(X) for n in (1, 2, 3)]
    assert len({(model.means_.tobytes(), tuple(model.lower_bounds_)) for model in fits}) == 1
