"""fit_many: many problems in one call, each as if it stood alone."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from problems import Array

import fastgmm
from fastgmm import Fits, GaussianMixture, fit_many
from fastgmm.fitting import restarts, whole
from fastgmm.many import batches, fitting

KEPT = ("weights_", "means_", "covariances_", "precisions_cholesky_")


def ragged(n_problems: int = 12, n_features: int = 2, seed: int = 0) -> list[Array]:
    """Tables of two groups of rows, of sizes from 8 to 60."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(8, 60, size=n_problems)
    return [rng.normal(size=(n, n_features)) + 5 * rng.integers(2, size=(n, 1)) for n in sizes]


def alone(X: Array, k: int = 2, weights: Array | None = None, **params: Any) -> GaussianMixture:
    """The same fit by itself."""
    with warnings.catch_warnings(action="ignore"):
        return GaussianMixture(k, **{"random_state": 3, **params}).fit(X, sample_weight=weights)


def assert_same(fits: Fits, i: int, mixture: GaussianMixture) -> None:
    """A problem of a call has all bits of a single fit, in arrays and as a mixture."""
    found = fits[i]
    k = mixture.n_components
    assert (fits.n_components_[i], fits.n_iter_[i], fits.converged_[i]) == (k, mixture.n_iter_, mixture.converged_)
    assert found.lower_bounds_ == mixture.lower_bounds_ and fits.lower_bound_[i] == mixture.lower_bound_
    for name in KEPT:
        assert getattr(found, name).tobytes() == getattr(mixture, name).tobytes()
    np.testing.assert_array_equal(fits.means_[i, :k], mixture.means_)
    assert np.isnan(fits.means_[i, k:]).all() and np.isnan(fits.weights_[i, k:]).all()


@pytest.mark.parametrize("n_threads", [1, 2, 5])
@pytest.mark.parametrize("structure", ["full", "tied", "diag", "spherical"])
def test_bits_of_single_fits(structure: str, n_threads: int) -> None:
    """In any company and by any number of threads."""
    tables = ragged()
    fits = fit_many(tables, 2, covariance_type=structure, random_state=3, n_threads=n_threads)
    assert len(fits) == len(tables) == len(list(fits))
    for i, X in enumerate(tables):
        assert_same(fits, i, alone(X, covariance_type=structure))
    part = fit_many(iter(tables[5:7]), 2, covariance_type=structure, random_state=3)
    np.testing.assert_array_equal(part.means_, fits.means_[5:7])


def test_forms_of_tables() -> None:
    """A list, a stack, rows with labels in any order, rows with offsets: the same fits, answers in the same form."""
    rng = np.random.default_rng(0)
    stack = rng.normal(size=(6, 40, 2)) + 5 * rng.integers(2, size=(6, 40, 1))
    rows, labels = stack.reshape(-1, 2), np.repeat(list("fbdace"), 40)
    shuffled = rng.permutation(len(rows))
    fits = fit_many(stack, 2, random_state=3)
    listed = fit_many(list(stack), 2, random_state=3)
    offsets = fit_many(rows, 2, groups=np.arange(0, 241, 40), random_state=3)
    for other in (listed, offsets):
        np.testing.assert_array_equal(other.means_, fits.means_)
    grouped = fit_many(rows, 2, groups=labels, random_state=3)
    assert grouped.names_ is not None and list(grouped.names_) == sorted("abcdef")
    order = [list("fbdace").index(name) for name in "abcdef"]
    np.testing.assert_array_equal(grouped.means_, fits.means_[order])
    expected = np.stack([alone(X).predict(X) for X in stack])
    np.testing.assert_array_equal(fits.predict(stack), expected)
    np.testing.assert_array_equal(np.stack(listed.predict(list(stack))), expected)
    np.testing.assert_array_equal(offsets.predict(rows, np.arange(0, 241, 40)), expected.ravel())
    np.testing.assert_array_equal(grouped.predict(rows[shuffled], labels[shuffled]), expected.ravel()[shuffled])
    some = np.isin(labels, ["c", "f"])
    np.testing.assert_array_equal(
        grouped.score_samples(rows[some], labels[some]), grouped.score_samples(rows, labels)[some]
    )
    matrix = rows[:, :1].reshape(6, 40)
    np.testing.assert_array_equal(fit_many(matrix[:, :, None], 1).means_, fit_many(list(matrix), 1).means_)


