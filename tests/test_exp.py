"""The kernels' vector exp and log against exact values over their ranges.

Bound: 1.2 units in the last place of the exact result. The reference for float32 is exp in double; for float64
it is long double where that is wider (x86-64 Linux and macOS), and everywhere the correctly rounded `decimal` on
fewer points.
"""

from __future__ import annotations

from decimal import Context, Decimal
from typing import Any

import numpy as np
import pytest
from problems import DTYPES, VARIANTS

from fastgmm import kernels

CUT = {"float32": -87.0, "float64": -708.0}
ULP = 1.2
WIDE = np.finfo(np.longdouble).nmant >= 60


def evaluate(variant: str, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The kernel's exp of a contiguous array."""
    out = np.full_like(x, np.nan)
    kernels.load(variant).vector_exp(x, out)
    return out


def arguments(dtype: str) -> np.ndarray[Any, Any]:
    """The whole range evenly and at random, dense near 0, at tiny arguments and around multiples of ln 2 / 2."""
    rng = np.random.default_rng(1)
    cut = CUT[dtype]
    halves = np.arange(1, int(-cut / np.log(2)) * 2) * (-np.log(2) / 2)
    near = [halves * (1 + step * np.finfo(dtype).eps) for step in (-3, -1, 0, 1, 3)]
    x = np.concatenate(
        [
            np.linspace(cut, 0, 200_001),
            rng.uniform(cut, 0, 200_000),
            rng.uniform(-1, 0, 200_000),
            -np.logspace(-40, 0, 20_001),
            *near,
        ]
    ).astype(dtype)
    return x[(x >= np.dtype(dtype).type(cut)) & (x <= 0)]


def errors_in_ulp(x: np.ndarray[Any, Any], value: np.ndarray[Any, Any], exact: np.ndarray[Any, Any]) -> Any:
    """|value - exact| in units in the last place of the exact value in x's precision."""
    info = np.finfo(x.dtype)
    exponent = np.frexp(exact)[1]
    ulp = np.ldexp(np.ones_like(exact), np.maximum(exponent - 1 - info.nmant, info.minexp - info.nmant))
    return np.abs(value.astype(exact.dtype) - exact) / ulp


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_exp_error_in_ulp(variant: str, dtype: str) -> None:
    """At most 1.2 ulp on a million points."""
    if dtype == "float64" and not WIDE:
        pytest.skip("long double is no wider than double here; see the decimal test")
    x = arguments(dtype)
    exact = np.exp(x.astype(np.float64 if dtype == "float32" else np.longdouble))
    errors = errors_in_ulp(x, evaluate(variant, x), exact)
    worst = int(errors.argmax())
    assert errors[worst] <= ULP, f"exp({x[worst]!r}): {float(errors[worst]):.3f} ulp"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_exp_error_by_decimal(variant: str, dtype: str) -> None:
    """The same bound against correctly rounded decimal arithmetic, free of any floating-point exp."""
    x = arguments(dtype)
    x = np.random.default_rng(2).choice(x, 3000)
    value = evaluate(variant, x)
    context = Context(prec=50)
    info = np.finfo(dtype)
    for argument, got in zip(x.tolist(), value.tolist(), strict=True):
        exact = context.exp(Decimal(argument))
        exponent = max(int(np.frexp(float(exact))[1]) - 1, int(info.minexp)) - int(info.nmant)
        difference = context.subtract(Decimal(got), exact)
        ulps = abs(context.divide(difference, context.power(Decimal(2), Decimal(exponent))))
        assert ulps <= Decimal(ULP), f"exp({argument!r}): {ulps:.3f} ulp"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_exp_exact_values(variant: str, dtype: str) -> None:
    """1 exactly at both zeros and at tiny arguments, 0 below the cut and at -inf, NaN at NaN."""
    tiny = float(np.finfo(dtype).tiny)
    lowest = float(np.finfo(dtype).min)
    below = [CUT[dtype] * 1.01, 2 * CUT[dtype], -1e4, -1e30, lowest, -np.inf]
    x = np.array([0.0, -0.0, -tiny, -1e-30, *below, np.nan], dtype=dtype)
    value = evaluate(variant, x)
    assert value[:4].tolist() == [1.0] * 4
    assert value[4:-1].tolist() == [0.0] * len(below)
    assert np.isnan(value[-1])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_exp_monotone_at_the_cut(variant: str, dtype: str) -> None:
    """At the cut the value is still normal, one step below it is 0 or continues; nothing there is negative."""
    cut = np.dtype(dtype).type(CUT[dtype])
    x = np.array([np.nextafter(cut, -np.inf, dtype=dtype), cut, np.nextafter(cut, 0, dtype=dtype)], dtype=dtype)
    value = evaluate(variant, x)
    assert value[1] >= np.finfo(dtype).tiny
    assert 0 <= value[0] <= value[1] <= value[2]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_exp_independent_of_position(variant: str, dtype: str) -> None:
    """Any length and place (vector body or remainder) gives the same bits; nothing is written past the end."""
    x = arguments(dtype)[-70:]
    alone = np.concatenate([evaluate(variant, x[i : i + 1]) for i in range(len(x))])
    for length in range(len(x) + 1):
        guard = np.full(length + 1, 7.0, dtype=dtype)
        kernels.load(variant).vector_exp(x[:length].copy(), guard[:length])
        assert guard[length] == 7.0
        assert np.array_equal(guard[:length], alone[:length])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_log_error_in_ulp(variant: str, dtype: str) -> None:
    """log(x) for x >= 1, the sum over components of exp: exact 0 at 1, else at most 1 ulp of the result."""
    if dtype == "float64" and not WIDE:
        pytest.skip("long double is no wider than double here")
    rng = np.random.default_rng(3)
    near = 1 + np.logspace(-16, 0, 20_001)
    x = np.concatenate([rng.uniform(1, 2, 200_000), np.exp(rng.uniform(0, 14, 200_000)), near, np.arange(1, 20_001)])
    x = np.unique(x.astype(dtype))
    out = np.full_like(x, np.nan)
    kernels.load(variant).vector_log(x, out)
    assert x[0] == 1 and out[0] == 0
    exact = np.log(x[1:].astype(np.float64 if dtype == "float32" else np.longdouble))
    errors = errors_in_ulp(x[1:], out[1:], exact)
    worst = int(errors.argmax())
    assert errors[worst] <= 1.0, f"log({x[1 + worst]!r}): {float(errors[worst]):.3f} ulp"
