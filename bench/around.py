"""Everything around a fit, tried on random fits of hostile tables: kept, sent, sampled, conditioned, filled, typed.

Run `python -P bench/around.py --cases 10000`; bench/README.md says what is drawn and what is checked.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import csv
import io
import json
import pickle
import re
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import fastgmm
from fastgmm import ConvergenceWarning, DegenerateComponentWarning, GaussianMixture
from fastgmm.cli import main as command
from fastgmm.model.structures import CONSTRAINED, LAYOUTS, STRUCTURES

sys.path.insert(0, str(Path(__file__).resolve().parent))  # for `python -P`

from hostile import Case, draw

PARAMETERS = ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_")
LONGEST = 500  # characters of an error
STABLE = 1e6  # variance inflation up to which round trips through covariances are compared

# What may be refused, by documented errors: numbers out of range, too few rows, degenerate="raise".
REFUSALS = (
    "overflow|too (small|large|far apart) to be|out of range for|no density at all|ill-defined|"
    "n_samples >= n_components|no value but NaN|nothing but NaN|is positive for [0-9]+ of"
)


# What is checked: each yields what is wrong -----------------------------------------------------------------------


def state_of(model: Any, names: Any = None) -> dict[str, Any]:
    """Public attributes as values that compare by their bits; times are left out."""
    found = {}
    for name in names or [name for name in vars(model) if not name.startswith("_")]:
        value = getattr(model, name)
        if name == "fits_":
            value = [(*record[2:],) for record in value]
        elif isinstance(value, (np.ndarray, list)) and name != "degenerate_":
            value = np.asarray(value)
            value = value.tolist() if value.dtype == object else (value.shape, value.dtype.str, value.tobytes())
        value = value.item() if isinstance(value, np.generic) else value
        found[name] = value if isinstance(value, (str, tuple)) else repr(value)
    return found


def differing(what: str, first: dict[str, Any], second: dict[str, Any]) -> Iterator[str]:
    """Say which entries differ."""
    if wrong := [name for name in {**first, **second} if first.get(name) != second.get(name)]:
        yield f"{what}: {', '.join(wrong)} differ"


def stable(model: GaussianMixture) -> bool:
    """Whether covariances and precisions determine each other to many digits."""
    if model.means_.dtype == np.float32:
        return False
    structure = STRUCTURES[model.covariance_type]
    with np.errstate(all="ignore"):
        inflation = structure.diagonals(model.covariances_) * structure.diagonals(model.precisions_)
        return bool(inflation.max() < STABLE)


def resolved(case: Case, model: GaussianMixture) -> bool:
    """Whether the last digit of the largest values is less than a standard deviation, whatever the component.

    Else whose a row is depends on how the difference between it and a mean was rounded, which parts do about points of
    their own.
    """
    precisions = STRUCTURES[model.covariance_type].diagonals(model.precisions_).astype(np.float64)
    largest = np.nanmax(np.abs(case.X.astype(np.float64)), axis=0, initial=0.0)
    return bool((np.sqrt(precisions) * largest).max() < 1 / np.finfo(model.means_.dtype).eps)


def healthy(case: Case, model: GaussianMixture) -> Iterator[str]:
    """Parameters are those of a mixture."""
    for name in PARAMETERS:
        if not np.isfinite(getattr(model, name)).all():
            yield f"{name} is not finite"
    if abs(model.weights_.sum() - 1) > 1e-5 or model.weights_.min() < 0:
        yield "weights are no weights"
    if (STRUCTURES[model.covariance_type].diagonals(model.covariances_) <= 0).any():
        yield "a variance is not positive"
    if np.isnan(model.lower_bounds_).any():
        yield "a bound is NaN"
    repr(model), model._repr_html_()


def saved(case: Case, model: GaussianMixture) -> Iterator[str]:
    """`save` and `load`: equal bits, equal files; a function as `init_params` is not kept."""
    with tempfile.TemporaryDirectory() as folder:
        first, second = Path(folder, "first"), Path(folder, "second")
        model.save(first)
        loaded = fastgmm.load(first)
        loaded.save(second)
        kept = [name for name in vars(model) if not (name.startswith("_") or callable(getattr(model, name)))]
        yield from differing("loaded", state_of(model, kept), state_of(loaded, kept))
        if not callable(model.init_params) and first.read_bytes() != second.read_bytes():
            yield "loaded: another file"


def pickled(case: Case, model: GaussianMixture) -> Iterator[str]:
    """`pickle` and `copy`: equal bits, equal pickles."""
    data = pickle.dumps(model)
    yield from differing("unpickled", state_of(model), state_of(pickle.loads(data)))
    yield from differing("copied", state_of(model), state_of(copy.deepcopy(model)))
    if pickle.dumps(pickle.loads(data)) != data:
        yield "unpickled: another pickle"


def converted(case: Case, model: GaussianMixture) -> Iterator[str]:
    """`to_sklearn` and `from_sklearn`: equal bits where scikit-learn has the structure."""
    other = model.to_sklearn()
    back = GaussianMixture.from_sklearn(other)
    if other.covariance_type == model.covariance_type:
        yield from differing("converted", state_of(model, PARAMETERS), state_of(back, PARAMETERS))
    yield from differing("converted twice", state_of(other, PARAMETERS), state_of(back.to_sklearn(), PARAMETERS))


def sampled(case: Case, model: GaussianMixture) -> Iterator[str]:
    """`sample`: finite, and the same for the same seed."""
    X, labels = model.sample(50, random_state=case.seed)
    if X.shape != (50, model.n_features_in_) or not np.isfinite(X).all():
        yield "samples are not finite"
    again = model.sample(50, random_state=case.seed)
    if not (np.array_equal(again[0], X) and np.array_equal(again[1], labels)):
        yield "samples differ"


def scored(case: Case, model: GaussianMixture) -> Iterator[str]:
    """Labels, probabilities, uncertainties and scores of the rows fitted and of rows far away agree."""
    largest = float(np.finfo(model.means_.dtype).max)
    far = [np.full((1, model.n_features_in_), value, model.means_.dtype) for value in (1e20, -9.97e36, largest / 4)]
    known = hasattr(model, "feature_names_in_")
    for rows in [case.rows(), *(case.form(row, case.names) if known else row for row in far)]:
        densities, probabilities = model.score_samples(rows), model.predict_proba(rows)
        if np.isnan(densities).any() or not np.allclose(probabilities.sum(axis=1), 1, atol=1e-5):
            yield "densities or probabilities are NaN"
        labels, uncertainties = model.predict(rows), model.uncertainty(rows)
        best = probabilities[np.arange(len(labels)), labels]
        if not np.array_equal(best, probabilities.max(axis=1)):
            yield "labels are not those of the largest probabilities"
        if not np.allclose(uncertainties, 1 - best, atol=1e-5):
            yield "uncertainties are not what the largest probability leaves"
        if not np.array_equal(model.anomaly_scores(rows), -densities):
            yield "anomaly scores are not negative densities"
    if np.isnan(model.anomaly_threshold(case.rows(), 0.1)) or np.isnan(model.score(case.rows(), None, case.weights)):
        yield "a threshold or score is NaN"
    if any(np.isnan(getattr(model, name)(case.rows())) for name in ("aic", "bic", "icl")):
        yield "a criterion is NaN"


def marginalized(case: Case, model: GaussianMixture) -> Iterator[str]:
    """`marginal` of features in another order, and back: equal numbers."""
    order = case.rng.permutation(model.n_features_in_)
    known = hasattr(model, "feature_names_in_")
    part = model.marginal([case.names[i] for i in order] if known else order.tolist())
    back = part.marginal(np.argsort(order).tolist())
    structure = STRUCTURES[model.covariance_type]
    units = np.sqrt(structure.diagonals(model.covariances_.astype(np.float64)))
    units = units[..., None] * units[:, None] if structure.triangular else units**2
    if not (np.array_equal(back.means_, model.means_) and np.array_equal(part.means_, model.means_[:, order])):
        yield "marginal means differ"
    if not (np.abs(back.covariances_ - model.covariances_) <= 1e-5 * units.reshape(model.covariances_.shape)).all():
        yield "marginal covariances differ"
    if np.isnan(part.score_samples(case.rows(features=order))).any():
        yield "marginal densities are NaN"


def conditioned(case: Case, model: GaussianMixture) -> Iterator[str]:
    """`regress` predicts the mean of what `condition` returns; nothing is NaN."""
    if model.n_features_in_ == 1:
        return
    order = case.rng.permutation(model.n_features_in_)
    targets, given = order[: len(order) // 2].tolist(), sorted(order[len(order) // 2 :].tolist())
    mean, std = model.regress(case.rows(features=given), targets, return_std=True)
    if not (np.isfinite(mean).all() and np.isfinite(std).all() and (std >= 0).all()):
        yield "predictions are not finite"
    row = model.means_[:1, given]
    mixture = model.condition(given, row[0])
    if any(not np.isfinite(getattr(mixture, name)).all() for name in PARAMETERS):
        yield "conditional parameters are not finite"
    known = hasattr(model, "feature_names_in_")
    rows = case.form(row, [case.names[i] for i in given]) if known else row
    predicted = dict(zip(targets, model.regress(rows, targets)[0], strict=True))
    expected = mixture.weights_ @ mixture.means_
    allowed = 1e-6 * np.abs(mixture.means_).max(axis=0) + 1e-300
    # Means near zero are differences of numbers as large as deviations, and have the digits that these leave.
    allowed += 1e-9 * np.sqrt(STRUCTURES[model.covariance_type].diagonals(mixture.covariances_)).max(axis=0)
    found = np.array([predicted[i] for i in sorted(targets)])
    if stable(model) and not (np.abs(found - expected) <= allowed).all():
        yield f"predictions {found} are not conditional means {expected}"


def imputed(case: Case, model: GaussianMixture) -> Iterator[str]:
    """`impute`: what is known stays, what is not becomes finite."""
    X = case.X.astype(np.float32 if case.X.dtype == np.float32 else np.float64)
    X[case.rng.random(X.shape) < 0.3] = np.nan
    gaps, rows = np.isnan(X), case.form(X, case.names)
    (filled_in, std), drawn = model.impute(rows, return_std=True), model.impute(rows, random_state=0)
    for values in (filled_in, drawn):
        if not np.isfinite(values).all():
            yield "values filled in are not finite"
        if not np.array_equal(values[~gaps], X[~gaps]):
            yield "known values were changed"
    if not (np.isfinite(std).all() and (std >= 0).all() and (std[~gaps] == 0).all()):
        yield "standard deviations are not"


def by_hand(case: Case, model: GaussianMixture) -> Iterator[str]:
    """`statistics` of parts, stored, sent and merged, are those of the whole; `maximize` makes a mixture of them."""
    weights, half = np.ones(len(case.X)) if case.weights is None else case.weights.astype(float), len(case.X) // 2
    weights = weights + weights.mean()  # a part without any weight is refused
    whole = fastgmm.statistics(model, case.rows(), weights)
    ends = (slice(None, half), slice(half, None))
    parts = [fastgmm.statistics(model, case.rows(end), weights[end]) for end in ends]
    with tempfile.TemporaryDirectory() as folder:
        parts[0].save(Path(folder, "part"))
        parts[0] = fastgmm.Statistics.load(Path(folder, "part"))
    merged = fastgmm.merge(parts[0], pickle.loads(pickle.dumps(parts[1])))
    rounding = np.finfo(model.means_.dtype).eps * np.abs(model.score_samples(case.rows()).astype(float))
    allowed = 1e-4 * weights.sum() + weights @ rounding  # a log density is rounded, and responsibilities follow it
    digits = rounding.max() < 1 and resolved(case, model)
    if digits and not np.allclose(merged.counts, whole.counts, rtol=1e-4, atol=allowed):
        yield "merged counts differ"
    following = fastgmm.maximize(model, merged)
    yield from healthy(case, following)
    if following.n_iter_ != model.n_iter_ + 1:
        yield "maximize counts no iteration"


def streamed(case: Case, model: GaussianMixture) -> Iterator[str]:
    """`partial_fit`, begun anew and going on from a fit: a pickle goes on with the same bits."""
    fresh = GaussianMixture(**case.options)
    for stream in (fresh, copy.deepcopy(model)):
        for batch in np.array_split(np.arange(len(case.X)), 3):
            if len(batch) and not np.isnan(case.X[batch].astype(float)).all():
                twin = pickle.loads(pickle.dumps(stream)).partial_fit(case.rows(batch))
                stream.partial_fit(case.rows(batch))
                yield from differing("unpickled stream", state_of(stream), state_of(twin))
        if hasattr(stream, "weights_"):
            yield from healthy(case, stream)
            yield from saved(case, stream)


def refitted(case: Case, model: GaussianMixture) -> Iterator[str]:
    """Another `fit` of the estimator gives the same bits, or with warm_start goes on; `fit_predict` agrees."""
    again = copy.deepcopy(model)
    labels = again.fit_predict(case.rows(), None, case.weights)
    yield from healthy(case, again)
    if not case.options["warm_start"]:
        yield from differing("fitted again", state_of(model), state_of(again))
    if not np.array_equal(labels, again.predict(case.rows())):
        yield "fit_predict and predict differ"


def typed(case: Case, model: GaussianMixture | None) -> Iterator[str]:
    """The command line on the same table as CSV: the same mixture and labels as from Python."""
    own = ("n_components", "covariance_type", "random_state")
    shared = ("reg_covar", "init_params", "tol", "n_init", "acceleration", "missing")
    options = {name: case.options[name] for name in (*own, *shared)} | {"max_iter": 20}
    if callable(options["init_params"]):
        options["init_params"] = "kmeans"
    X = case.X.astype(np.float64)
    expected = attempt(GaussianMixture(**options), X)
    with tempfile.TemporaryDirectory() as folder:
        table, kept, labels = (str(Path(folder, name)) for name in ("table.csv", "model", "labels.npy"))
        with open(table, "w", newline="", encoding="utf-8") as stream:
            lines = [["" if np.isnan(value) else repr(float(value)) for value in row] for row in X]
            csv.writer(stream).writerows([case.names, *lines])
        words = ["fit", table, "-k", options["n_components"], "--covariance-type", options["covariance_type"]]
        words += ["--seed", options["random_state"], "--save", kept, "-o", labels, "--max-iter", 20, "--header"]
        for name in shared:
            words += [] if options[name] is None else [f"--{name.replace('_', '-')}", options[name]]
        status, told = typed_in(words)
        if expected is None:
            if status != 2 or len(told) > LONGEST + 20:
                yield f"status {status} where fit refuses: {told}"
            return
        if status:
            yield f"status {status}: {told}"
            return
        loaded = fastgmm.load(kept)
        yield from differing("typed", state_of(expected, PARAMETERS), state_of(loaded, PARAMETERS))
        if not np.array_equal(np.load(labels), expected.predict(X)):
            yield "labels typed for differ"
        if not np.array_equal(loaded.feature_names_in_, case.names):
            yield f"names typed for are {loaded.feature_names_in_}"
        for words in (["predict", "--model", kept, table, "--header", "--proba", "-o", labels], ["show", kept]):
            status, told = typed_in(words)
            if status:
                yield f"{words[0]}: status {status}: {told}"


KEPT = (healthy, saved, pickled, converted)
ASKED = (sampled, scored, marginalized, conditioned, imputed)
CONTINUED = (by_hand, streamed, refitted, typed)
CHECKS = (*KEPT, *ASKED, *CONTINUED)


# How it is run ----------------------------------------------------------------------------------------------------


def typed_in(words: list[Any]) -> tuple[int, str]:
    """Run the command line in this process: its status, and what it says of errors."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = command([str(word) for word in words])
    return status, err.getvalue().strip()


