"""What the lake's drill sends: a retailer's events, some twice and some late, and one of every malformed message."""

from __future__ import annotations

from collections.abc import Sequence

from contracts.events import Receipt
from contracts.settings import Settings
from tests.drills.arrival import Sent
from tests.lake_world import Message, faults


def shares(settings: Settings, sent: Sequence[Sent], number: int) -> list[list[Message]]:
    """The messages in so many shares of about the same size, in order."""
    ends = [len(sent) * (at + 1) // number for at in range(number)]
    return [_share(settings, sent[start:end]) for start, end in zip([0, *ends], ends, strict=False)]


def _share(settings: Settings, sent: Sequence[Sent]) -> list[Message]:
    """The malformed ones stand last: some of them are variations of a receipt that has to come first."""
    messages = [Message(one.topic.kind, one.key.decode(), one.value, one.kind) for one in sent]
    receipts = [one.event for one in sent if isinstance(one.event, Receipt)]
    return messages + (faults(settings, receipts[-1]) if receipts else [])
