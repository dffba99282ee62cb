"""Exponentials and logarithms that the compiler can do eight or sixteen at a time; the library's own go one by one.

float32 by the polynomials of Cephes (Moshier 1989, ``expf`` and ``logf``), within 2 units in the last place; float64
by the library.
"""

import math
from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import overload

#: Below it exp(z) counts as 0: it would leave the normal numbers of float32.
LOWEST = np.float32(-87.0)
#: Remainders are taken in two steps on purpose: the order of these sums is not the compiler's to change.
AS_WRITTEN = {"fastmath": {"contract", "nsz"}, "forceinline": True}


@njit(nogil=True, **AS_WRITTEN)
def _expm1_reduced(z: Any) -> Any:
    """``(s, q)`` with ``exp(z) = s + s q``, s a power of two and ``q = expm1`` of the rest; float32, ``z < 88``."""
    z = LOWEST if z < LOWEST else z  # NaN stays NaN
    # Added to 1.5 * 2^23 a number is rounded to the nearest whole one, which then stands in the last bits.
    shifted = z * np.float32(1.4426950408889634) + np.float32(12582912.0)
    n = shifted - np.float32(12582912.0)
    r = (z - n * np.float32(0.693359375)) - n * np.float32(-2.12194440e-4)
    q = np.float32(1.9875691500e-4)
    q = q * r + np.float32(1.3981999507e-3)
    q = q * r + np.float32(8.3334519073e-3)
    q = q * r + np.float32(4.1665795894e-2)
    q = q * r + np.float32(1.6666665459e-1)
    q = q * r + np.float32(5.0000001201e-1)
    q = q * r * r + r
    s = np.int32(np.int32(np.float32(shifted).view(np.int32) + np.int32(127)) << np.int32(23)).view(np.float32)
    return s, q


def expm1_pair(z: Any) -> Any:
    """``exp(z)`` and ``expm1(z)`` for ``z <= 0``; below -87 the exponential is that of -87."""
    raise NotImplementedError("for compiled loops only")


@overload(expm1_pair, jit_options=AS_WRITTEN)
def _expm1_pair(z: Any) -> Any:
    def single(z: Any) -> Any:
        s, q = _expm1_reduced(z)
        return s + s * q, s * q + (s - np.float32(1.0))

    def double(z: Any) -> Any:
        return math.exp(z), math.expm1(z)

    return single if z == types.float32 else double


def exponential(z: Any) -> Any:
    """``exp(z)`` for ``z <= 0``."""
    raise NotImplementedError("for compiled loops only")


@overload(exponential, jit_options=AS_WRITTEN)
def _exponential(z: Any) -> Any:
    def single(z: Any) -> Any:
        s, q = _expm1_reduced(z)
        return np.float32(0.0) if z < LOWEST else s + s * q

    def double(z: Any) -> Any:
        return math.exp(z)

    return single if z == types.float32 else double


def logarithm(x: Any) -> Any:
    """Natural logarithm of a positive, normal number."""
    raise NotImplementedError("for compiled loops only")


@overload(logarithm, jit_options=AS_WRITTEN)
def _logarithm(x: Any) -> Any:
    def single(x: Any) -> Any:
        bits = np.float32(x).view(np.int32)
        # The mantissa between sqrt(1/2) and sqrt(2), so that logarithms near 0 keep their digits.
        shifted = np.int32(bits - np.int32(0x3F3504F3))
        n = np.float32(np.int32(shifted >> np.int32(23)))
        m = np.int32(np.int32(shifted & np.int32(0x007FFFFF)) + np.int32(0x3F3504F3)).view(np.float32)
        f = m - np.float32(1.0)
        z = f * f
        y = np.float32(7.0376836292e-2)
        y = y * f + np.float32(-1.1514610310e-1)
        y = y * f + np.float32(1.1676998740e-1)
        y = y * f + np.float32(-1.2420140846e-1)
        y = y * f + np.float32(1.4249322787e-1)
        y = y * f + np.float32(-1.6668057665e-1)
        y = y * f + np.float32(2.0000714765e-1)
        y = y * f + np.float32(-2.4999993993e-1)
        y = y * f + np.float32(3.3333331174e-1)
        y = y * f * z + n * np.float32(-2.12194440e-4) - np.float32(0.5) * z
        return (f + y) + n * np.float32(0.693359375)

    def double(x: Any) -> Any:
        return math.log(x)

    return single if x == types.float32 else double


def log1p(x: Any) -> Any:
    """``log(1 + x)`` for ``x > -1``."""
    raise NotImplementedError("for compiled loops only")


@overload(log1p, jit_options=AS_WRITTEN)
def _log1p(x: Any) -> Any:
    def single(x: Any) -> Any:
        u = np.float32(1.0) + x
        # What rounding took from 1 + x comes back as a first-order term (Kahan).
        return logarithm(u) + (x - (u - np.float32(1.0))) / u

    def double(x: Any) -> Any:
        return math.log1p(x)

    return single if x == types.float32 else double


@njit(nogil=True, **AS_WRITTEN)
def cube_root(x: Any) -> Any:
    """Of a positive, normal float64: the exponent by three from the bits (Kahan), then two steps of Halley's."""
    high = np.uint32(np.int64(np.float64(x).view(np.int64)) >> np.int64(32))
    y = np.int64(np.int64(np.uint32(high // np.uint32(3)) + np.uint32(715094163)) << np.int64(32)).view(np.float64)
    for _ in range(2):
        cube = y * y * y
        y = y * ((cube + (x + x)) / ((cube + cube) + x))
    cube = y * y * y
    return y * ((cube + (x + x)) / ((cube + cube) + x))
