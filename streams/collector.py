"""How the garbage collector is set where states are kept in memory."""

from __future__ import annotations

import gc


def calm_collector() -> None:
    """Makes whole passes of the garbage collector rare: each walks over all cached states, which are no cycles."""
    gc.freeze()  # the libraries stay
    gc.set_threshold(700, 10, 1000)  # the oldest generation every 1,000 passes instead of 10, which took a third of the time
