"""Functions of numbers and arrays as machine code, most of which runs without the interpreter's lock.

Each is compiled when it is first called, not when its module is imported. The machine code is kept for the processes after it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

from numba import config, njit

PACKAGES = ("contracts", "featurestore", "streams")  # where compiled functions are, and the numbers that they have from elsewhere
Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """The same function, compiled. It may call other compiled functions, and nothing else of Python."""
    # Functions are put into those that call them: each call that is left counts all arrays of a state as used, and as unused.
    return cast("Function", njit(nogil=True, cache=True, forceinline=True)(function))


def compiled_briefly(function: Function) -> Function:
    """The same, compiled, of what takes a millisecond: it keeps the interpreter's lock, which takes longer to get back."""
    return cast("Function", njit(nogil=False, cache=True, forceinline=True)(function))


def _cache() -> Path:
    """A folder of this source's own: numba looks for changes in a function's own module alone, not in those it takes from."""
    here = Path(__file__).parent
    digest = hashlib.sha256()
    for package in PACKAGES:
        for source in sorted((here.parent / package).glob("*.py")):
            digest.update(source.read_bytes())
    return here / "__pycache__" / f"compiled-{digest.hexdigest()[:16]}"


config.CACHE_DIR = str(_cache())  # type: ignore[attr-defined]  # numba makes its settings when it is imported
