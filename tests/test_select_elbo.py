"""select(criterion="elbo"): posteriors of candidates, compared by the evidence."""

from __future__ import annotations

import copy
import math
import warnings
from typing import Any

import numpy as np
import pytest

from fastgmm import BayesianGaussianMixture, GaussianMixture, Selection, select
from fastgmm.datasets import load_faithful

FAITHFUL = load_faithful().data


def selected(X: Any, *arguments: Any, **options: Any) -> Selection:
    """A selection by the evidence, whatever it warns of."""
    with warnings.catch_warnings(action="ignore"):
        return select(X, *arguments, criterion="elbo", random_state=0, **options)


@pytest.fixture(scope="module")
def selection() -> Selection:
    """All candidates on Old Faithful, converged."""
    return selected(FAITHFUL, range(1, 5), tol=1e-7, max_iter=5000, prior=None)


def test_bounds_are_those_of_the_posteriors(selection: Selection) -> None:
    """The criterion is a posterior's bound and the log of the number of orders of its occupied components."""
    for row, mixture in zip(selection.table_, selection.estimators_, strict=True):
        assert type(mixture) is BayesianGaussianMixture
        assert (mixture.n_components, mixture.covariance_type) == (row["n_components"], row["covariance_type"])
        n_used = int((mixture.weight_concentration_ - mixture.weight_concentration_prior_ > 0.01).sum())
        orders = math.perm(mixture.n_components, n_used)
        assert row["elbo"] == pytest.approx(mixture.elbo_ + math.log(orders), rel=1e-12)
        assert row["bic"] == pytest.approx(mixture.to_mixture().bic(FAITHFUL), rel=1e-10)


def test_bounds_are_those_of_single_fits(selection: Selection) -> None:
    """Each posterior is where a fit ends that starts from it, and at least as good as single fits find."""
    for mixture in selection.estimators_:
        assert mixture is not None
        options = mixture.get_params() | {"n_init": 5}
        assert mixture.elbo_ > BayesianGaussianMixture(**options).fit(FAITHFUL).elbo_ - 1e-3
        before = mixture.elbo_
        again = copy.deepcopy(mixture).set_params(warm_start=True).fit(FAITHFUL)
        assert again.elbo_ == pytest.approx(before, abs=1e-3)


@pytest.mark.parametrize("unit", [2.0**-20, 2.0**20])
def test_units_do_not_matter(unit: float) -> None:
    """In other units all bounds move by the same number, and the order of the candidates stays."""
    tables = [selected(FAITHFUL * u, range(1, 5), reg_covar=0).table_ for u in (1.0, unit)]
    assert tables[0]["n_components"].tolist() == tables[1]["n_components"].tolist()
    np.testing.assert_allclose(tables[1]["elbo"], tables[0]["elbo"] - FAITHFUL.size * math.log(unit), rtol=1e-9)


def test_finds_structure_and_number() -> None:
    """Of groups that each structure draws, the evidence finds the structure and the number."""
    rng = np.random.default_rng(0)
    centers = np.array([[0.0, 0.0], [8.0, 0.0], [0.0, 9.0]])[rng.integers(3, size=600)]
    normal = rng.normal(size=(600, 2))
    root = np.array([[1.0, 0.9], [0.0, 0.4]])
    scaled = np.where(centers[:, :1] > 0, normal, 2 * normal)
    stretched = np.where(centers[:, :1] > 0, normal * [0.3, 2.0], normal * [1.5, 0.4])
    turned = np.where(centers[:, :1] > 0, normal @ root, normal @ root.T)
    drawn = {"spherical": scaled, "tied": normal @ root, "diag": stretched, "full": turned}
    for kind, offsets in drawn.items():
        best = selected(centers + offsets, range(1, 6)).best_estimator_
        assert (best.covariance_type, best.n_components) == (kind, 3)


def test_weights_are_repetitions() -> None:
    """A row of weight 2 is two rows."""
    counts = np.arange(272) % 3
    options: dict[str, Any] = {"tol": 1e-8, "max_iter": 5000}
    tables = [
        selected(FAITHFUL, [1, 2], "full", sample_weight=counts, **options).table_,
        selected(np.repeat(FAITHFUL, counts, axis=0), [1, 2], "full", **options).table_,
    ]
    np.testing.assert_allclose(tables[0]["elbo"], tables[1]["elbo"], rtol=1e-7)


def test_gaps() -> None:
    """Rows with gaps are compared as well."""
    X = FAITHFUL.copy()
    X[::7, 0] = np.nan
    best = selected(X, range(1, 4), missing="em").best_estimator_
    assert best.n_components in (2, 3) and np.isfinite(best.elbo_)


def test_dirichlet_process_counts_no_orders() -> None:
    """The bound of a Dirichlet process stands as it is; arguments of the estimator are heeded."""
    options = {"weight_concentration_prior_type": "dirichlet_process", "weight_concentration_prior": 0.5, "sort": True}
    found = selected(FAITHFUL, [1, 3], ["full"], **options)
    for row, mixture in zip(found.table_, found.estimators_, strict=True):
        assert mixture is not None and mixture.get_params()["weight_concentration_prior"] == 0.5
        assert row["elbo"] == mixture.elbo_


def test_other_criteria_take_no_posterior() -> None:
    """The column is empty where nothing asks for it."""
    table = select(FAITHFUL, 2, "full").table_
    assert np.isnan(table["elbo"]).all()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"mean_prior": [1.0]}, ValueError, "shape of .2,., but got .1,."),
        ({"covariance_prior": np.eye(2), "covariance_types": ["full", "diag"]}, ValueError, "covariance_prior"),
        ({"degrees_of_freedom_prior": 0.5}, ValueError, "degrees_of_freedom_prior"),
        ({"means_init": [[0.0, 0.0]]}, TypeError, "leave means_init out"),
        ({"degenerate": "raise"}, TypeError, "degenerate"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    """Priors are refused before anything is fitted."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fastgmm.selection.candidates.sweep", lambda *_, **__: pytest.fail("something was fitted"))
        with pytest.raises(error, match=message):
            select(FAITHFUL, criterion="elbo", **arguments)


def test_callback_of_posteriors() -> None:
    """What a callback raises among the posteriors carries the candidates by likelihood."""
    bounds: list[float] = []

    def stop(n_iter: int, lower_bound: float, seconds: float) -> None:
        bounds.append(lower_bound)
        if lower_bound < -100:  # of all rows together, not per row
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough") as caught:
        selected(FAITHFUL, [1, 2], "full", callback=stop)
    found = caught.value.selection  # type: ignore[attr-defined]
    assert bounds[-1] < -100 < min(bounds[:-1])
    assert found.criterion == "bic" and type(found.best_estimator_) is GaussianMixture


def test_collapsed_candidates_are_sound_posteriors() -> None:
    """Where likelihood collapses onto equal rows, a posterior does not."""
    X = np.concatenate([FAITHFUL, np.tile(FAITHFUL[:1] + 9, (30, 1))])
    assert not selected(X, range(1, 6)).table_["degenerate"].any()
