"""Whether what was set aside as late had to be, and what was taken could be: judged from the arrivals alone. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from tests.drills.arrival import Key, Sent, keys_of

Place = tuple[int, int, str, str]  # partition, offset, store_id, product_id


@dataclass(slots=True)
class Lateness:
    """Messages planned to be late, by what became of them, and the faults found: message × keys on the wrong side.

    A key stands at the latest event time it has heard, or further where time alone has moved it, but no further than its
    partition. So a message behind the first must be set aside, and one not behind the second must not.
    """

    planned: int = 0
    all_taken: int = 0  # no key had moved on
    set_aside: int = 0  # by at least one of their keys
    keys_set_aside: int = 0
    wrongly_taken: int = 0
    wrongly_set_aside: int = 0


def account(sent: Iterable[Sent], late: Mapping[str, Collection[Place]], lateness_ms: int) -> Lateness:
    """What became of the late ones, given the keys set aside by kind of topic. `sent` is in the order of sending."""
    found = Lateness()
    heard: dict[tuple[str, Key], int] = {}
    watermark: dict[tuple[str, int], int] = {}
    for one in sent:
        partition = (one.topic.kind, one.partition)
        aside = 0
        for key in keys_of(one.event):
            is_aside = (one.partition, one.offset, *key) in late.get(one.topic.kind, ())
            behind_key = one.event.event_time < heard.get((one.topic.kind, key), 0) - lateness_ms
            behind_all = one.event.event_time < watermark.get(partition, 0) - lateness_ms
            found.wrongly_taken += behind_key and not is_aside
            found.wrongly_set_aside += is_aside and not behind_all
            aside += is_aside
            heard[one.topic.kind, key] = max(heard.get((one.topic.kind, key), 0), one.event.event_time)
        watermark[partition] = max(watermark.get(partition, 0), one.event.event_time)
        found.keys_set_aside += aside
        if one.kind == "late":
            found.planned += 1
            found.set_aside += aside > 0
            found.all_taken += aside == 0
    return found
