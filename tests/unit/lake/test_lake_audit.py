"""The audit's judgement of one topic partition."""

from __future__ import annotations

from collections.abc import Sequence

from lake import audit
from lake.audit import PartitionAudit, Unread
from lake.repeats import Copy, Repeat
from lake.silver_audit import SilverAudit, SilverPartition, SilverPlace
from lake.spans import Span

PLACE = ("sales", 0)


def found(first: int, last: int, rows: int | None = None) -> dict[str, int]:
    """A row of `ranges`; with `rows` above the number of offsets some repeat, below it some are missing."""
    whole = last - first + 1
    rows = whole if rows is None else rows
    return {"first": first, "last": last, "rows": rows, "offsets": min(rows, whole)}


def judge(place: tuple[str, int], kafka: Span | None, row: dict[str, int] | None, gaps: Sequence[Span]) -> PartitionAudit:
    """Judged as where Kafka has a message in every gap that it still holds, and no loss was accepted."""
    if row is None:
        return audit.judge(place, kafka, None, Unread())
    unread = audit.unread_spans(row, kafka, gaps)
    return audit.judge(place, kafka, row, Unread(unread, unread))


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


def test_offsets_at_which_kafka_has_no_message_are_void_and_not_missing() -> None:
    part = audit.judge(PLACE, (0, 10), found(0, 8, rows=5), Unread([(2, 3), (5, 6)], filled=[(5, 5)], void_end=True))

    assert (part.void, part.missing_ranges, part.waiting) == (4, [(5, 5)], 0)
    assert part.faults == ["sales/0: offsets 5 to 5 are missing"]


def test_void_offsets_cannot_be_told_from_missing_ones_once_kafka_has_dropped_them() -> None:
    part = audit.judge(PLACE, (3, 10), found(0, 9, rows=7), Unread([(2, 4)]))

    assert (part.void, part.missing_ranges) == (2, [(2, 2)])


def test_what_kafka_dropped_of_a_partition_that_was_never_read_is_missing() -> None:
    gone = audit.judge(PLACE, (8, 8), None, Unread([(0, 7)]))
    assert gone.missing == 8
    assert gone.faults
    accepted = audit.judge(PLACE, (8, 8), None, Unread([(0, 7)], lost=[(0, 7)]))
    assert (accepted.missing, accepted.accepted_loss, accepted.faults) == (0, 8, [])


def test_an_accepted_loss_is_named_and_is_no_fault() -> None:
    part = audit.judge(PLACE, (8, 20), found(0, 4), Unread([(5, 7)], lost=[(5, 6)]))

    assert (part.accepted_loss, part.missing_ranges, part.waiting) == (2, [(7, 7)], 12)


def test_a_repeated_offset_is_a_fault_and_is_named_with_the_times_of_its_ingest() -> None:
    again = [Repeat(at, 2, [Copy(f"2024-05-01T10:00:0{at}Z", "a", at), Copy("2024-05-01T11:00:00Z", "b", at)]) for at in (2, 7)]
    part = audit.judge(PLACE, (0, 10), found(0, 9, rows=12), Unread(), again)

    assert (part.repeated, part.repeated_offsets) == (2, again)
    assert part.faults == [
        "sales/0: 2 rows repeat an offset: 2 (2 times, ingested 2024-05-01T10:00:02Z, 2024-05-01T11:00:00Z), "
        "7 (2 times, ingested 2024-05-01T10:00:07Z, 2024-05-01T11:00:00Z)"
    ]


def test_a_topic_that_was_made_anew_is_a_fault() -> None:
    assert judge(PLACE, (0, 4), found(0, 9), []).faults
    assert judge(PLACE, None, found(0, 9), []).faults


def test_a_line_lost_at_one_offset_and_one_doubled_at_another_are_two_faults_though_the_totals_agree() -> None:
    places = [SilverPlace(3, 2, 1, 0, 0, 0), SilverPlace(7, 2, 3, 0, 0, 1)]
    sound = SilverPartition("sales", 0, 4, 4, 10, 7, 2, 1)
    bent = SilverPartition("sales", 1, 2, 2, 4, 4, 0, 0, 2, places)
    found = SilverAudit([sound, bent])

    assert sound.faults == []
    assert found.totals == {
        "messages_in": 6,
        "messages_out": 6,
        "lines_in": 14,
        "silver_lines": 11,
        "duplicate_lines": 2,
        "quarantined": 1,
    }
    assert found.faults == [
        "sales/1: silver is not bronze at 2 offsets: 3 (2 lines in, 1 out), 7 (2 lines in, 3 out, 1 of them again)"
    ]


def test_an_audit_that_found_no_topic_does_not_hold() -> None:
    empty, idle = audit.Audit([], SilverAudit([])), audit.Audit([judge(PLACE, (0, 0), None, [])], SilverAudit([]))

    assert ("RD360_TOPIC_PREFIX" in str(empty.faults), empty.as_dict()["held"]) == (True, False)
    assert (idle.faults, idle.as_dict()["held"]) == ([], True)
