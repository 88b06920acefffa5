"""How the interpreter and the system give memory to a process that keeps states in it."""

from __future__ import annotations

import ctypes
import gc
import sys

_PR_SET_THP_DISABLE = 41  # <linux/prctl.h>


def calm() -> None:
    """Makes what is done about memory beside the work rare and short."""
    gc.freeze()  # the libraries stay
    gc.set_threshold(700, 10, 1000)  # the oldest generation every 1,000 passes instead of 10, which took a third of the time
    if sys.platform == "linux":
        # numpy asks for huge pages for arrays of 4 MB and more. Where memory is not free in such pieces, the system moves it
        # together first: an array of 200 MB took 0.8 s of filling so, and 0.1 s without.
        # Where this is not to be had, all goes on as slowly.
        ctypes.CDLL(None).prctl(_PR_SET_THP_DISABLE, 1, 0, 0, 0)
