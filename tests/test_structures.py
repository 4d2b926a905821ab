"""Structures answer for themselves: one that exists in this file alone does whatever the four of scikit-learn do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastgmm
from fastgmm import GaussianMixture
from fastgmm.exceptions import DegenerateComponentWarning
from fastgmm.kernels import TRIANGULAR
from fastgmm.model.conditioning import conditional, marginal
from fastgmm.model.kernel_model import KernelModel
from fastgmm.model.parameters import Parameters
from fastgmm.model.statistics import Statistics
from fastgmm.model.steps import Totals
from fastgmm.model.structure import Structure
from fastgmm.model.structures import DIAG, FULL, LAYOUTS, STRUCTURES, Diagonal, Tied

Array = np.ndarray[Any, Any]
NAME = "one diagonal covariance for all"  # longer than any name of scikit-learn's, with spaces


class SharedDiagonal(Diagonal):
    """All components share one diagonal covariance, an array (D,): EEI in the words of mclust."""

    name = NAME
    in_sklearn = "diag"
    shared = True

    def covariance_shape(self, n_components: int, n_features: int) -> tuple[int, ...]:
        return (n_features,)

    def n_covariance_parameters(self, n_components: int, n_features: int) -> int:
        return n_features

    def outer(self, u: Array) -> Array:
        return (u**2).sum(axis=0)

    def outer_sym(self, u: Array, v: Array) -> Array:
        return 2 * (u * v).sum(axis=0)

    def diagonals(self, values: Array) -> Array:
        return values[None]

    def divide(self, scatters: Array, counts: Array, n_features: int) -> Array:
        return scatters / counts.sum()

    @property
    def expanded(self) -> Structure:
        return DIAG

    def expand(self, parameters: Parameters) -> Parameters:
        shape = parameters.means.shape
        covariances, factors = (
            np.broadcast_to(values, shape) for values in (parameters.covariances, parameters.precisions_cholesky)
        )
        return replace(parameters, covariances=covariances, precisions_cholesky=factors)

    def pool(self, statistics: Statistics) -> Statistics:
        return replace(statistics, scatters=statistics.scatters.sum(axis=0), covariance_type=self.name)

    def kernel_model(
        self, parameters: Parameters, dtype: np.dtype, origin: Array | None = None, units: Array | None = None
    ) -> KernelModel:
        return DIAG.kernel_model(self.expand(parameters), dtype, units=units)

    def moments(
        self, parameters: Parameters, model: KernelModel, sums: Array, totals: Totals
    ) -> tuple[Array, Array, Array]:
        means, first, second = DIAG.moments(self.expand(parameters), model, sums, totals)
        return means, first, second.sum(axis=0)


class SharedMatrix(Tied):
    """'tied' accumulated component by component: a matrix that is shared, in no common frame."""

    name = "shared matrix"
    in_sklearn = "full"
    kind = TRIANGULAR
    common_frame = False

    def kernel_model(
        self, parameters: Parameters, dtype: np.dtype, origin: Array | None = None, units: Array | None = None
    ) -> KernelModel:
        return FULL.kernel_model(self.expand(parameters), dtype, units=units)

    def moments(
        self, parameters: Parameters, model: KernelModel, sums: Array, totals: Totals
    ) -> tuple[Array, Array, Array]:
        means, first, second = FULL.moments(self.expand(parameters), model, sums, totals)
        return means, first, second.sum(axis=0)


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The structure, registered as a plug-in would do it."""
    monkeypatch.setitem(STRUCTURES, NAME, SharedDiagonal())
    monkeypatch.setitem(STRUCTURES, "shared matrix", SharedMatrix())
    return


def clusters(n_samples: int = 1200, seed: int = 0) -> Array:
    """Three groups with the same standard deviations 1, 0.5 and 2."""
    rng = np.random.default_rng(seed)
    centers = np.array([[0.0, 0.0, 0.0], [6.0, 3.0, 0.0], [0.0, 5.0, 9.0]])
    return centers[rng.integers(3, size=n_samples)] + rng.normal(size=(n_samples, 3)) * [1.0, 0.5, 2.0]


def fitted(X: Array | None = None, **params: Any) -> GaussianMixture:
    """A fit with the structure of this file."""
    params = {"reg_covar": 0.0, "tol": 1e-8, "max_iter": 200, "random_state": 0, **params}
    return GaussianMixture(3, covariance_type=NAME, **params).fit(clusters() if X is None else X)


