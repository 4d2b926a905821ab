"""The candidates of `select`: their fits, and what they are compared by."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bayesian_mixture import BayesianGaussianMixture
from ..fitting.parallel import Job, share_out
from ..fitting.search.posteriors import Posteriors
from ..fitting.search.sweep import sweep
from ..fitting.search.trials import Candidate, Outcome
from ..fitting.starts.kmeans import Random
from ..fitting.variational import LEAST_COUNT
from ..gaussian_mixture import GaussianMixture
from ..mixture.base import fitted
from ..mixture.elsewhere import settings_of, take_over
from ..mixture.estimation import AUTO
from ..mixture.progress import DEBUG, Count, tell
from ..model.fitted import Fitted
from ..sources.source import Source
from .result import CRITERIA

__all__ = ["Entry", "Search"]

Mixture = GaussianMixture | BayesianGaussianMixture

# Only conjugate posteriors have bounds that compare structures; a Dirichlet process has no number of components; and
# priors that the rows do not support hide the structure of small groups. To fit them takes many iterations.
COMPARED: dict[str, Any] = {
    "posterior": "exact",
    "weight_concentration_prior_type": "dirichlet_distribution",
    "prior": "auto",
    "max_iter": 1000,
}
N_INIT = 2  # what a search costs unless one says otherwise, and before a thorough one begins
OWN_MEANING = ("tol", "prior")  # arguments of both estimators that mean something else in each


@dataclass(slots=True)
class Entry:
    """A candidate, its outcome, and its columns of the table."""

    candidate: Candidate
    outcome: Outcome
    model: Mixture | None = None
    values: dict[str, float] = field(default_factory=dict)

    def judge(self, n: float, log_likelihood: float, log_largest: float) -> None:
        """Work out the criteria from means over ``n`` rows: of log p(x), and of the log of the best responsibility."""
        p = self.values["n_parameters"]
        deviance, penalty = -2 * n * log_likelihood, p * math.log(n)
        self.values |= {
            "log_likelihood": n * log_likelihood,
            "bic": deviance + penalty,
            "aic": deviance + 2 * p,
            "aicc": deviance + 2 * p * n / (n - p - 1) if n > p + 1 else math.inf,
            "icl": deviance + penalty - 2 * n * log_largest,
        }

    def line(self) -> dict[str, Any]:
        """Return its line of the table."""
        structure, n_components = self.candidate
        records, fit, error = self.outcome.records, self.outcome.fit, self.outcome.error
        return {
            **dict.fromkeys(("log_likelihood", *CRITERIA), math.nan),
            "covariance_type": structure.name,
            "n_components": n_components,
            "equal_weights": structure.equal_weights,
            "noise": bool(structure.noisy),
            "converged": fit is not None and fit.converged,
            "degenerate": self.outcome.degenerate,
            "spurious": self.outcome.spurious,
            "n_iter": 0 if fit is None else len(fit.lower_bounds),
            "seconds": sum(record.seconds_initialization + record.seconds_em for record in records),
            "error": "" if error is None else f"{type(error).__name__}: {error}",
            **self.values,
        }


class Search:
    """The sweep over all candidates, and what they are compared by.

    With `posteriors` the options are those of BayesianGaussianMixture: posteriors begin where the sweep ends.
    """

    def __init__(
        self,
        candidates: Sequence[Candidate],
        options: dict[str, Any],
        random_state: Random,
        count: Count,
        penalty: float,
        posteriors: bool = False,
    ) -> None:
        self.candidates, self.options, self.random_state = candidates, options, random_state
        self.count, self.penalty = count, penalty
        self.noise = options.pop("noise", None)  # of candidates that have some
        self.by_likelihood = partial(GaussianMixture, **(_of_likelihood(options) if posteriors else options))
        self.bayesian = partial(BayesianGaussianMixture, **COMPARED | options) if posteriors else None
        settings = settings_of(self.by_likelihood(noise=self.noise)).begun()
        self.thorough = options.get("n_init") == AUTO
        self.settings = settings._replace(n_init=N_INIT) if self.thorough else settings

    @property
    def estimator(self) -> Callable[..., Mixture]:
        """Makes the mixtures that are compared, from a number of components and a structure."""
        return self.bayesian or self.by_likelihood

    def fit(
        self,
        source: Source,
        n: float,
        names: NDArray[np.object_] | None = None,
        outcomes: dict[Candidate, Outcome] | None = None,
    ) -> list[Entry]:
        """Fit all candidates to some rows, which count as ``n``; ``outcomes`` are brought up to date meanwhile."""
        posteriors = None if self.bayesian is None else self._posteriors(source)
        found = sweep(
            source,
            self.candidates,
            self.settings,
            self.random_state,
            self._tell,
            method=self.options.get("init_params"),
            penalty=self.penalty,
            thorough=self.thorough,
            outcomes=outcomes,
            posteriors=posteriors,
        )
        return self._entries(found, self.estimator, source, n, names)

    def _posteriors(self, source: Source) -> Posteriors:
        """Return how candidates get their posteriors; priors are worked out now, for arguments may be refused."""
        own = {one: settings_of(self._made(self.estimator, one)) for one in self.candidates}
        m_steps = {one: settings.m_step(source, one.structure) for one, settings in own.items()}
        started, deadline = self.settings.started, self.settings.deadline
        return Posteriors(own[self.candidates[0]]._replace(started=started, deadline=deadline), m_steps)

    def so_far(
        self,
        outcomes: dict[Candidate, Outcome],
        entries: list[Entry],
        source: Source,
        n: float,
        names: NDArray[np.object_] | None,
    ) -> list[Entry]:
        """Return what there is when the search is cut short, judged without a further pass over the rows."""
        if not entries:
            found = [outcomes.get(one, Outcome()) for one in self.candidates]
            entries = self._entries(found, self.by_likelihood, source, n, names)
        self._judge_by_bounds(entries, n)
        return entries

    def _entries(
        self,
        outcomes: Sequence[Outcome],
        estimator: Callable[..., Mixture],
        source: Source,
        n: float,
        names: NDArray[np.object_] | None,
    ) -> list[Entry]:
        """Return the candidates with their outcomes and mixtures."""
        entries = [Entry(*pair) for pair in zip(self.candidates, outcomes, strict=True)]
        for entry in entries:
            structure, n_components = entry.candidate
            entry.values["n_parameters"] = structure.n_parameters(n_components, source.n_features)
            if entry.outcome.fit is not None:
                attributes = {"names": names, "records": entry.outcome.records}
                model = self._made(estimator, entry.candidate)
                try:
                    entry.model = take_over(model, entry.outcome.fit, source.dtype, float(n), **attributes)
                except ValueError as error:
                    entry.outcome.error = error
            if isinstance(entry.model, BayesianGaussianMixture):
                entry.values["elbo"] = entry.model.elbo_ + _log_modes(entry.model)
        return entries

    def judge(self, entries: Sequence[Entry], source: Source, n: float) -> None:
        """Work out the information criteria of the fitted models on the ``n`` rows they were fitted to."""
        if perf_counter() >= self.settings.deadline:
            self._judge_by_bounds(entries, n)
            if any("bic" in entry.values or "elbo" in entry.values for entry in entries):
                return
        models = [(entry, entry.model) for entry in entries if entry.model is not None]
        jobs = [Job(source.work(*entry.candidate), partial(_icl_terms, value=fitted(model))) for entry, model in models]
        for (entry, _), (log_likelihood, log_largest) in zip(models, share_out([source], jobs), strict=True):
            entry.judge(n, log_likelihood, log_largest)

    def _judge_by_bounds(self, entries: Sequence[Entry], n: float) -> None:
        """Work out the criteria that follow from the log-likelihood before the last M-step, where there are none."""
        for entry in entries:
            fit = entry.outcome.fit
            by_likelihood = isinstance(entry.model, GaussianMixture)
            if by_likelihood and fit is not None and fit.lower_bounds and "bic" not in entry.values:
                entry.judge(n, fit.log_likelihood, math.nan)

    def validate(self, entries: Sequence[Entry], source: Source, folds: NDArray[np.intp]) -> None:
        """Work out the mean log-likelihood of rows left out, fold by fold; NaN where a fold went wrong."""
        totals, weight = np.zeros(len(entries)), 0.0
        for fold in range(folds.max() + 1):
            kept, left = (source.subset(np.flatnonzero(rows)) for rows in (folds != fold, folds == fold))
            models = [entry.model for entry in self.fit(kept, kept.total)]
            jobs = [
                Job(left.work(*candidate), partial(_score, value=None if model is None else fitted(model)))
                for candidate, model in zip(self.candidates, models, strict=True)
            ]
            totals += left.total * np.array(share_out([left], jobs))
            weight += left.total
        for entry, total in zip(entries, totals, strict=True):
            entry.values["cv"] = float(total) / weight

    def _made(self, estimator: Callable[..., Mixture], candidate: Candidate) -> Mixture:
        """Return the unfitted mixture of a candidate."""
        structure, n_components = candidate
        own: dict[str, Any] = {"equal_weights": True} if structure.equal_weights else {}
        if structure.noisy:
            own["noise"] = self.noise
        return estimator(n_components=n_components, covariance_type=structure.name, **own)

    def _tell(self, candidate: Candidate, outcome: Outcome) -> None:
        """Report that a candidate has been fitted."""
        what = f"{candidate.structure.name}, K = {candidate.n_components}"
        told = what if outcome.error is None else f"{what}: {outcome.error}"
        tell(DEBUG, "candidate %s", told)
        self.count.step(told)


def _of_likelihood(options: dict[str, Any]) -> dict[str, Any]:
    """Return those of the options of BayesianGaussianMixture that have the same meaning for GaussianMixture."""
    common = GaussianMixture().get_params().keys() - set(OWN_MEANING)
    return {name: value for name, value in options.items() if name in common}


def _log_modes(mixture: BayesianGaussianMixture) -> float:
    """Return the log of the number of equally good posteriors with components in another order.

    The bound is that of one of them. A Dirichlet process knows its components by their order.
    """
    concentration, prior = mixture.weight_concentration_, mixture.weight_concentration_prior_
    if isinstance(concentration, tuple):
        return 0.0
    n_empty = int(np.count_nonzero(concentration - prior < LEAST_COUNT))
    return math.lgamma(len(concentration) + 1) - math.lgamma(n_empty + 1)


def _icl_terms(source: Source, value: Fitted) -> tuple[float, float]:
    """Return the mean log-likelihood per row, and the mean log of the largest responsibility."""
    return source.icl_terms(source.model(value))


def _score(source: Source, value: Fitted | None) -> float:
    """Return the mean log-likelihood per row; NaN without a mixture."""
    return math.nan if value is None else source.log_likelihood(source.model(value))
