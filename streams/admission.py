"""Whether an event still counts for a key: not if it was read before, not if its id was, not if it is too late.

The offset fence, the seen ids and what they protect are one state record, written at once: after a crash at any point an
event that is read again changes nothing.
"""

from __future__ import annotations

import hashlib
from typing import Literal

import msgspec

Outcome = Literal["applied", "duplicate", "late", "replayed"]
NOTHING_YET = -1


class Admission(msgspec.Struct, array_like=True):
    """What each key's state begins with. `as_of` is the event time it stands at, `offset` that of the last event applied.

    `seen` maps an 8-byte digest of each event id to its event time, for as long as a repetition would not be late anyway. All
    events up to the offset `complete` are in the state, late ones too: it was made anew from the archive then.
    """

    as_of: int = NOTHING_YET
    offset: int = NOTHING_YET
    seen: dict[int, int] = msgspec.field(default_factory=dict)
    complete: int = NOTHING_YET

    def admit(self, identity: int, event_time: int, offset: int, lateness: int) -> Outcome:
        """What an event is to this key; `identity` is the digest of its id. Where it is `applied`, the state has moved on."""
        if offset <= self.offset:
            return "replayed"
        if event_time < self.as_of - lateness:
            return "late"
        if identity in self.seen:
            return "duplicate"
        self.offset = offset
        self.seen[identity] = event_time
        if event_time > self.as_of:
            self.as_of = event_time
        return "applied"

    def forget(self, lateness: int) -> None:
        """Drops the ids whose repetition would be late."""
        oldest = self.as_of - lateness
        if self.seen and min(self.seen.values()) < oldest:
            self.seen = {identity: time for identity, time in self.seen.items() if time >= oldest}


def digest(event_id: str) -> int:
    """64 bits of an event id, the same in every process."""
    return int.from_bytes(hashlib.blake2b(event_id.encode(), digest_size=8).digest())
