"""What a producer sent, in numbers that the far end of the line can be held against."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from contracts.topics import INVENTORY, PRICES, SALES
from streams.producers.faults import Message


@dataclass(slots=True)
class Tally:
    """Counts of one run. Receipts, lines and units are those of valid receipts sent for the first time."""

    messages: int = 0
    receipts: int = 0
    lines: int = 0
    units: int = 0
    late: int = 0  # of the receipts: those that claim a time before that of events already sent
    duplicate_receipts: int = 0
    duplicate_lines: int = 0
    malformed: int = 0
    inventory: int = 0
    prices: int = 0
    dead_letterable: int = 0  # messages that the contract refuses
    first_event_ms: int | None = None
    last_event_ms: int | None = None

    def add(self, message: Message) -> None:
        """Counts one message."""
        self.messages += 1
        if message.kind == "malformed":
            self.malformed += 1
            self.dead_letterable += 1
            return
        if message.topic is SALES:
            self._receipt(message)
        elif message.topic is INVENTORY:
            self.inventory += 1
        elif message.topic is PRICES:
            self.prices += 1
        at: int = message.event.event_time
        self.first_event_ms = at if self.first_event_ms is None else min(self.first_event_ms, at)
        self.last_event_ms = at if self.last_event_ms is None else max(self.last_event_ms, at)

    def _receipt(self, message: Message) -> None:
        lines = message.event.lines
        if message.kind == "duplicate":
            self.duplicate_receipts += 1
            self.duplicate_lines += len(lines)
            return
        self.receipts += 1
        self.lines += len(lines)
        self.units += sum(line.quantity for line in lines)
        self.late += message.kind == "late"

    def as_dict(self) -> dict[str, Any]:
        """The counts by name."""
        return asdict(self)
