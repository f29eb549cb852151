"""Pickles of integer arrays, read without trust.

A pickle can run any code when it is read. This unpickler knows dictionaries, lists, text, numbers and integer
arrays; it builds the arrays itself, from plain stand-ins, so that not even NumPy's own hooks see what the
file says; everything else it refuses by name.
"""

from __future__ import annotations

import io
import math
import pickle
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pileus.errors import SourceError

_INTEGERS = frozenset({"u1", "i1", "i2", "i4", "i8", "u2", "u4", "u8"})
_MAX_DIMENSIONS = 4


def load_arrays(content: bytes, name: str) -> object:
    """What the pickle of `name` holds; Python 2 text comes as bytes. SourceError for the forbidden."""
    try:
        return _ArraysOnly(io.BytesIO(content), name).load()
    except SourceError:
        raise
    except Exception as error:
        raise SourceError(f"{name} is not a readable python batch ({error!r:.120}); get it again.") from error


def text_of(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


class PickledArray:
    """Stands for an array; `array` is set once its state was read."""

    array: NDArray[np.integer[Any]] = np.empty(0, np.uint8)

    def __setstate__(self, state: tuple[object, ...]) -> None:
        _, shape, dtype, fortran, data = state
        if not isinstance(shape, tuple) or not isinstance(dtype, _PickledDtype) or not isinstance(data, bytes):
            raise ValueError("an array that is described in an unusual way")
        if len(shape) > _MAX_DIMENSIONS or not all(isinstance(size, int) and size >= 0 for size in shape):
            raise ValueError(f"an array of shape {shape!r:.80}")
        if math.prod(shape) * dtype.real.itemsize != len(data):
            raise ValueError(f"an array of shape {shape} with {len(data)} bytes")
        self.array = np.frombuffer(data, dtype.real).reshape(shape, order="F" if fortran else "C")


class _PickledDtype:
    """Stands for an integer dtype."""

    def __init__(self, code: str) -> None:
        self.real = np.dtype(code)

    def __setstate__(self, state: tuple[object, ...]) -> None:
        order = text_of(state[1])
        if order not in "<>|" or any(part is not None for part in state[2:5]):
            raise ValueError("a dtype that is not of plain integers")
        self.real = self.real.newbyteorder(">" if order == ">" else "<")


class _ArrayType:
    """Stands for `numpy.ndarray` itself."""


def _empty_array(kind: object, shape: object, code: object) -> PickledArray:
    """`numpy.core.multiarray._reconstruct`: an empty array that is filled by its state."""
    return PickledArray()


def _integer_dtype(code: object, align: object = False, copy: object = True) -> _PickledDtype:
    """`numpy.dtype`."""
    if text_of(code) not in _INTEGERS:
        raise ValueError(f"an array of {text_of(code)!r:.20}, not of integers")
    return _PickledDtype(text_of(code))


def _latin1_bytes(text: object, encoding: object) -> bytes:
    """`_codecs.encode`: what Python 3 writes in place of bytes at protocol 2."""
    if not isinstance(text, str) or text_of(encoding) != "latin1":
        raise ValueError("bytes that are encoded in an unusual way")
    return text.encode("latin1")


_ALLOWED: dict[tuple[str, str], Callable[..., object]] = {
    ("numpy.core.multiarray", "_reconstruct"): _empty_array,
    ("numpy._core.multiarray", "_reconstruct"): _empty_array,
    ("numpy", "ndarray"): _ArrayType,
    ("numpy", "dtype"): _integer_dtype,
    ("_codecs", "encode"): _latin1_bytes,
}


_REFUSED_OPCODES = (
    pickle.BYTEARRAY8,
    pickle.NEXT_BUFFER,
    pickle.EXT1,
    pickle.EXT2,
    pickle.EXT4,
    pickle.INST,
    pickle.OBJ,
)
"""No batch has them; the first takes as much memory as the file says before looking for that much."""


def _build(unpickler: _ArraysOnly) -> None:
    """State is given to the stand-ins only, never to a function or class."""
    target = unpickler.stack[-2]  # type: ignore[attr-defined]  # the stubs name no internals
    if not isinstance(target, PickledArray | _PickledDtype):
        raise ValueError(f"state for {target!r:.80}")
    unpickler.load_build()  # type: ignore[attr-defined]


class _ArraysOnly(pickle._Unpickler):
    """Python's own unpickler in Python: the one in C can be asked for gigabytes of memo by five bytes."""

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = {
        **{code: load for code, load in pickle._Unpickler.dispatch.items() if bytes([code]) not in _REFUSED_OPCODES},
        pickle.BUILD[0]: _build,
    }

    def __init__(self, file: io.BytesIO, name: str) -> None:
        super().__init__(file, encoding="bytes")
        self._name = name

    def find_class(self, module: str, name: str) -> object:
        if (module, name) not in _ALLOWED:
            raise SourceError(
                f"{self._name} asks for {module}.{name}, which no array needs and could run code; refused."
            )
        return _ALLOWED[module, name]

    def persistent_load(self, pid: object) -> object:
        raise SourceError(f"{self._name} asks for an object outside itself ({pid!r:.80}); refused.")
