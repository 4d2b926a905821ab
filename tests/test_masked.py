"""numpy.seterr is the caller's: what it says of overflow, underflow and NaN does not reach into the package."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference as twin
from problems import Array

import fastgmm
from fastgmm import GaussianMixture


def every_call(kind: str, X: Array, folder: Path) -> None:
    """Everything public, on some rows."""
    gaps = X.copy()
    gaps[::7, 0] = np.nan
    weights = np.linspace(0, 3, len(X))
    options: dict[str, Any] = {"covariance_type": kind, "random_state": 0, "max_iter": 20, "reg_covar": "auto"}
    for start in ("kmeans", "k-means++", "random", "random_from_data", "hierarchical", "best"):
        GaussianMixture(2, init_params=start, **options).fit(X, sample_weight=weights)
    for extra in ({"n_init": 3}, {"acceleration": "squarem"}, {"convergence": "parameters"}, {"convergence": "aitken"}):
        GaussianMixture(3, **options, **extra).fit(X)  # type: ignore[arg-type]
    GaussianMixture(2, missing="em", **options).fit(gaps).predict_proba(gaps)
    stream = GaussianMixture(2, **options)
    for part in np.array_split(X, 3):
        stream.partial_fit(part, sample_weight=np.linspace(0, 2, len(part)))
    mixture = GaussianMixture(2, **options)
    mixture.fit_predict(X)
    far = np.concatenate([X, X * 1e3, X * 1e-3]).astype(X.dtype)
    for name in ("predict", "predict_proba", "score_samples", "score", "bic", "aic", "icl", "uncertainty"):
        getattr(mixture, name)(far)
        getattr(mixture, name)(far[:1])
    mixture.score(far, sample_weight=np.ones(len(far)))
    mixture.anomaly_scores(far), mixture.anomaly_threshold(X, 0.1)
    mixture.sample(100)
    mixture.marginal([0]), mixture.condition([1], [float(X[0, 1])])
    mixture.regress(X[:, :1], [1], return_std=True), mixture.regress(X[:, :1], 1, return_cov=True)
    mixture.impute(gaps, return_std=True), mixture.impute(gaps, random_state=0)
    mixture.save(folder / "model")
    fastgmm.load(folder / "model")
    pickle.loads(pickle.dumps(mixture))
    GaussianMixture.from_parameters(mixture.weights_, mixture.means_, mixture.covariances_, kind, random_state=0).score(
        X
    )
    halves = [fastgmm.statistics(mixture, rows) for rows in (X[:50], X[50:])]
    fastgmm.maximize(mixture, fastgmm.merge(*halves).scaled(0.5))
    repr(mixture), str(fastgmm.select(X, [1, 2, 3], kind, "icl", random_state=0, max_iter=20))


@pytest.mark.parametrize(
    ("rows", "kind", "dtype"),  # each two of them together
    [
        (rows, kind, ("f4", "f8")[(i + j) % 2])
        for i, rows in enumerate(("groups", "zeros", "repeated", "tiny", "large", "far"))
        for j, kind in enumerate(twin.STRUCTURES)
    ],
)
def test_errors_of_numpy_stay_outside(
    rows: str, kind: str, dtype: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever numpy.seterr says, and however many threads: nothing but what would be said anyway."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 2)) + np.repeat([[0.0], [6.0]], 60, axis=0)
    X = {
        "groups": X,
        "zeros": X * [1.0, 0.0],
        "repeated": np.repeat(X[:12], 10, axis=0),
        "tiny": X * (1e-15 if dtype == "f4" else 1e-140),
        "large": X * (1e15 if dtype == "f4" else 1e140),
        "far": X * [1.0, 1e-6] + [0.0, 1e3],
    }[rows].astype(dtype)
    monkeypatch.setattr("fastgmm.sources.passes.GROUP_WORK", 1 << 8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of repairs and ends
        warnings.simplefilter("error", RuntimeWarning)
        outcomes = []
        for how in ("warn", "raise"):
            with np.errstate(all=how):  # type: ignore[call-overload]
                try:
                    every_call(kind, X, tmp_path)
                except ValueError as error:
                    outcomes.append(str(error))
                else:
                    outcomes.append("")
    assert outcomes[0] == outcomes[1]