def is_documented(error: Exception) -> bool:
    """Whether an error is one of the documented refusals, and short."""
    return isinstance(error, ValueError) and len(str(error)) <= LONGEST and bool(re.search(REFUSALS, str(error)))


def attempt(model: GaussianMixture, X: Any, weights: Any = None) -> GaussianMixture | None:
    """Fit; None where the table is refused, as documented."""
    try:
        return model.fit(X, sample_weight=weights)
    except ValueError as error:
        if not is_documented(error):
            raise
        return None


def check(seed: int, kinds: Sequence[str] = tuple(LAYOUTS)) -> tuple[list[str], list[str], list[str]]:
    """What is wrong in one case, what is bad about it, and what was refused."""
    case, wrong, refused = draw(seed, kinds), list[str](), list[str]()
    model = None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for category in (ConvergenceWarning, DegenerateComponentWarning):
            warnings.simplefilter("ignore", category)
        warnings.filterwarnings("ignore", message="scikit-learn's formulae lose digits")
        try:
            model = attempt(GaussianMixture(**case.options), case.rows(), case.weights)
        except Exception:
            return [f"fit: {traceback.format_exc(limit=-4)}"], case.bad, []
        for step in CHECKS if model else (typed,):
            try:
                wrong += [f"{step.__name__}: {line}" for line in step(case, model)]
            except Exception as error:
                if is_documented(error):
                    refused.append(step.__name__)
                else:
                    wrong.append(f"{step.__name__}: {traceback.format_exc(limit=-4)}")
    return wrong, case.bad, refused if model else ["fit"]


def main() -> int:
    """Try all cases; the exit status says whether anything went wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0, help="of the first case; the others count on from it")
    parser.add_argument("--mclust", action="store_true", help="with the structures that only mclust has")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the counts as JSON")
    chosen = parser.parse_args()
    structures = tuple(CONSTRAINED if chosen.mclust else LAYOUTS)
    kinds, refusals, failures = Counter[str](), Counter[str](), list[int]()
    for seed in range(chosen.seed, chosen.seed + chosen.cases):
        wrong, bad, refused = check(seed, structures)
        kinds.update(bad)
        refusals.update(refused)
        if wrong:
            failures.append(seed)
            print(f"case {seed} ({', '.join(bad)}): python -P bench/around.py --cases 1 --seed {seed}")
            print(f"  {draw(seed, structures).options}", *wrong, sep="\n  ", flush=True)
    record = {
        "seed": chosen.seed,
        "cases": chosen.cases,
        "failures": failures,
        "refused, as documented": dict(refusals),
        "kinds": dict(kinds),
    }
    print(json.dumps(record))
    if chosen.output:
        chosen.output.write_text(json.dumps(record, indent=1) + "\n")
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
