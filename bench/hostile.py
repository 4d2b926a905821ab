"""Hostile tables and random ways to fit them, for `around.py`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from fastgmm.fitting.starts import METHODS
from fastgmm.model.structures import LAYOUTS

Array = np.ndarray[Any, Any]

NAMES = ("a b", "0", "é", "=1", "x,y", "index", "Inf", "naïve \U0001f600", "'q'", "label?")


class Case(NamedTuple):
    """Rows and how they are passed, weights, arguments, and what is bad about them."""

    seed: int
    X: Array
    form: Callable[[Array, list[str]], Any]
    names: list[str]
    weights: Array | None
    options: dict[str, Any]
    bad: list[str]

    @property
    def rng(self) -> np.random.Generator:
        """A generator for one check, whatever others draw."""
        return np.random.default_rng(self.seed + 10**9)

    def rows(self, chosen: Any = slice(None), features: Any = slice(None)) -> Any:
        """Some of the rows, in the form in which they are passed."""
        return self.form(self.X[chosen][:, features], list(np.array(self.names, dtype=object)[features]))


def draw(seed: int, kinds: Sequence[str] = tuple(LAYOUTS)) -> Case:
    """A hostile table and a way to fit it, with one of some covariance types."""
    rng = np.random.default_rng(seed)
    n, d = int(rng.integers(2, 80)), int(rng.integers(1, 7))
    X = rng.normal(size=(n, d)) + rng.integers(0, 3, size=(n, 1)) * rng.normal(scale=3.0, size=d)
    bad = [str(name) for name in rng.choice(list(BAD), size=rng.integers(0, 4), replace=False)]
    for name in bad:
        X = BAD[name](rng, X)
    dtype = str(rng.choice(["float64", "float64", "float32", "int64", "bool"], p=[0.3, 0.25, 0.3, 0.1, 0.05]))
    if dtype in ("int64", "bool"):
        X = np.clip(np.nan_to_num(X), -(2.0**60), 2.0**60)
    form = str(rng.choice([name for name in FORMS if dtype != "bool" or name != "other byte order"]))
    if dtype == "float32":
        X = np.clip(X, -1e37, 1e37)
    X = X.astype(dtype)
    gaps = X.dtype.kind == "f" and bool(rng.random() < 0.25)
    if gaps:
        X[rng.random(X.shape) < rng.choice([0.02, 0.3])] = np.nan
    k = int(rng.choice([1, 2, 3, len(X) // 4 + 1, len(X), len(X) + 1], p=[0.2, 0.3, 0.3, 0.1, 0.08, 0.02]))
    weights = [None, None, rng.integers(0, 4, size=len(X)), rng.exponential(size=len(X)) * 10.0 ** rng.integers(-9, 9)]
    options = {
        "n_components": k,
        "covariance_type": str(rng.choice(kinds)),
        "reg_covar": [0.0, 1e-6, "auto"][int(rng.integers(3))],
        "init_params": [*METHODS, rows_apart][int(rng.integers(len(METHODS) + 1))],
        "tol": [1e-3, 1e-9][int(rng.integers(2))],
        "max_iter": [0, 1, 30, 30][int(rng.integers(4))],
        "n_init": int(rng.integers(1, 3)),
        "acceleration": [None, "squarem"][int(rng.integers(2))],
        "convergence": str(rng.choice(["likelihood", "parameters", "aitken"])),
        "degenerate": str(rng.choice(["repair", "repair", "repair", "raise"])),
        "warm_start": bool(rng.random() < 0.2),
        "missing": "em" if gaps or rng.random() < 0.1 else "raise",
        "random_state": seed,
        "n_threads": 1,
    }
    names = [str(name) for name in rng.permutation(NAMES)[: X.shape[1]]]
    names += [f"x{i}" for i in range(len(names), X.shape[1])]
    bad += [dtype, form, *(["gaps"] if gaps else [])]
    return Case(seed, X, FORMS[form], names, weights[int(rng.integers(4))], options, bad)


def rows_apart(X: Array, n_components: int, _: Any) -> Array:
    """A start of one's own: means at rows spread over the table."""
    return X[np.linspace(0, len(X) - 1, n_components).astype(int)]


