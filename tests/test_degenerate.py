"""Collapsed and empty components are repaired or raise, and the others keep their bits."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference as twin
from problems import PARAMETERS, Array, m_step, quiet_fit, unit_covariances

import fastgmm
from fastgmm import DegenerateComponentWarning, GaussianMixture
from fastgmm.fitting.mstep import RIDGE
from fastgmm.model.factors import IllDefinedCovariance
from fastgmm.model.structures import STRUCTURES
from fastgmm.sources.array import ArraySource


def checked_fit(X: Array, **options: Any) -> tuple[GaussianMixture, list[str]]:
    """A fit and the texts of its warnings; every parameter, bound and score is finite."""
    model = GaussianMixture(**{"random_state": 0, **options})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X)
    assert {warning.category for warning in caught} <= {DegenerateComponentWarning, fastgmm.ConvergenceWarning} or (
        "sklearn" in sys.modules
    )
    for name in PARAMETERS:
        assert np.isfinite(getattr(model, name)).all(), name
    assert np.isfinite(model.lower_bounds_).all()
    assert np.isfinite(model.score_samples(X)).all()
    told = [str(warning.message) for warning in caught if warning.category is DegenerateComponentWarning]
    assert len(told) == bool(model.degenerate_)
    return model, told


def falls(model: GaussianMixture) -> list[int]:
    """Iterations after which the likelihood falls by more than rounding though no component was first repaired then.

    Afterwards a component is held, or under a constraint that EM keeps; so there the likelihood may not fall.
    """
    bounds = np.array(model.lower_bounds_, dtype=np.float64)
    slack = (1e-9 if model.means_.dtype == np.float64 else 1e-5) * (1 + np.abs(bounds[1:]))
    later = [repair for repair in reversed(model.degenerate_) if repair.iteration]
    named = {0, *{repair[1:]: repair.iteration for repair in later}.values()}
    return [i + 1 for i in np.flatnonzero(np.diff(bounds) < -slack) if not {i + 1, i + 2} & named]


# Healthy components -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("structure", twin.STRUCTURES)
def test_repair_leaves_healthy_data_bitwise(structure: str, dtype: str) -> None:
    """On ordinary data the repairing M-step is the plain one, bit for bit, and nothing is said."""
    rng = np.random.default_rng(0)
    source = ArraySource(twin.sample(rng, twin.random_model(rng, structure, 4, 3, offset=30.0), 500, dtype))
    rule = STRUCTURES[structure]
    statistics = source.statistics(rule, rule.unit(source.rows(np.arange(4))))
    maximize = m_step(source, rule, 1e-6, "repair")
    got, expected = maximize(statistics), rule.maximize(statistics, 1e-6)
    for name in ("weights", "means", "covariances", "precisions_cholesky"):
        assert getattr(got, name).tobytes() == getattr(expected, name).tobytes()
    assert maximize.repairs == []


def test_repair_leaves_other_components_bitwise() -> None:
    """Where one component collapses the others are what the plain M-step makes of them."""
    rng = np.random.default_rng(1)
    X = np.concatenate([rng.normal(size=(100, 3)), np.tile([9.0, 9.0, 9.0], (20, 1))])
    source, rule = ArraySource(X), STRUCTURES["full"]
    r = np.zeros((120, 2))
    r[:100, 0] = r[100:, 1] = 1.0
    statistics = source.statistics_given(rule, X[[0, -1]], lambda rows: r[rows])
    maximize = m_step(source, rule, 0.0, "repair")
    got = maximize(statistics)
    weights, means, covariances = rule.estimate(statistics, 0.0)
    assert np.array_equal(got.weights, weights) and np.array_equal(got.means, means)
    assert np.array_equal(got.covariances[0], covariances[0])
    ((iteration, component, problem, remedy),) = maximize.repairs
    assert (iteration, component) == (0, 1) and problem and remedy
    np.testing.assert_allclose(got.covariances[1], RIDGE * np.diag(np.diag(covariances[0])), rtol=1e-9, atol=1e-15)


# What is repaired, and how ----------------------------------------------------------------------------------------


def degenerate_rows(name: str) -> tuple[Array, dict[str, Any]]:
    """Data that make scikit-learn's fit fail or its likelihood unbounded."""
    rng = np.random.default_rng(5)
    X = rng.normal(size=(120, 3)) + 4.0 * rng.integers(0, 2, size=(120, 1))
    match name:
        case "repeated rows":
            return np.repeat(X[:5], 30, axis=0), {"n_components": 4}
        case "one row":
            return np.tile(X[:1], (50, 1)), {"n_components": 3}
        case "two points":
            return np.repeat([[0.0, 0.0], [5.0, 5.0]], 10, axis=0), {"n_components": 2}
        case "constant column":
            return np.column_stack([X, np.full(120, 7.3)]), {"n_components": 3}
        case "constant zero":
            return np.zeros((30, 2)), {"n_components": 2}
        case "collinear":
            return np.column_stack([X, X @ [1.0, -2.0, 0.5]]), {"n_components": 3}
        case "more features than rows":
            return rng.normal(size=(12, 30)), {"n_components": 2}
        case "as many components as rows":
            return X[:20], {"n_components": 20}
        case "outlier":
            return np.concatenate([X, [[1e12, -1e12, 1e12]]]), {"n_components": 3}
        case "duplicated many times":
            return np.concatenate([X, np.tile(X[:1], (100_000, 1))]), {"n_components": 2, "max_iter": 10}
        case "tiny":
            return X * 1e-150, {"n_components": 3}
        case "huge":
            return X * 1e149, {"n_components": 3}
        case "squares are zero":
            return X * 1e-200, {"n_components": 3}
    raise KeyError(name)


