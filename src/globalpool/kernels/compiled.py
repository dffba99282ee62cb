"""What compiled loops are written with: the compiler with its cache, rows of memory, and storage formats as numbers.

Imported only where Numba is installed. A cache that cannot be written is no error: the loop is then compiled once a
process.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic, overload
from numba.np.arrayobj import make_array, populate_array

#: Sums may be taken in another order than written (always the same one); NaN and infinities keep their meaning.
FAST = {"reassoc", "contract", "nsz", "arcp"}


def compiled(function: Callable[..., Any]) -> Any:
    """The loop as machine code that runs without the interpreter's lock, kept on disk where that is possible."""
    try:
        loop = njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")(function)
    except (RuntimeError, OSError):  # there is no place for a cache
        return njit(nogil=True, fastmath=FAST, error_model="numpy")(function)
    _forgive(loop)
    return loop


def _forgive(loop: Any) -> None:
    """A cache that can neither be read nor written is left alone."""
    cache = loop._cache
    load, save = cache.load_overload, cache.save_overload

    def loaded(signature: Any, context: Any) -> Any:
        try:
            return load(signature, context)
        except (OSError, EOFError):
            return None

    def saved(signature: Any, result: Any) -> None:
        try:
            save(signature, result)
        except OSError:
            cache.disable()

    cache.load_overload, cache.save_overload = loaded, saved


def inlined(function: Callable[..., Any]) -> Any:
    """A piece of loops, compiled into each that calls it."""
    return njit(nogil=True, fastmath=FAST, error_model="numpy", forceinline=True)(function)


@intrinsic
def row(context: Any, array: Any, offset: Any, length: Any) -> Any:
    """``array[offset : offset + length]`` of a flat array without the reference count a slice costs."""
    view = types.Array(array.dtype, 1, "C")

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        flat = make_array(signature.args[0])(context, builder, arguments[0])
        size = context.get_abi_sizeof(context.get_data_type(array.dtype))
        itemsize = ir.Constant(context.get_value_type(types.intp), size)
        result = make_array(view)(context, builder)
        data = builder.gep(flat.data, [arguments[1]])
        populate_array(result, data=data, shape=[arguments[2]], strides=[itemsize], itemsize=itemsize, meminfo=None)
        return result._getvalue()

    return view(array, types.intp, types.intp), build


@intrinsic
def halfway(context: Any, bits: Any) -> Any:
    """Bits of a float16 ``(int16)`` as float32."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fpext(builder.bitcast(arguments[0], ir.HalfType()), ir.FloatType())

    return types.float32(types.int16), build


def widen(value: Any) -> Any:
    """A stored number as a number: floats as they are, bfloat16 from its bits (uint16), float16 from its (int16)."""
    raise NotImplementedError("for compiled loops only")


@overload(widen)
def _widen(value: Any) -> Any:
    def floating(value: Any) -> Any:
        return value

    def brain(value: Any) -> Any:
        return np.uint32(np.uint32(value) << np.uint32(16)).view(np.float32)

    def half(value: Any) -> Any:
        return halfway(value)

    if isinstance(value, types.Float):
        return floating
    return brain if value == types.uint16 else half


@intrinsic
def _half_bits(context: Any, number: Any) -> Any:
    """A float32 rounded to the nearest float16, ties to even, as bits ``(int16)``."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(builder.fptrunc(arguments[0], ir.HalfType()), ir.IntType(16))

    return types.int16(types.float32), build


def narrow(number: Any, array: Any) -> Any:
    """A number as ``array`` stores it, rounded to the nearest, ties to even."""
    raise NotImplementedError("for compiled loops only")


@overload(narrow)
def _narrow(number: Any, array: Any) -> Any:
    def floating(number: Any, array: Any) -> Any:
        return number

    def brain(number: Any, array: Any) -> Any:
        bits = np.float32(number).view(np.uint32)
        even = np.uint32(np.uint32(bits >> np.uint32(16)) & np.uint32(1))
        rounded = np.uint32(np.uint32(bits + np.uint32(0x7FFF)) + even)
        return np.uint16(rounded >> np.uint32(16)) if number == number else np.uint16(0x7FC0)

    def half(number: Any, array: Any) -> Any:
        return _half_bits(np.float32(number))

    if isinstance(array.dtype, types.Float):
        return floating
    return brain if array.dtype == types.uint16 else half
