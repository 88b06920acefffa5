"""How many dead letters are borne: a worker that rejects nearly everything stops instead of draining a topic into them.

Pure. Counted per topic over a sliding window of its latest events: a short burst in a long stream is borne, and so is a small
topic whatever is in it.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import NoReturn

from contracts.errors import DataGateError

MINIMUM_SHARE_OF_WINDOW = 0.1  # of the window must have been seen before a share means anything


@dataclass(frozen=True, slots=True)
class Taken:
    """What one batch was: events of every kind, and of them the dead ones by reason."""

    events: int
    dead: Counter[str]


@dataclass(slots=True)
class Budget:
    """The dead letters of one topic. Over budget when more than `share` of the latest `window` events are dead; 1.0: never."""

    share: float
    window: int
    _batches: deque[Taken] = field(default_factory=deque)
    _events: int = 0
    _dead: Counter[str] = field(default_factory=Counter)

    def take(self, batch: Taken) -> bool:
        """Counts a batch. Whether the budget still holds."""
        self._batches.append(batch)
        self._events += batch.events
        self._dead.update(batch.dead)
        while self._events - self._batches[0].events >= self.window:
            oldest = self._batches.popleft()
            self._events -= oldest.events
            self._dead -= oldest.dead
        return self._events < self.window * MINIMUM_SHARE_OF_WINDOW or self.dead <= self.share * self._events

    @property
    def dead(self) -> int:
        """Dead letters in the window."""
        return self._dead.total()

    def refuse(self, topic: str, example: str) -> NoReturn:
        """Says that the budget does not hold. `example` is the place of a refused event, partition:offset."""
        reasons = ", ".join(f"{count} {reason}" for reason, count in self._dead.most_common())
        raise DataGateError(
            f"{self.dead} of the latest {self._events} events of {topic} break their contract: {reasons}",
            doing=f"reading {topic}, at {example}",
            why=f"more than {self.share:.0%} of them are refused; that batch is neither written nor acknowledged",
            hint="Set the producer right (docs/events.md, `./rd360 stream dlq list`), or raise RD360_DEAD_LETTER_SHARE "
            "(1: no limit) to have them set aside and go on.",
        )