DEGENERATE = (
    "repeated rows",
    "one row",
    "two points",
    "constant column",
    "constant zero",
    "collinear",
    "more features than rows",
    "as many components as rows",
    "outlier",
    "duplicated many times",
    "tiny",
    "huge",
    "squares are zero",
)


@pytest.mark.parametrize("acceleration", [None, "squarem"])
@pytest.mark.parametrize("structure", twin.STRUCTURES)
@pytest.mark.parametrize("name", DEGENERATE)
def test_degenerate_data_give_finite_fits(name: str, structure: str, acceleration: str | None) -> None:
    """Every fit ends with finite parameters; the likelihood falls nowhere but at named iterations."""
    X, options = degenerate_rows(name)
    options = {"reg_covar": 0.0, "max_iter": 40, "tol": 1e-6, **options, "covariance_type": structure}
    for init in ("kmeans", "random_from_data"):
        model, _ = checked_fit(X, **options, init_params=init, acceleration=acceleration)
        assert falls(model) == []


@pytest.mark.parametrize("structure", twin.STRUCTURES)
@pytest.mark.parametrize("name", [name for name in DEGENERATE if name not in ("tiny", "huge", "squares are zero")])
def test_degenerate_data_give_finite_fits_float32(name: str, structure: str) -> None:
    """In float32, too, every fit ends with finite parameters."""
    X, options = degenerate_rows(name)
    options = {"reg_covar": 0.0, "max_iter": 20, **options, "covariance_type": structure}
    model, _ = checked_fit(X.astype(np.float32), **options)
    assert falls(model) == []


@pytest.mark.parametrize("structure", twin.STRUCTURES)
def test_two_float32_rows(structure: str) -> None:
    """scikit-learn issue 30382: the variances of [[9999], [0]] in float32 are positive."""
    X = np.array([[9999.0], [0.0]], dtype=np.float32)
    for n_components in (1, 2):
        model, _ = checked_fit(X, n_components=n_components, covariance_type=structure)
        assert np.all(model.covariances_ > 0)


def test_many_components_on_few_rows() -> None:
    """K = 96 on 200 rows of 48 features, as in a sweep over K (infiniflow/ragflow 16632)."""
    X = np.random.default_rng(0).normal(size=(200, 48))
    for reg_covar in (1e-6, "auto", 0.0):
        checked_fit(X, n_components=96, reg_covar=reg_covar, max_iter=5)


def test_constant_column_leaves_other_features() -> None:
    """With a constant column the other features are fitted as without it."""
    rng = np.random.default_rng(3)
    X = rng.normal(size=(300, 2)) + 6.0 * rng.integers(0, 2, size=(300, 1))
    options = {"n_components": 2, "reg_covar": 0.0, "tol": 1e-10, "max_iter": 200}
    alone, told = checked_fit(X, **options)
    assert told == []
    beside, told = checked_fit(np.column_stack([X[:, 0], np.full(300, 3.0), X[:, 1]]), **options)
    assert len(told) == 1 and "component 0" in told[0] and "component 1" in told[0]
    order = np.argsort(alone.weights_), np.argsort(beside.weights_)
    np.testing.assert_allclose(beside.weights_[order[1]], alone.weights_[order[0]], rtol=1e-5)
    kept = np.ix_([0, 1], [0, 2], [0, 2])
    np.testing.assert_allclose(beside.covariances_[order[1]][kept], alone.covariances_[order[0]], rtol=1e-4)


