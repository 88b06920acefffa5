"""The audit's judgement of one topic partition."""

from __future__ import annotations

from lake.audit import SilverAudit, judge

PLACE = ("sales", 0)


def found(first: int, last: int, rows: int | None = None) -> dict[str, int]:
    """A row of `ranges`; with `rows` above the number of offsets some repeat, below it some are missing."""
    whole = last - first + 1
    rows = whole if rows is None else rows
    return {"first": first, "last": last, "rows": rows, "offsets": min(rows, whole)}


def test_every_offset_once_is_no_fault() -> None:
    part = judge(PLACE, (0, 10), found(0, 9), [])

    assert (part.faults, part.missing, part.repeated, part.waiting) == ([], 0, 0, 0)


def test_messages_that_bronze_has_not_read_yet_wait() -> None:
    assert judge(PLACE, (0, 15), found(0, 9), []).waiting == 5
    assert judge(PLACE, (3, 15), None, []).waiting == 12
    assert judge(PLACE, (0, 15), found(0, 9), []).faults == []


def test_messages_that_kafka_has_already_dropped_are_no_fault_where_bronze_has_them() -> None:
    assert judge(PLACE, (5, 10), found(0, 9), []).faults == []


def test_a_hole_is_named() -> None:
    part = judge(PLACE, (0, 10), found(0, 9, rows=7), [(3, 5)])

    assert part.missing == 3
    assert part.faults == ["sales/0: offsets 3 to 5 are missing"]


def test_a_head_that_kafka_has_and_bronze_has_not_is_missing() -> None:
    assert judge(PLACE, (0, 10), found(4, 9), []).faults == ["sales/0: offsets 0 to 3 are missing"]


def test_what_retention_took_before_it_was_read_is_missing() -> None:
    part = judge(PLACE, (20, 30), found(0, 9), [])

    assert part.missing == 10
    assert part.waiting == 10


def test_a_repeated_offset_is_a_fault() -> None:
    assert judge(PLACE, (0, 10), found(0, 9, rows=12), []).repeated == 2
    assert judge(PLACE, (0, 10), found(0, 9, rows=12), []).faults


def test_a_topic_that_was_made_anew_is_a_fault() -> None:
    assert judge(PLACE, (0, 4), found(0, 9), []).faults
    assert judge(PLACE, None, found(0, 9), []).faults


def test_silver_adds_up_in_messages_and_in_lines() -> None:
    sound = SilverAudit(messages_in=4, messages_out=4, lines_in=10, silver_lines=7, duplicate_lines=2, quarantined=1)
    lost = SilverAudit(messages_in=4, messages_out=4, lines_in=11, silver_lines=7, duplicate_lines=2, quarantined=1)

    assert sound.faults == []
    assert lost.faults == ["silver: 11 lines in, 10 out"]
