"""Which kills a drill makes, in which order. Pure; that the places are those of `crash_points` is for a test to say."""

from __future__ import annotations

import random
from dataclasses import dataclass

RANDOM = "random"
# In a flush, from its first step to its last.
FLUSH_PLACES = ("before_flush", "in_rows", "before_changelog", "in_changelog", "after_changelog", "after_flush")
# While a worker starts, before it is ready.
START_PLACES = ("in_recovery", "in_restore", "at_assignment")
REBALANCE = "at_revocation"  # needs another worker that joins
ALL_PLACES = (*FLUSH_PLACES, *START_PLACES, REBALANCE)
QUICK_PLACES = ("before_flush", "in_changelog", "in_recovery")
NAMED_SHARE = 0.4  # of the kills are at a named place, the others at random moments


@dataclass(frozen=True, slots=True)
class Kill:
    """One kill: where, and at which pass of that place."""

    place: str
    passes: int = 1


def schedule(kills: int, places: tuple[str, ...], rng: random.Random) -> list[Kill]:
    """So many kills in random order: each place at least once, all equally often, the rest at random moments."""
    each = max(1, int(kills * NAMED_SHARE / len(places)))
    named = [Kill(place, rng.randint(1, 4) if place in FLUSH_PLACES else 1) for place in places for _ in range(each)]
    plan = named + [Kill(RANDOM)] * max(0, kills - len(named))
    rng.shuffle(plan)
    return plan