def some(rng: np.random.Generator, X: Array) -> Array:
    """Which columns are bad: one at least."""
    chosen = rng.random(X.shape[1]) < 0.5
    chosen[rng.integers(X.shape[1])] = True
    return chosen


def filled(rng: np.random.Generator, X: Array) -> Array:
    """Fill values of climate files."""
    return np.where(rng.random(X.shape) < 0.05, rng.choice([1e20, 9.969209968386869e36, -9999.0]), X)


def one_hot(rng: np.random.Generator, X: Array) -> Array:
    """Columns that say which of some kinds a row is, beside the first."""
    return np.column_stack([X[:, 0], np.eye(3)[rng.integers(3, size=len(X))]])


BAD: dict[str, Callable[[np.random.Generator, Array], Array]] = {
    "constant": lambda rng, X: np.where(some(rng, X), rng.choice([0.0, 1.0, -7.3, 1e5], size=X.shape[1]), X),
    "one-hot": one_hot,
    "half zeros": lambda rng, X: np.where(rng.random(X.shape) < 0.5, 0.0, X),
    "repeated": lambda rng, X: X[rng.integers(0, len(X) // int(rng.integers(2, 20)) + 1, size=len(X))],
    "whole": lambda rng, X: np.round(X),
    "tiny": lambda rng, X: np.where(some(rng, X), X * 10.0 ** -rng.integers(17, 151), X),
    "huge": lambda rng, X: np.where(some(rng, X), X * 10.0 ** rng.integers(10, 151), X),
    "mixed units": lambda rng, X: X * 10.0 ** rng.integers(-9, 10, size=X.shape[1]),
    "other units": lambda rng, X: X * 10.0 ** rng.integers(-16, 17),
    "collinear": lambda rng, X: np.column_stack([X, X @ rng.normal(size=X.shape[1])]),
    "heavy tails": lambda rng, X: X * np.abs(rng.standard_cauchy(size=(len(X), 1))) ** 2,
    "fill values": filled,
    "far": lambda rng, X: X + rng.normal(size=X.shape[1]) * 1e6,
    "few rows": lambda rng, X: X[: max(2, X.shape[1] // 2)],
}


def strided(X: Array, _: list[str]) -> Array:
    """Rows and columns with others between them."""
    return np.repeat(np.repeat(X, 2, axis=0), 3, axis=1)[::2, ::3]


def read_only(X: Array, _: list[str]) -> Array:
    """Rows that nobody may write to."""
    X = X.copy()
    X.flags.writeable = False
    return X


def pandas_frame(X: Array, names: list[str]) -> Any:
    """A frame of pandas with an index of its own."""
    import pandas as pd

    return pd.DataFrame(X, columns=names, index=np.arange(len(X))[::-1])


def polars_frame(X: Array, names: list[str]) -> Any:
    """A frame of polars, NaN as nulls."""
    import polars as pl

    return pl.DataFrame(dict(zip(names, X.T, strict=True)), nan_to_null=True)


def arrow_table(X: Array, names: list[str]) -> Any:
    """A table of Arrow, NaN as nulls."""
    import pyarrow as pa

    return pa.table({name: pa.array(column, from_pandas=True) for name, column in zip(names, X.T, strict=True)})


FORMS: dict[str, Callable[[Array, list[str]], Any]] = {
    "array": lambda X, _: X,
    "Fortran": lambda X, _: np.asfortranarray(X),
    "strided": strided,
    "backward": lambda X, _: np.ascontiguousarray(X[::-1, ::-1])[::-1, ::-1],
    "read-only": read_only,
    "other byte order": lambda X, _: X.astype(X.dtype.newbyteorder()),
    "list": lambda X, _: X.tolist(),
    "pandas": pandas_frame,
    "polars": polars_frame,
    "Arrow": arrow_table,
}
