"""fit_many: many problems in one call, each as if it stood alone."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from problems import Array

import fastgmm
from fastgmm import Fits, GaussianMixture, fit_many

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


@pytest.mark.parametrize("criterion", ["bic", "aic", "icl"])
def test_number_of_components_is_chosen(criterion: str) -> None:
    """Each problem has the candidate with the lowest criterion, and the values of all."""
    tables = [*(X for X in ragged(12) if len(X) > 25), np.random.default_rng(1).normal(size=(50, 2))]
    fits = fit_many(tables, [1, 2, 3], criterion=criterion, covariance_type="tied", random_state=3)
    for i, X in enumerate(tables):
        singles = [alone(X, k, covariance_type="tied") for k in (1, 2, 3)]
        values = [getattr(single, criterion)(X) for single in singles]
        np.testing.assert_array_equal(fits.scores_[i], values)
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
        "ok", "few rows", "constant", "ValueError", "ValueError", "few rows", "ok",
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
    assert fit_many([X], 2).status_[0].startswith("ValueError: Input X contains NaN")
    kept = np.delete(X, 3, axis=0)
    assert_same(fit_many([X], 2, missing="drop", random_state=3), 0, alone(kept))
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
        ({"tolerance": 1.0}, TypeError, "tolerance"),
        ({"sample_weight": [1.0]}, ValueError, "1 values for 12 rows"),
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
    with pytest.raises(ValueError, match="Problem 1 cannot be fitted: it has fewer rows"):
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
    frame = fit_many(np.arange(6.0), [1, 2], groups=list("aaabbb"), random_state=0).to_pandas()
    assert list(frame.index) == ["a", "b"] and frame.loc["b", "mean_0_0"] == 4.0
    assert list(frame.columns[:4]) == ["status", "n_components", "weight_0", "weight_1"]
    assert {"bic_1", "bic_2"} <= set(frame.columns)


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
            table = np.random.default_rng(0).normal(size=(20, 1)).copy().view(Table).copy()
            alive += 1
            most = max(most, alive)
            yield table

    assert len(fit_many(tables(), 1, n_threads=1)) == 400
    assert most < 200


def test_public_names() -> None:
    """fit_many and Fits are names of the package."""
    assert fastgmm.fit_many is fit_many and fastgmm.Fits is Fits