def test_clipped_covariance_maximizes_likelihood() -> None:
    """The clipped covariance is the most likely one above the floor: no random one is more likely."""
    rng = np.random.default_rng(4)
    X = np.column_stack([rng.normal(size=40), np.zeros(40)])
    X[:, 1] = X[:, 0]
    source, rule = ArraySource(X), STRUCTURES["full"]
    statistics = source.statistics_given(rule, np.zeros((1, 2)), lambda rows: np.ones((len(X[rows]), 1)))
    got = m_step(source, rule, 0.0, "repair")(statistics).covariances[0]
    deviations = X.std(axis=0)
    scatter = np.cov(X.T, bias=True) / np.outer(deviations, deviations)

    def objective(covariance: Array) -> float:
        """-2 log-likelihood of a row, but for a constant."""
        return float(np.linalg.slogdet(covariance)[1] + np.trace(np.linalg.solve(covariance, scatter)))

    best = objective(got / np.outer(deviations, deviations))
    for _ in range(200):
        turn = np.linalg.qr(rng.normal(size=(2, 2)))[0]
        other = (turn * np.array([RIDGE, 2.0]) * rng.uniform(1, 3, size=2)) @ turn.T
        assert objective(other) > best - 1e-9


@pytest.mark.parametrize("structure", twin.STRUCTURES)
def test_empty_component_is_held(structure: str) -> None:
    """A component that starts far from all rows stays where it is, is named, and leaves the others alone."""
    X = np.random.default_rng(0).normal(size=(200, 2))
    precisions = unit_covariances(structure, 2, 2)
    start = {"weights_init": [0.5, 0.5], "means_init": [[0.0, 0.0], [500.0, 0.0]], "precisions_init": precisions}
    model, told = checked_fit(X, n_components=2, covariance_type=structure, reg_covar=0.0, **start)
    assert "component 1" in told[0] and "empty: held as it was" in told[0] and "component 0" not in told[0]
    np.testing.assert_array_equal(model.means_[1], [500.0, 0.0])
    np.testing.assert_allclose(model.means_[0], X.mean(axis=0), atol=1e-12)
    if structure != "tied":
        np.testing.assert_allclose(model.covariances_[1], precisions[1])
    assert model.weights_[0] == pytest.approx(1.0) and model.weights_[1] < 1e-10


def test_start_without_density_is_refused() -> None:
    """Rows beyond 1e154 standard deviations have no density at all; the error says so."""
    X = np.random.default_rng(0).normal(size=(20, 2))
    start = {"weights_init": [1.0], "means_init": [[1e200, 0.0]], "precisions_init": np.eye(2)[None]}
    with pytest.raises(ValueError, match="no density at all"):
        GaussianMixture(1, **start).fit(X)


@pytest.mark.parametrize("degenerate", ["raise", "repair"])
@pytest.mark.parametrize("init", ["kmeans", "random", "random_from_data"])
@pytest.mark.parametrize("structure", twin.STRUCTURES)
def test_fill_values_give_finite_fits_or_errors(structure: str, init: str, degenerate: str) -> None:
    """Values that stand for none, such as 1e20 and -9999, in columns of any units: no bound is NaN."""
    rng, told = np.random.default_rng(0), set[str]()
    for fill in (-9999.0, 1e20, 9.969209968386869e36):
        for unit in (1e-20, 1.0, 1e9):
            X = (rng.normal(size=(40, 3)) * [unit, 1.0, 1.0]).astype(np.float32)
            X[rng.random(X.shape) < 0.1] = fill
            options = {"covariance_type": structure, "init_params": init, "degenerate": degenerate, "random_state": 0}
            try:
                model = quiet_fit(X, n_components=3, **options)
            except ValueError as error:
                told.add(str(error).partition(":")[0])
            else:
                assert np.isfinite(model.lower_bounds_).all() and np.isfinite(model.score_samples(X)).all()
    documented = {
        "The rows are too far apart to be fitted",
        "The rows are too large to be fitted",
        "The covariances or precisions of the mixture overflow in float32",
    }
    assert told - documented <= ({"Fitting the mixture failed"} if degenerate == "raise" else set())


@pytest.mark.parametrize("init", ["kmeans", "k-means++", "random", "random_from_data"])
@pytest.mark.parametrize(("dtype", "size"), [("float64", 1e200), ("float64", 1e307), ("float32", 1e25)])
@pytest.mark.parametrize("structure", twin.STRUCTURES)
def test_rows_too_large_are_refused(structure: str, dtype: str, size: float, init: str) -> None:
    """Covariances that overflow are an error with a remedy, not NaN."""
    X = (np.random.default_rng(0).normal(size=(60, 2)) * size).astype(dtype)
    with pytest.raises(ValueError, match="Divide each column"):
        GaussianMixture(2, covariance_type=structure, init_params=init, random_state=0, max_iter=5).fit(X)