def hostile(n_problems: int, n_features: int, dtype: str) -> list[Array]:
    """Tables of groups of rows, of which some are far from the origin, tiny, whole numbers, repeated or constant."""
    rng = np.random.default_rng(n_features)
    tables = []
    for i in range(n_problems):
        X = rng.normal(size=(int(rng.integers(4, 200)), n_features)) + 4 * rng.integers(3, size=(1, n_features))
        X[: len(X) // 2] += rng.choice([0, 3, 30])
        X[: len(X) // 4] += rng.choice([0, 9])
        X = X * rng.choice([1.0, 1.0, 1e-4, 1e4]) + rng.choice([0.0, 0.0, 1e3])
        X = np.round(X) if i % 5 == 1 else X
        X[: len(X) // 3] = X[0] if i % 7 == 3 else X[: len(X) // 3]
        tables.append((np.zeros_like(X) + X[0] if i % 31 == 30 else X).astype(dtype))
    return tables


def all_of(fits: Fits) -> list[Any]:
    """All that is known of each problem, as bits where it may be."""
    found: list[Any] = []
    for i, mixture in enumerate(fits):
        bits = [] if mixture is None else [getattr(mixture, name).tobytes() for name in (*KEPT, "precisions_")]
        others = ("lower_bounds_", "n_iter_", "stop_reason_", "degenerate_", "n_samples_seen_", "n_components")
        ends = [] if mixture is None else [repr(getattr(mixture, name)) for name in others]
        found.append([*bits, *ends, fits.status_[i], fits.weights_[i].tobytes(), fits.means_[i].tobytes()])
        found[-1] += [fits.covariances_[i].tobytes(), fits.lower_bound_[i].tobytes(), fits.converged_[i]]
    return found


@pytest.mark.parametrize(
    ("structure", "n_features", "dtype"),
    [  # each two of these together
        ("full", 1, "float32"),
        ("full", 3, "float64"),
        ("tied", 1, "float64"),
        ("tied", 3, "float32"),
        ("diag", 1, "float64"),
        ("diag", 3, "float32"),
        ("spherical", 1, "float32"),
        ("spherical", 3, "float64"),
    ],
)
def test_compiled_calls_have_the_bits_of_the_loop(
    structure: str, n_features: int, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Candidates, weights, order and repairs included."""
    tables, rng = hostile(63, n_features, dtype), np.random.default_rng(0)
    options: dict[str, Any] = {"covariance_type": structure, "random_state": 3, "order": "weight"}
    calls = [
        {"n_components": [1, 2, 3]},
        {"n_components": [1, 2], "reg_covar": "auto"},
        {"n_components": 2, "reg_covar": 0.0, "degenerate": "raise", "max_iter": 3, "tol": 1e-6},
        {"n_components": [2, 1], "criterion": "icl", "sample_weight": [rng.integers(3, size=len(X)) for X in tables]},
    ]
    by_themselves: list[Any] = []
    single = batches.fitted
    monkeypatch.setattr(batches, "fitted", lambda *of: by_themselves.append(of) or single(*of))
    compiled = [fit_many(tables, **options, **call) for call in calls]
    assert 0 < len(by_themselves) < 0.45 * 4 * len(tables)
    monkeypatch.setattr(batches, "limits_of", lambda _: None)
    monkeypatch.setattr(restarts, "from_kmeans_at_once", lambda *_, **__: None)
    monkeypatch.setattr(whole, "iterations", lambda *_: iter(()))
    for call, fits in zip(calls, compiled, strict=True):
        slow = fit_many(tables, **options, **call)
        np.testing.assert_allclose(fits.scores_, slow.scores_, rtol=1e-5 if dtype == "float32" else 1e-12)
        for i, (one, other) in enumerate(zip(all_of(fits), all_of(slow), strict=True)):
            assert one == other, f"problem {i}, {call}"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("structure", ["full", "tied", "diag", "spherical"])
def test_answers_have_the_bits_of_single_ones(structure: str, dtype: str) -> None:
    """Also for rows that are far off, for mixtures of other numbers of components, and where there are none."""
    tables = [*hostile(40, 2, dtype), np.zeros((1, 2), dtype)]
    fits = fit_many(tables, [1, 2, 3], covariance_type=structure, random_state=3)
    assert len(set(fits.n_components_)) >= 3
    asked = [np.concatenate([X, X[:1] * 1e3, X[:1] + np.array([1e9, 0], dtype)]) for X in tables]
    answers = fits.predict(asked), fits.predict_proba(asked), fits.score_samples(asked)
    for i, (X, mixture) in enumerate(zip(asked, fits, strict=True)):
        labels, shares, scores = (answer[i] for answer in answers)
        if mixture is None:
            assert (labels == -1).all() and np.isnan(shares).all() and np.isnan(scores).all()
            continue
        assert labels.tobytes() == mixture.predict(X).tobytes()
        assert shares[:, : mixture.n_components].tobytes() == mixture.predict_proba(X).tobytes()
        assert scores.tobytes() == mixture.score_samples(X).tobytes() and scores.dtype == dtype
        assert np.isnan(shares[:, mixture.n_components :]).all()


def test_answers_for_bad_rows() -> None:
    """They are refused as by a single mixture."""
    tables = ragged(3)
    fits = fit_many(tables, 2, random_state=3)
    with pytest.raises(ValueError, match="X contains NaN"):
        fits.predict([tables[0], tables[1] * np.nan, tables[2]])
    with pytest.raises(ValueError, match="expecting 2 features"):
        fits.score_samples([X[:, :1] for X in tables])
    with pytest.raises(ValueError):
        fits.predict_proba([["a", "b"]] * 3)


def test_progress(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A line now and then, if asked for."""
    monkeypatch.setattr(fitting, "EVERY", 0.0)
    fit_many(ragged(3), 1)
    assert capsys.readouterr().out == ""
    fit_many(ragged(3), 1, verbose=True)
    assert capsys.readouterr().out == "3 of 3 problems in 0 s\n"


@pytest.mark.parametrize("criterion", ["bic", "aic", "icl"])
def test_number_of_components_is_chosen(criterion: str) -> None:
    """Each problem has the candidate with the lowest criterion, and the values of all."""
    tables = [*(X for X in ragged(12) if len(X) > 25), np.random.default_rng(1).normal(size=(50, 2))]
    fits = fit_many(tables, [1, 2, 3], criterion=criterion, covariance_type="tied", random_state=3)
    for i, X in enumerate(tables):
        singles = [alone(X, k, covariance_type="tied") for k in (1, 2, 3)]
        values = [getattr(single, criterion)(X) for single in singles]
        np.testing.assert_allclose(fits.scores_[i], values, rtol=1e-13)
        assert_same(fits, i, singles[int(np.argmin(values))])
    equal = np.array([0.0, 0.0, 0.0, 1.0, 2.0, 5.0])  # two components gain by collapsing onto equal rows
    assert alone(equal[:, None], 2).bic(equal[:, None]) < alone(equal[:, None], 1).bic(equal[:, None])
    assert fit_many([equal], [1, 2], random_state=3).n_components_[0] == 1
    assert fits.n_components_[-1] == 1 and (fits.n_components_[:-1] == 2).mean() > 0.5


def test_weights_and_starts_of_each_problem() -> None:
    """In the form of the tables."""
    tables = ragged(4)
    rng = np.random.default_rng(5)
    weights = [rng.integers(1, 4, size=len(X)).astype(float) for X in tables]
    starts = [rng.integers(2, size=len(X)) for X in tables]
    fits = fit_many(tables, 2, sample_weight=weights, init_params=starts, random_state=3)
    for i, X in enumerate(tables):
        assert_same(fits, i, alone(X, weights=weights[i], init_params=starts[i]))


def test_order_of_components() -> None:
    """By the first mean or by weight, whatever else belongs to a component with it."""
    tables = ragged(20)
    plain = fit_many(tables, 3, random_state=3)
    by_mean = fit_many(tables, 3, order="mean", random_state=3)
    by_weight = fit_many(tables, 3, order="weight", random_state=3)
    assert (np.diff(by_mean.means_[:, :, 0], axis=1) >= 0).all() and (np.diff(by_weight.weights_, axis=1) <= 0).all()
    assert not (np.diff(plain.means_[:, :, 0], axis=1) >= 0).all()
    for i, X in enumerate(tables):
        np.testing.assert_allclose(by_mean[i].score_samples(X), plain[i].score_samples(X), rtol=1e-12)
        np.testing.assert_allclose(by_mean[i].precisions_ @ by_mean[i].covariances_, [np.eye(2)] * 3, atol=1e-8)


def test_seeds() -> None:
    """One integer serves all; a generator gives each problem a seed of its own, the same in each run."""
    X = np.random.default_rng(0).normal(size=(60, 2))
    one = fit_many([X] * 4, 4, random_state=0)
    assert all((one.means_[i] == one.means_[0]).all() for i in range(4))
    drawn = [fit_many([X] * 4, 4, random_state=np.random.default_rng(0), n_threads=n) for n in (1, 2)]
    np.testing.assert_array_equal(drawn[0].means_, drawn[1].means_)
    assert len({drawn[0].means_[i].tobytes() for i in range(4)}) > 1


def test_what_is_wrong_with_a_problem() -> None:
    """Few rows, constants, NaN, infinity: a status, and no loss of the others."""
    good = ragged(2)
    bad = [
        good[0][:1],
        np.ones((9, 2)),
        np.full((9, 2), np.nan),
        np.where(np.eye(9, 2) > 0, np.inf, 1.0),
        np.empty((0, 2)),
    ]
    fits = fit_many([good[0], *bad, good[1]], 2, random_state=3)
    assert [s.split(":")[0] for s in fits.status_] == [
        "ok", "few rows", "constant", "NaN", "infinite", "few rows", "ok",
    ]  # fmt: skip
    assert list(fits.n_components_ > 0) == [True, False, True, False, False, False, True]
    assert_same(fits, 6, alone(good[1]))
    with pytest.raises(ValueError, match="Problem 1 has no mixture: few rows"):
        fits[1]
    labels = fits.predict([good[0], *bad, good[1]])
    assert [len(one) for one in labels[:4]] == [len(good[0]), 1, 9, 9] and (labels[3] == -1).all()
    assert np.isnan(fits.predict_proba([good[0], *bad, good[1]])[4]).all()
    assert "5 problems" not in repr(fits) and repr(fits).startswith("Fits(7 problems:")
    slow = fit_many(good, 2, max_iter=1, tol=0, random_state=3)
    assert list(slow.status_) == ["not converged"] * 2
    collapsed = np.concatenate([good[0], np.repeat(good[0][:1] + 9, 9, axis=0)])
    assert fit_many([collapsed], 3, reg_covar=0, random_state=3).status_[0] == "repaired"


def test_rows_with_gaps() -> None:
    """They are an error of the problem, are dropped, or are missing at random."""
    X = ragged(1)[0]
    X[3, 1] = np.nan
    assert fit_many([X], 2).status_[0] == "NaN"
    kept = np.delete(X, 3, axis=0)
    fits = fit_many([X], 2, missing="drop", random_state=3)
    assert_same(fits, 0, alone(kept))
    labels, shares, scores = fits.predict([X])[0], fits.predict_proba([X])[0], fits.score_samples([X])[0]
    assert labels[3] == -1 and np.isnan(shares[3]).all() and np.isnan(scores[3])
    np.testing.assert_array_equal(np.delete(shares, 3, axis=0), fits[0].predict_proba(kept))
    with pytest.raises(ValueError, match="Problem 0: Input X contains infinity"):
        fits.predict([np.where(np.isnan(X), np.inf, X)])
    assert_same(fit_many([X], 2, missing="em", random_state=3), 0, alone(X, missing="em"))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"X": []}, ValueError, "no table"),
        ({"X": np.zeros((4, 5))}, ValueError, "of shape .4, 5.*X\\[:, :, None\\]"),
        ({"X": 3.0}, ValueError, "a float"),
        ({"X": [np.zeros((5, 2)), np.zeros((5, 3))]}, ValueError, "2 in problem 0, 3 in problem 1"),
        ({"groups": [0, 1]}, ValueError, "shape .2,. for 12 rows"),
        ({"groups": [0, 5, 11]}, ValueError, "from 0 to 12"),
        ({"n_components": 0}, ValueError, "ints from 1"),
        ({"criterion": "cv"}, ValueError, "criterion='cv'"),
        ({"order": "name"}, ValueError, "order='name'"),
        ({"on_error": "ignore"}, ValueError, "on_error='ignore'"),
        ({"means_init": [[0.0]]}, TypeError, "no means_init"),
        ({"callback": print}, TypeError, "no callback"),
        ({"tol": -1.0}, ValueError, "'tol' parameter"),
        ({"tolerance": 1.0}, TypeError, "no argument 'tolerance'"),
        ({"X": {"a": [1.0, 2.0]}}, TypeError, "X is a dict"),
        ({"groups": "sample"}, ValueError, "not the name of a column"),
        ({"groups": [0.0, np.nan] * 6}, ValueError, "nan for row 1"),
        ({"groups": ["a", None] * 6}, ValueError, "None for row 1"),
        ({"sample_weight": [1.0]}, ValueError, "1 values for 12 rows"),
        ({"X": [np.zeros((5, 2))] * 3, "sample_weight": [np.ones(5)]}, ValueError, "1 values for 3 tables"),
        ({"X": iter([np.zeros((5, 2))] * 3), "sample_weight": iter([np.ones(5)])}, ValueError, "fewer parts"),
        ({"X": [np.zeros((5, 2))], "sample_weight": 3.0}, TypeError, "3.0 is given for a list"),
        ({"X": np.zeros((3, 5, 1)), "sample_weight": np.ones((5, 3))}, ValueError, "shape .5, 3. for tables"),
        ({"X": np.zeros((3, 5, 0))}, ValueError, "no features"),
        ({"groups": np.array([0, 500, 10, 12], np.uint64)}, ValueError, "from 0 to 12"),
        ({"groups": np.array([0, 10, 5, 12], np.uint8)}, ValueError, "from 0 to 12"),
        ({"missing": "Drop"}, ValueError, "missing='Drop'"),
        ({"n_threads": -1}, ValueError, "'n_threads' parameter"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    """What the caller got wrong is an error of the call, with the value seen and a remedy."""
    rows = np.random.default_rng(0).normal(size=(12, 2))
    given = {"X": rows, "n_components": 1, **({} if "X" in arguments else {"groups": [0] * 6 + [1] * 6}), **arguments}
    with pytest.raises(error, match=message):
        fit_many(given.pop("X"), given.pop("n_components"), **given)


def test_errors_are_raised_if_asked_for() -> None:
    """The first problem that cannot be fitted is named."""
    with pytest.raises(ValueError, match="Problem 1 cannot be fitted: it has fewer rows than 2"):
        fit_many([np.arange(5.0), np.zeros(1)], 1, on_error="raise")


def test_other_tables_than_those_fitted() -> None:
    """Answers are for as many tables, or for groups of the same names."""
    tables = ragged(3)
    fits = fit_many(tables, 1)
    with pytest.raises(ValueError, match="more tables than the 3 problems"):
        fits.predict([*tables, tables[0]])
    with pytest.raises(ValueError, match="2 tables for 3 problems"):
        fits.predict(tables[:2])
    grouped = fit_many(np.arange(6.0), 1, groups=list("aaabbb"))
    with pytest.raises(ValueError, match="No problem is called 'c'"):
        grouped.predict(np.arange(2.0), groups=["a", "c"])


def test_data_frame() -> None:
    """A line for each problem, with the labels of groups as the index."""
    pytest.importorskip("pandas")
    fits = fit_many(np.arange(6.0), [1, 2], groups=list("aaabbb"), random_state=0)
    frame = fits.to_pandas()
    assert list(frame.index) == ["a", "b"] and frame.loc["b", "mean_0_0"] == 4.0
    assert list(frame.columns[:6]) == ["status", "n_samples", "n_components", "set_aside", "weight_0", "weight_1"]
    assert {"bic_1", "bic_2", "converged"} <= set(frame.columns)
    np.testing.assert_allclose(frame["sd_0_0"], np.sqrt(2 / 3), rtol=1e-5)
    assert np.isnan(frame["sd_1_0"]).all()


@pytest.mark.parametrize("structure", ["full", "tied", "diag", "spherical"])
def test_standard_deviations(structure: str) -> None:
    """Those of the covariances of each mixture."""
    pytest.importorskip("pandas")
    fits = fit_many(ragged(5), [1, 2], covariance_type=structure, random_state=3)
    frame = fits.to_pandas()
    for i, mixture in enumerate(fits):
        assert mixture is not None
        for k in range(mixture.n_components):
            one = mixture.marginal([1]).covariances_ if structure != "spherical" else mixture.covariances_[:, None]
            variance = one.ravel()[0 if structure == "tied" else k]
            np.testing.assert_allclose(frame[f"sd_{k}_1"][i], np.sqrt(variance), rtol=1e-12)


def test_rows_of_data_frames() -> None:
    """Columns keep their names and their order, labels their index; a series is a table of one feature."""
    pandas = pytest.importorskip("pandas")
    X = np.concatenate(ragged(3))
    frame = pandas.DataFrame({"sample": np.arange(len(X)) % 3, "red": X[:, 0], "green": X[:, 1]})
    columns, labels = frame[["red", "green"]], frame["sample"]
    fits = fit_many(columns, 1, groups=labels)
    assert list(fits[0].feature_names_in_) == ["red", "green"] == list(fits.feature_names_)
    assert "mean_0_green" in fits.to_pandas()
    with warnings.catch_warnings(action="error"):
        fits[0].predict(columns)
    with pytest.raises(ValueError, match=r"'green', 'red'.*'red', 'green'"):
        fits.predict(columns[["green", "red"]], labels)
    with pytest.raises(ValueError, match="another index"):
        fit_many(columns, 1, groups=labels.sort_values())
    np.testing.assert_allclose(fit_many([frame["red"]], 1).means_[0, 0, 0], frame["red"].mean(), rtol=1e-12)
    with pytest.raises(TypeError, match="groupby object"):
        fit_many(frame.groupby("sample"), 1)


def test_collapsed_components() -> None:
    """Where equal rows are a component, fewer components are chosen, and it is told; or the status says so."""
    counts = np.concatenate([np.zeros(40), np.random.default_rng(0).gamma(3.0, size=30)])
    chosen = fit_many([counts, np.sort(ragged(1, 1)[0], axis=0)], [1, 2], random_state=3)
    assert list(chosen.n_components_) == [1, 2] and list(chosen.set_aside_) == [2, 0]
    assert list(chosen.status_) == ["ok", "ok"] and chosen.scores_[0, 1] < chosen.scores_[0, 0]
    assert fit_many([counts], 2, random_state=3).status_[0] == "collapsed"
    all_collapsed = fit_many([counts], [3, 2], random_state=3)
    assert all_collapsed.n_components_[0] == 2 and all_collapsed.status_[0] == "collapsed"


def test_what_was_fitted_survives_an_interrupt() -> None:
    """An error of the iterator, or Ctrl-C, carries what was done."""

    def tables() -> Any:
        yield from [np.random.default_rng(0).normal(size=(3000, 1))] * 60
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        fit_many(tables(), 1, n_threads=1)
    assert isinstance(caught.value.fits, Fits) and 30 < len(caught.value.fits) < 60  # type: ignore[attr-defined]


def test_problems_by_number() -> None:
    """Numbers of any kind, from either end; anything else is refused."""
    fits = fit_many(ragged(3), 1)
    assert fits[np.int64(2)].means_.tobytes() == fits[-1].means_.tobytes()
    with pytest.raises(IndexError, match="no problem 3"):
        fits[3]
    with pytest.raises(TypeError, match=r"'a'.*numbers from 0 to 2"):
        fits["a"]  # type: ignore[index]
    with pytest.raises(ValueError, match="read-only"):
        fits.means_[0] = 1


def test_iterators_are_not_held_whole() -> None:
    """Tables are read as they are needed, and let go."""
    alive, most = 0, 0

    class Table(np.ndarray):
        def __array_finalize__(self, _: Any) -> None:
            return

        def __del__(self) -> None:
            nonlocal alive
            alive -= self.base is None

    def tables() -> Any:
        nonlocal alive, most
        for _ in range(400):
            table = np.random.default_rng(0).normal(size=(1000, 2)).copy().view(Table).copy()
            alive += 1
            most = max(most, alive)
            yield table

    assert len(fit_many(tables(), 1, n_threads=1)) == 400
    assert most < 80


def test_public_names() -> None:
    """fit_many and Fits are names of the package."""
    assert fastgmm.fit_many is fit_many and fastgmm.Fits is Fits


def test_odd_tables_lose_no_others() -> None:
    """Ragged rows, objects, empty tables, weights of other lengths, starts that raise."""
    good = ragged(2)

    class Broken:
        def __array__(self, *_: Any, **__: Any) -> Array:
            raise RuntimeError("no array")

    odd: list[Any] = [[[1, 2], [3]], Broken(), None, [], np.empty((5, 0)), "abc"]
    fits = fit_many([good[0], *odd, good[1]], 1, random_state=3)
    assert list(fits.n_components_) == [1, 0, 0, 0, 0, 0, 0, 1] and "no array" in fits.status_[2]
    assert fits.status_[4] == "few rows"
    labels = fits.predict([good[0], *odd, good[1]])
    assert [len(one) for one in labels[1:7]] == [2, 0, 0, 0, 5, 0] or len(labels) == 8
    np.testing.assert_array_equal(labels[7], fits[7].predict(good[1]))
    gaps = good[0].copy()
    gaps[0] = np.nan
    weighted = fit_many([gaps, good[1]], 1, missing="drop", sample_weight=[np.ones(3), np.ones(len(good[1]))])
    assert list(weighted.n_components_) == [0, 1]

    def start(X: Array, *_: Any) -> Array:
        if len(X) == len(good[0]):
            raise IndexError("no start")
        return np.zeros(len(X), int)

    assert list(fit_many(good, 1, init_params=start).status_) == ["IndexError: no start", "ok"]


def test_what_is_given_for_some_tables() -> None:
    """None for a table is nothing given; what is masked or complex is refused as by single fits."""
    tables, rng = ragged(3), np.random.default_rng(0)
    weights = [None, rng.integers(3, size=len(tables[1])), None]
    fits = fit_many(tables, 2, sample_weight=weights, random_state=3)
    for i, X in enumerate(tables):
        assert_same(fits, i, alone(X, weights=weights[i]))
    masked = np.ma.masked_array(np.ones(len(tables[0])), np.arange(len(tables[0])) < 2)
    assert "masked" in fit_many(tables[:1], 1, sample_weight=[masked]).status_[0]
    assert "complex" in fit_many(tables[:1], 1, sample_weight=[masked.data + 1j]).status_[0]
    few = fit_many([np.arange(6.0)], [1, 4], sample_weight=[[1, 1, 1, 0, 0, 0]])
    assert few.n_components_[0] == 1 and np.isnan(few.scores_[0, 1])
    assert fit_many([np.arange(3.0)], [4, 1], n_init=2).n_components_[0] == 1
    stack = rng.normal(size=(4, 30, 2))
    shares = rng.dirichlet(np.ones(2), size=(4, 30))
    started = fit_many(stack, 2, init_params=shares, random_state=3)
    for i, X in enumerate(stack):
        assert_same(started, i, alone(X, init_params=shares[i]))
    gaps = stack[0].copy()
    gaps[4, 0], labels = np.nan, np.arange(30) % 2
    dropped = fit_many([gaps], 2, missing="drop", init_params=[labels], random_state=3)
    assert_same(dropped, 0, alone(np.delete(gaps, 4, axis=0), init_params=np.delete(labels, 4)))


def test_iterators_may_use_their_memory_again() -> None:
    """Tables are copied as they come."""

    def tables() -> Any:
        table = np.empty((50, 2))
        for i in range(5):
            table[:] = np.random.default_rng(i).normal(size=(50, 2)) + 10 * i
            yield table

    fits = fit_many(tables(), 1)
    np.testing.assert_allclose(fits.means_[:, 0, 0], 10 * np.arange(5), atol=0.5)
    assert np.mean(fits.score_samples(tables())) > -4


def test_labels_and_offsets_are_not_mistaken() -> None:
    """Labels are those of the fit; where it had none, offsets are asked for."""
    X = np.arange(60.0)[:, None]
    fits = fit_many(X, 1, groups=[0, 20, 40, 60])
    with pytest.raises(ValueError, match="had no labels"):
        fits.score_samples(X, groups=np.repeat([0, 1, 2], 20))
    days = np.repeat(np.array(["2020-01-01", "2020-01-02"], "datetime64[D]"), 30)
    dated = fit_many(X, 1, groups=days)
    assert len(dated.predict(X, groups=days.astype("datetime64[ns]"))) == 60


def test_mixtures_are_copies() -> None:
    """What is done to one does not change the others, ordinary or not."""
    fits = fit_many([ragged(1)[0], np.repeat([[1.0, 2.0], [3.0, 4.0]], 5, axis=0)], 2, random_state=3)
    for i in range(2):
        before = fits[i].means_.copy()
        fits[i].means_[:] += 100
        np.testing.assert_array_equal(fits[i].means_, before)


def test_ctrl_c_does_not_wait_for_a_batch() -> None:
    """Other threads leave off after the problem that they are at."""
    done: list[int] = []

    def start(X: Array, *_: Any) -> Array:
        done.append(len(X))
        if len(done) == 3:
            raise KeyboardInterrupt
        return np.zeros(len(X), int)

    with pytest.raises(KeyboardInterrupt):
        fit_many(np.zeros((4000, 8, 1)) + np.arange(8.0)[:, None], 1, init_params=start, n_threads=2)
    assert len(done) < 400