def as_tied(mixture: GaussianMixture) -> GaussianMixture:
    """The same distribution with the matrix that all components share written out."""
    parts = mixture.weights_, mixture.means_, np.diag(mixture.covariances_)
    return GaussianMixture.from_parameters(*parts, "tied", random_state=0)


def em_step(X: Array, mixture: Any, weights: Array | None = None) -> tuple[Array, Array, Array]:
    """One EM step written out: weights, means, shared variances."""
    weights = np.ones(len(X)) if weights is None else weights
    away = X[:, None] - mixture.means_
    logs = np.log(mixture.weights_) - 0.5 * (away**2 / mixture.covariances_).sum(axis=2)
    r = np.exp(logs - logs.max(axis=1, keepdims=True))
    r = r / r.sum(axis=1, keepdims=True) * weights[:, None]
    means = (r.T @ X) / r.sum(axis=0)[:, None]
    variances = (r[:, :, None] * (X[:, None] - means) ** 2).sum(axis=(0, 1)) / weights.sum()
    return r.sum(axis=0) / weights.sum(), means, variances


def test_fit_is_em() -> None:
    """A fit finds the groups, and its optimum is a fixed point of EM written out."""
    mixture = fitted(tol=1e-12, max_iter=1000)
    assert mixture.converged_ and mixture.covariances_.shape == (3,)
    np.testing.assert_allclose(np.sqrt(mixture.covariances_), [1.0, 0.5, 2.0], rtol=0.1)
    weights, means, variances = em_step(clusters(), mixture)
    np.testing.assert_allclose(weights, mixture.weights_, rtol=1e-5)
    np.testing.assert_allclose(means, mixture.means_, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(variances, mixture.covariances_, rtol=1e-5)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("weighted", [False, True])
def test_em_step(dtype: Any, weighted: bool) -> None:
    """One step of the kernels is one step written out, weighted or not."""
    X = clusters()
    counts = np.arange(len(X)) % 3 + 1.0 if weighted else None
    start = fitted(max_iter=0)
    precisions = 1 / start.covariances_
    starting = {"weights_init": start.weights_, "means_init": start.means_, "precisions_init": precisions}
    mixture = GaussianMixture(3, covariance_type=NAME, max_iter=1, tol=0, reg_covar=0.0, **starting)
    with pytest.warns(fastgmm.ConvergenceWarning):
        mixture.fit(X.astype(dtype), sample_weight=counts)
    for found, expected in zip(
        (mixture.weights_, mixture.means_, mixture.covariances_), em_step(X, start, counts), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-9 if dtype == np.float64 else 2e-4, atol=1e-5)


@pytest.mark.parametrize("params", [{"acceleration": "squarem"}, {"convergence": "parameters"}, {"n_init": 3}], ids=str)
def test_options(params: dict[str, Any]) -> None:
    """Acceleration, rules of convergence and restarts end at the same optimum."""
    assert abs(fitted(tol=1e-10, **params).lower_bound_ - fitted(tol=1e-10).lower_bound_) < 1e-6


@pytest.mark.parametrize("method", ["k-means++", "random", "random_from_data", "hierarchical", "best"])
def test_starts(method: str) -> None:
    """Every start leads to a fit; that of single rows, with no spread to begin with, to a poorer one."""
    worst = -7.5 if method == "random_from_data" else -6
    assert fitted(init_params=method, reg_covar=1e-6).lower_bound_ > worst


def test_applied() -> None:
    """Labels, responsibilities, densities and criteria are those of the same mixture as 'tied'."""
    mixture, X = fitted(), clusters(seed=1)
    tied = as_tied(mixture)
    np.testing.assert_array_equal(mixture.predict(X), tied.predict(X))
    np.testing.assert_allclose(mixture.predict_proba(X), tied.predict_proba(X), atol=1e-12)
    np.testing.assert_allclose(mixture.score_samples(X), tied.score_samples(X), rtol=1e-12)
    assert mixture.aic(X) == pytest.approx(-2 * len(X) * tied.score(X) + 2 * (2 + 9 + 3), rel=1e-12)
    np.testing.assert_allclose(mixture.uncertainty(X), tied.uncertainty(X), atol=1e-12)


def test_sample() -> None:
    """Samples have the means and the shared variances of the mixture."""
    mixture = fitted()
    X, labels = mixture.sample(100_000, random_state=0)
    for k in range(3):
        np.testing.assert_allclose(X[labels == k].mean(axis=0), mixture.means_[k], atol=0.05)
        np.testing.assert_allclose(X[labels == k].var(axis=0), mixture.covariances_, rtol=0.05)


def test_file(tmp_path: Path) -> None:
    """A saved mixture, and saved statistics, come back with the same bits."""
    mixture, X = fitted(), clusters(seed=1)
    mixture.save(tmp_path / "mixture.npz")
    loaded = fastgmm.load(tmp_path / "mixture.npz")
    assert loaded.covariance_type == NAME
    np.testing.assert_array_equal(loaded.predict_proba(X), mixture.predict_proba(X))
    statistics = fastgmm.statistics(mixture, X)
    statistics.save(tmp_path / "statistics.npz")
    np.testing.assert_array_equal(
        fastgmm.Statistics.load(tmp_path / "statistics.npz").scatters, statistics.scatters, strict=True
    )


def test_file_with_other_variances_is_refused(tmp_path: Path) -> None:
    """Covariances that do not belong to their factors are refused, as of any structure."""
    mixture = fitted()
    mixture.covariances_ = 2 * mixture.covariances_
    with pytest.raises(ValueError, match="covariances_ are not those that belong"):
        mixture.save(tmp_path / "mixture.npz")


def test_scikit_learn() -> None:
    """scikit-learn, which has no such structure, gets a diagonal covariance for each component."""
    mixture, X = fitted(), clusters(seed=1)
    theirs = mixture.to_sklearn()
    assert theirs.covariance_type == "diag" and theirs.covariances_.shape == (3, 3)
    np.testing.assert_allclose(theirs.predict_proba(X), mixture.predict_proba(X), atol=1e-12)


def test_pictures() -> None:
    """Pictures show the shared variances."""
    from fastgmm.plotting import ComponentsDisplay, PairsDisplay, marginal_covariances

    mixture, X = fitted(), clusters()
    found = marginal_covariances(mixture, [2, 0])
    np.testing.assert_array_equal(found, [np.diag(mixture.covariances_[[2, 0]])] * 3)
    ComponentsDisplay.from_estimator(mixture, X)
    PairsDisplay.from_estimator(mixture, X)


def test_condition_and_regress() -> None:
    """Marginals, conditionals and regression are those of the same mixture as 'tied'."""
    mixture, X = fitted(), clusters(seed=1)
    tied = as_tied(mixture)
    part, whole = mixture.marginal([2, 0]), tied.marginal([2, 0])
    np.testing.assert_allclose(part.covariances_, mixture.covariances_[[2, 0]], rtol=1e-14)
    np.testing.assert_allclose(part.score_samples(X[:, [2, 0]]), whole.score_samples(X[:, [2, 0]]), rtol=1e-10)
    given, expected = mixture.condition([1], [4.0]), tied.condition([1], [4.0])
    np.testing.assert_allclose(given.weights_, expected.weights_, atol=1e-12)
    np.testing.assert_allclose(given.means_, expected.means_, atol=1e-10)
    for return_what in ({"return_std": True}, {"return_cov": True}):
        for ours, theirs in zip(
            mixture.regress(X[:, [0, 2]], [1], **return_what),
            tied.regress(X[:, [0, 2]], [1], **return_what),
            strict=True,
        ):
            np.testing.assert_allclose(ours, theirs, atol=1e-9)


def test_gaps() -> None:
    """Rows with gaps are fitted and filled as by the same mixture as 'tied'."""
    X = clusters()
    X[np.random.default_rng(2).uniform(size=X.shape) < 0.2] = np.nan
    mixture = fitted(X, missing="em")
    np.testing.assert_allclose(np.sqrt(mixture.covariances_), [1.0, 0.5, 2.0], rtol=0.1)
    tied = as_tied(mixture).set_params(missing="em")
    np.testing.assert_allclose(mixture.score_samples(X), tied.score_samples(X), rtol=1e-10)
    np.testing.assert_allclose(mixture.impute(X), tied.impute(X), atol=1e-8)


@pytest.mark.parametrize("gaps", [False, True])
def test_shared_matrix_is_tied(gaps: bool) -> None:
    """A shared matrix without a common frame gives the fit, the pictures and the files of 'tied'."""
    X = clusters() @ (np.eye(3) + 0.3)
    if gaps:
        X[np.random.default_rng(2).uniform(size=X.shape) < 0.2] = np.nan
    params = {"random_state": 0, "missing": "em", "max_iter": 30, "tol": 0.0}
    with pytest.warns(fastgmm.ConvergenceWarning):
        found, expected = (
            GaussianMixture(3, covariance_type=kind, **params).fit(X) for kind in ("shared matrix", "tied")
        )
    for name in ("weights_", "means_", "covariances_", "precisions_cholesky_"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(found.predict_proba(X), expected.predict_proba(X), atol=1e-8)
    np.testing.assert_allclose(found.impute(X), expected.impute(X), atol=1e-7)


def test_covariance_type_is_inferred_among_those_of_scikit_learn() -> None:
    """Shapes that a registered structure shares with 'full' or 'tied' stay theirs."""
    mixture = GaussianMixture.from_parameters([1.0], [[0.0, 1.0, 2.0]], np.diag([1.0, 4.0, 9.0]))
    assert mixture.covariance_type == "tied"


def test_stream() -> None:
    """Batches lead to the parameters of a fit, and a fit goes on as a stream."""
    X = clusters(20_000)
    mixture = GaussianMixture(3, covariance_type=NAME, random_state=0, reg_covar=0.0)
    for start in range(0, len(X), 1000):
        mixture.partial_fit(X[start : start + 1000])
    np.testing.assert_allclose(np.sqrt(mixture.covariances_), [1.0, 0.5, 2.0], rtol=0.03)
    going_on = fitted(X).partial_fit(X[:100])
    np.testing.assert_allclose(going_on.covariances_, fitted(X).covariances_, rtol=0.05)


def test_em_by_hand() -> None:
    """statistics, merge and maximize do what fit does."""
    X = clusters()
    mixture = fitted(X, max_iter=0)
    parts = [fastgmm.statistics(mixture, rows) for rows in (X[:500], X[500:])]
    assert parts[0].scatters.shape == (3,)
    after = fastgmm.maximize(mixture, fastgmm.merge(*parts))
    for found, expected in zip((after.weights_, after.means_, after.covariances_), em_step(X, mixture), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_repair() -> None:
    """A constant feature collapses the variance that all share; it is repaired once, for no component."""
    X = clusters()
    X[:, 1] = 7.0
    with pytest.warns(DegenerateComponentWarning):
        mixture = fitted(X)
    assert {repair.component for repair in mixture.degenerate_} == {None}
    assert (mixture.covariances_ > 0).all()
    with pytest.raises(ValueError, match="ill-defined empirical covariance"):
        fitted(X, degenerate="raise")


def test_reports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command line shows the deviations, which are the same for all components."""
    from fastgmm.cli import main

    path = tmp_path / "mixture.npz"
    mixture = fitted()
    mixture.save(path)
    assert main(["show", str(path)]) == 0
    shown = capsys.readouterr().out
    assert NAME in shown and "correlations" not in shown
    assert shown.count(f"({np.sqrt(mixture.covariances_[1]):.3f})") == 3


def test_select() -> None:
    """select tries it beside others, and names it in full."""
    selection = fastgmm.select(clusters(), range(2, 5), ["full", "spherical", NAME], random_state=0)
    assert selection.table_["covariance_type"][0] == NAME and selection.best_estimator_.n_components == 3
    assert (selection.table_["error"] == "").all()


def test_structure_without_expansion_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Labels cannot be accumulated in a common frame: a structure that asks for it is named, and nothing crashes."""

    class Unexpanded(Tied):
        name = "unexpanded"

        @property
        def expanded(self) -> Structure:
            return self

    monkeypatch.setitem(STRUCTURES, "unexpanded", Unexpanded())
    with pytest.raises(TypeError, match="'unexpanded' is expanded to 'unexpanded'"):
        GaussianMixture(2, covariance_type="unexpanded").fit(clusters())


def test_starting_values_are_checked() -> None:
    """Precisions of a wrong shape, or not positive, are refused."""
    for precisions, message in ((np.ones((3, 3)), "shape"), (np.array([1.0, 0.0, 1.0]), "should be positive")):
        with pytest.raises(ValueError, match=message):
            fitted(precisions_init=precisions)


# The answers of the structures ----------------------------------------------------------------------------------------


@pytest.fixture(params=[*LAYOUTS, "EII", "EVI", "VEE", "VVE", "EEV", NAME])
def mixture(request: pytest.FixtureRequest) -> tuple[Structure, Parameters]:
    """A mixture of each structure, fitted to rows that are correlated."""
    structure = STRUCTURES[request.param]
    X = clusters(600) @ (np.eye(3) + 0.3)
    model = GaussianMixture(3, covariance_type=structure.name, random_state=0).fit(X)
    return structure, Parameters(model.weights_, model.means_, model.covariances_, model.precisions_cholesky_)


def test_dense(mixture: tuple[Structure, Parameters]) -> None:
    """Dense covariances are the inverses of dense precisions, and variances their diagonals."""
    structure, parameters = mixture
    dense = structure.dense(parameters.covariances, 3, 3)
    precisions = structure.dense(structure.precisions(parameters.precisions_cholesky), 3, 3)
    np.testing.assert_allclose(dense @ precisions, [np.eye(3)] * 3, atol=1e-9)
    variances = structure.variances(parameters.covariances, 3, 3)
    np.testing.assert_array_equal(variances, np.diagonal(dense, axis1=1, axis2=2))
    np.testing.assert_allclose(
        structure.invert_factors(parameters.precisions_cholesky), parameters.covariances, rtol=1e-9, atol=1e-12
    )


def test_reorder_and_features(mixture: tuple[Structure, Parameters]) -> None:
    """Components in another order and features picked are those of the dense covariances."""
    structure, parameters = mixture
    dense, order = structure.dense(parameters.covariances, 3, 3), np.array([2, 0, 1])
    reordered = structure.reorder(parameters, order)
    np.testing.assert_array_equal(reordered.means, parameters.means[order])
    np.testing.assert_array_equal(structure.dense(reordered.covariances, 3, 3), dense[order])
    part = marginal(structure, parameters, [2, 0])
    np.testing.assert_allclose(structure.dense(part.covariances, 3, 2), dense[:, [2, 0]][:, :, [2, 0]], atol=1e-12)
    rest = conditional(structure, parameters, [1], [0, 2]).rest
    assert structure.covariance_shape(3, 2) == rest.covariances.shape


def test_offsets(mixture: tuple[Structure, Parameters]) -> None:
    """The offsets are log weights plus the log densities of the means."""
    structure, parameters = mixture
    dense = structure.dense(parameters.covariances, 3, 3)
    expected = np.log(parameters.weights) - 0.5 * np.linalg.slogdet(2 * np.pi * dense)[1]
    np.testing.assert_allclose(structure.offsets(parameters), expected, rtol=1e-12)


def test_log_weights_need_not_sum_to_one(mixture: tuple[Structure, Parameters]) -> None:
    """What the E-step takes for logarithms of weights may differ from the weights that are reported."""
    from fastgmm.model.fitted import Fitted
    from fastgmm.sources.array import ArraySource

    structure, parameters = mixture
    rows = ArraySource(clusters(50) @ (np.eye(3) + 0.3), 1)
    lower = replace(parameters, expected_log_weights=parameters.log_weights - 2.0)
    found, expected = (Fitted(structure, p) for p in (lower, parameters))
    np.testing.assert_array_equal(lower.weights, parameters.weights)
    np.testing.assert_allclose(
        rows.log_likelihoods(rows.model(found)), rows.log_likelihoods(rows.model(expected)) - 2.0, rtol=1e-10
    )
    np.testing.assert_allclose(
        rows.responsibilities(rows.model(found)), rows.responsibilities(rows.model(expected)), atol=1e-12
    )
    order = np.array([1, 2, 0])
    np.testing.assert_array_equal(structure.reorder(lower, order).log_weights, lower.log_weights[order])


@pytest.mark.parametrize("same", [True, False], ids=["same parameters", "other parameters"])
def test_expected_log_joint(mixture: tuple[Structure, Parameters], same: bool) -> None:
    """It is the sum over rows of responsibilities times log weight times density, so that the entropy follows."""
    from fastgmm.model.fitted import Fitted
    from fastgmm.sources.array import ArraySource

    structure, parameters = mixture
    rows = ArraySource(clusters(400) @ (np.eye(3) + 0.3), 1)
    shift = np.zeros(3) if same else np.array([0.5, -0.3, 0.1])
    at = replace(parameters, means=parameters.means + shift)
    statistics = rows.statistics(structure, parameters).in_data_units()
    r = rows.responsibilities(rows.model(Fitted(structure, parameters)))
    away = rows.X[:, None] - at.means
    precisions = np.linalg.inv(structure.dense(at.covariances, 3, 3))
    logs = structure.offsets(at) - 0.5 * np.einsum("nki,kij,nkj->nk", away, precisions, away)
    assert structure.expected_log_joint(at, statistics) == pytest.approx((r * logs).sum(), rel=1e-9)
    if same:
        entropy = statistics.log_likelihood - structure.expected_log_joint(at, statistics)
        expected = -(r[r > 0] * np.log(r[r > 0])).sum()
        assert entropy == pytest.approx(expected, abs=1e-9 * abs(statistics.log_likelihood))