# Raise, auto, and what is told ------------------------------------------------------------------------------------


@pytest.mark.parametrize("structure", twin.STRUCTURES)
def test_degenerate_raise(structure: str) -> None:
    """degenerate="raise" is scikit-learn's ValueError, at the start and later, and adopts nothing."""
    X, _ = degenerate_rows("two points")
    model = GaussianMixture(2, covariance_type=structure, reg_covar=0.0, degenerate="raise", random_state=0)
    with pytest.raises(ValueError, match="ill-defined empirical covariance") as caught:
        model.fit(X)
    assert isinstance(caught.value, IllDefinedCovariance)
    assert not hasattr(model, "means_")


@pytest.mark.parametrize("structure", twin.STRUCTURES)
def test_reg_covar_auto_scale_equivariance(structure: str) -> None:
    """reg_covar="auto" scales with the data: the fit in other units is the same fit."""
    rng = np.random.default_rng(8)
    X = rng.normal(size=(200, 3)) + 3.0 * rng.integers(0, 3, size=(200, 1))
    X[:, 2] = X[:, 1]  # so that the ridge decides
    units = np.array([1.0, 1e-5, 1e6]) if structure != "spherical" else np.full(3, 1e-8)
    options = {"n_components": 3, "covariance_type": structure, "reg_covar": "auto", "max_iter": 30, "tol": 0.0}
    r = np.eye(3)[rng.integers(0, 3, size=200)]
    start = (r.T @ X) / r.sum(axis=0)[:, None]
    rule = STRUCTURES[structure]
    shape = rule.covariance_shape(3, 3)
    unit = {"full": np.diag(units**-2.0), "tied": np.diag(units**-2.0), "diag": units**-2.0, "spherical": 1e16}
    one, _ = checked_fit(
        X,
        **options,
        weights_init=np.full(3, 1 / 3),
        means_init=start,
        precisions_init=unit_covariances(structure, 3, 3),
    )
    two, _ = checked_fit(
        X * units,
        **options,
        weights_init=np.full(3, 1 / 3),
        means_init=start * units,
        precisions_init=np.broadcast_to(unit[structure], shape),
    )
    np.testing.assert_allclose(two.weights_, one.weights_, rtol=1e-6)
    np.testing.assert_allclose(two.means_ / units, one.means_, rtol=1e-6)
    np.testing.assert_allclose(np.array(two.lower_bounds_) + np.log(units).sum(), one.lower_bounds_, rtol=1e-6)


@pytest.mark.parametrize("bad", [-1.0, "Auto", None, np.inf, [1e-6]])
def test_reg_covar_is_checked(bad: Any) -> None:
    """reg_covar is a number from 0 on or 'auto'."""
    with pytest.raises(ValueError, match=r"'reg_covar' .* a float in the range \[0.0, inf\) or a str among {'auto'}"):
        GaussianMixture(reg_covar=bad).fit(np.eye(3))


@pytest.mark.parametrize("bad", ["ignore", None, True])
def test_degenerate_is_checked(bad: Any) -> None:
    """degenerate is 'repair' or 'raise'."""
    with pytest.raises(ValueError, match=r"'degenerate' .* a str among {'repair', 'raise'}"):
        GaussianMixture(degenerate=bad).fit(np.eye(3))


def test_repair_warning_and_degenerate_attribute() -> None:
    """One warning for the whole fit, at the caller's line; the record names iteration, component and remedy."""
    X, options = degenerate_rows("repeated rows")
    model = GaussianMixture(**options, reg_covar=0.0, random_state=0, tol=1e3)
    with pytest.warns(DegenerateComponentWarning, match=r"(?s)component 0 .*raised.*degenerate_ lists") as caught:
        model.fit(X)
    assert [Path(warning.filename) for warning in caught] == [Path(__file__)]
    first = model.degenerate_[0]
    assert first._fields == ("iteration", "component", "problem", "remedy")
    assert first.iteration == 0 and {repair.component for repair in model.degenerate_} == {0, 1, 2, 3}
    healthy = GaussianMixture(2, random_state=0).fit(np.random.default_rng(0).normal(size=(50, 2)))
    assert healthy.degenerate_ == []


# Many small problems ----------------------------------------------------------------------------------------------


def test_stress(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some hundred of bench/stress.py's problems; a whole run has ten thousand."""
    bench = Path(__file__).resolve().parents[1] / "bench"
    if not bench.is_dir():
        pytest.skip("bench/ is not here")
    monkeypatch.syspath_prepend(str(bench))
    import stress

    wrong = {seed: found for seed in range(300) if (found := stress.check(seed)[0])}
    assert wrong == {}
