"""A program that uses what is public, for ``mypy --strict`` with the installed package: no `Any` where there is a type.

CI checks it outside the source tree, so that it also tells whether py.typed is installed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, assert_type

import numpy as np
from numpy.typing import NDArray

import fastgmm
from fastgmm import (
    BayesianGaussianMixture,
    GaussianMixture,
    GaussianMixtureClassifier,
    GaussianMixtureOutlierDetector,
    Prior,
    Selection,
    Statistics,
    datasets,
    plotting,
    sources,
)

Floats = NDArray[np.floating[Any]]


def fits(X: NDArray[np.float64], weights: list[float]) -> GaussianMixture:
    """Arguments of all kinds, and what a fit leaves."""
    mixture = GaussianMixture(3, covariance_type="tied", random_state=np.random.default_rng(0))
    assert_type(mixture.fit(X, sample_weight=weights), GaussianMixture)
    assert_type(GaussianMixture(prior=Prior(mean_precision=None, scale=X)).fit(X), GaussianMixture)
    assert_type(mixture.partial_fit(X), GaussianMixture)
    assert_type(mixture.fit_predict(X), NDArray[np.int64])
    assert_type(mixture.set_params(tol=0.1), GaussianMixture)
    assert_type(mixture.get_params(), dict[str, Any])
    assert_type(mixture.weights_, Floats)
    assert_type(mixture.means_, Floats)
    assert_type(mixture.n_iter_, int)
    assert_type(mixture.converged_, bool)
    assert_type(mixture.stop_reason_, str)
    assert_type(mixture.lower_bounds_, list[float])
    assert_type(mixture.degenerate_[0].component, int | None)
    assert_type(mixture.fits_[0].seconds_em, float)
    return mixture


def callables(X: NDArray[np.float64]) -> None:
    """Functions and objects that are called back, and other kinds of arguments."""

    def stop(iteration: int, lower_bound: float, elapsed: float) -> bool:
        return elapsed > 1

    def start(X: NDArray[np.float64], n_components: int, random_state: object) -> NDArray[np.float64]:
        return X[:n_components]

    GaussianMixture(2, callback=stop, init_params=start, reg_covar="auto", acceleration="squarem", max_time=3)
    GaussianMixture(2, callback=print, init_params=[0, 1], means_init=[[0.0], [1.0]], random_state=0, n_threads=2)


def decisions(X: NDArray[np.float64], y: list[str]) -> None:
    """Outliers and classes."""
    detector = GaussianMixtureOutlierDetector(GaussianMixture(3), contamination=0.05)
    assert_type(detector.fit(X), GaussianMixtureOutlierDetector)
    assert_type(detector.fit_predict(X), NDArray[np.int64])
    assert_type(detector.decision_function(X), Floats)
    assert_type(detector.offset_, float)
    assert_type(detector.mixture_, GaussianMixture | BayesianGaussianMixture)
    assert_type(detector.mixture_.summary(), str)
    classifier = GaussianMixtureClassifier({"a": 2, "b": "bic"}, priors=[0.5, 0.5])
    assert_type(classifier.fit(X, y, sample_weight=X[:, 0]), GaussianMixtureClassifier)
    assert_type(classifier.predict_proba(X), Floats)
    assert_type(classifier.score(X, y), float)
    GaussianMixtureClassifier(range(1, 4), mixture=GaussianMixture(verbose="bar"), priors={"a": 0.5, "b": 0.5})


def posteriors(X: NDArray[np.float64]) -> GaussianMixture:
    """A variational mixture and what it knows."""
    mixture = BayesianGaussianMixture(n_components=5, covariance_prior=[[1.0]], posterior="exact", sort=True)
    assert_type(mixture.fit(X), BayesianGaussianMixture)
    assert_type(mixture.elbo_, float)
    assert_type(mixture.mean_precision_, NDArray[np.float64])
    assert_type(mixture.predictive_log_density(X), NDArray[np.floating[Any]])
    assert_type(mixture.sample_posterior(10).weights, NDArray[np.float64])
    assert_type(mixture.credible_intervals().variances, NDArray[np.float64])
    return mixture.to_mixture()


def applications(mixture: GaussianMixture, X: NDArray[np.float64], flag: bool) -> None:
    """What a mixture says of rows."""
    assert_type(mixture.predict(X), NDArray[np.int64])
    assert_type(mixture.predict_proba(X, out=np.empty((len(X), 3))), Floats)
    assert_type(mixture.score_samples(X), Floats)
    assert_type(mixture.score(X), float)
    assert_type(mixture.bic(X), float)
    assert_type(mixture.icl(X, sample_weight=X[:, 0]), float)
    assert_type(mixture.uncertainty(X), Floats)
    assert_type(mixture.anomaly_scores(X), Floats)
    assert_type(mixture.anomaly_threshold(X, contamination=0.1), float)
    assert_type(mixture.impute(X), Floats)
    assert_type(mixture.impute(X, return_std=False), Floats)
    assert_type(mixture.impute(X, return_std=True), tuple[Floats, Floats])
    assert_type(mixture.impute(X, return_std=flag), Floats | tuple[Floats, Floats])


def distributions(mixture: GaussianMixture, X: NDArray[np.float64], flag: bool) -> None:
    """Mixtures made of mixtures."""
    assert_type(GaussianMixture.from_parameters([1], [[0.0]], [1.0], "spherical", random_state=0), GaussianMixture)
    assert_type(mixture.sample(3), tuple[NDArray[np.float64], NDArray[np.int64]])
    for features in (0, "petal", [0, 1], ("petal", "sepal"), range(2), np.arange(2)):
        assert_type(mixture.marginal(features), GaussianMixture)
    assert_type(mixture.condition(0, 1.5), GaussianMixture)
    assert_type(mixture.regress(X, 0), Floats)
    assert_type(mixture.regress(X, 0, return_std=False), Floats)
    assert_type(mixture.regress(X, 0, return_std=True), tuple[Floats, Floats])
    assert_type(mixture.regress(X, 0, return_cov=True), tuple[Floats, Floats])
    assert_type(mixture.regress(X, 0, return_std=flag), Floats | tuple[Floats, Floats])


def files(mixture: GaussianMixture) -> GaussianMixture:
    """Models in files."""
    try:
        mixture.save(Path("model.npz"))
        assert_type(GaussianMixture.load("model.npz"), GaussianMixture)
        loaded = fastgmm.load("model.npz")
        assert isinstance(loaded, GaussianMixture)
        return loaded
    except (fastgmm.ModelFileError, fastgmm.NotFittedError) as error:
        raise SystemExit(f"{error}, fastgmm {fastgmm.__version__}") from error


def parts(mixture: GaussianMixture, X: NDArray[np.float64]) -> GaussianMixture:
    """EM by hand."""
    first, second = fastgmm.statistics(mixture, X), Statistics.load("statistics.npz")
    assert_type(first.counts, NDArray[np.float64])
    assert_type(first.mean_log_likelihood, float)
    assert_type(fastgmm.merge(first, second), Statistics)
    return fastgmm.maximize(mixture, first.merge(second).scaled(2.0))


def choice(X: NDArray[np.float64]) -> GaussianMixture:
    """Model selection."""
    selection = fastgmm.select(X, range(1, 5), ["full", "diag"], criterion="icl", tol=1e-2)
    assert_type(selection, Selection)
    assert_type(selection.estimators_, list[GaussianMixture | BayesianGaussianMixture | None])
    assert_type(selection.plot(), plotting.CriterionDisplay)
    best = selection.best_estimator_
    return best if isinstance(best, GaussianMixture) else best.to_mixture()


def many(X: NDArray[np.float64]) -> None:
    """Many tables in one call."""
    fits = fastgmm.fit_many(X[:, :, None], [1, 2], order="mean", random_state=0)
    assert_type(fits, fastgmm.Fits)
    assert_type(fits.status_, NDArray[np.str_])
    assert_type(fits.means_, NDArray[np.float64])
    assert_type([fits[0]], list[GaussianMixture])
    assert_type(list(fits), list[GaussianMixture | None])


def chunks(X: NDArray[np.float64], mixture: GaussianMixture) -> None:
    """Rows that do not fit into memory."""

    def read() -> Iterator[NDArray[np.float64]]:
        yield X

    for source in (sources.from_csv("x.csv"), sources.from_parquet(Path("x.parquet")), sources.from_chunks(read)):
        assert_type(source, sources.Chunks)
        mixture.fit(source)
    assert_type(list(sources.from_array(X).map(mixture.predict)), list[NDArray[np.int64]])


def pictures(mixture: GaussianMixture, X: NDArray[np.float64]) -> None:
    """Displays."""
    display = plotting.plot_components(mixture, X, features=(0, 1))
    assert_type(display, plotting.ComponentsDisplay)
    assert_type(display.plot(), plotting.ComponentsDisplay)
    assert_type(plotting.DensityDisplay.from_estimator(mixture, X).levels_, NDArray[np.float64] | None)
    assert_type(plotting.PairsDisplay.from_estimator(mixture, X), plotting.PairsDisplay)
    assert_type(plotting.ConvergenceDisplay.from_estimator(mixture, ax=display.ax_), plotting.ConvergenceDisplay)


def data() -> None:
    """Data sets."""
    iris = datasets.load_iris()
    assert_type(iris.data, NDArray[np.float64])
    assert_type(iris.target, NDArray[np.int64] | None)
    assert_type(iris.feature_names, tuple[str, ...])
