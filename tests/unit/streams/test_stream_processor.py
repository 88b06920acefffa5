"""A partition: what is refused, what is late, which clock counts, and what a restart brings back."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from contracts import letters
from contracts.features import CATALOGUE_FINGERPRINT, SALES_ROLLING, STORE_ROLLING, features_of
from contracts.settings import Settings
from contracts.windows import StoreCalendars
from featurestore.pieces import pieces
from streams.key_table import key_in_store, store_key
from streams.letters import Letter
from streams.processor import QUIET_MS, TICK_KEYS, Changes, Incoming, Partition, Work
from streams.rebuilt import FINGERPRINT, KEY, Rebuilder
from streams.sales import SalesKernel
from streams.views import Row
from tests.builders import DAY, HOUR, MINUTE, NOON, PARTITIONS, incoming, line, receipt

STATES = "now"  # the fingerprint of a worker's states


class Store(dict[bytes, bytes]):
    """Stored states."""

    def load(self, keys: Sequence[bytes]) -> list[bytes | None]:
        return [self.get(key) for key in keys]


@dataclasses.dataclass(frozen=True)
class Done:
    """What one batch or tick came to: the work, and what it changes."""

    work: Work
    rows: list[Row]
    states: dict[bytes, bytes]

    @property
    def letters(self) -> list[Letter]:
        return self.work.letters

    @property
    def counts(self) -> Counter[str]:
        return self.work.counts


@dataclasses.dataclass(frozen=True)
class Driven:
    """A partition, each of whose works is settled at once."""

    partition: Partition

    def take(self, messages: list[Incoming], clock: int) -> Done:
        return self.settled(self.partition.take(self.partition.decode(messages), clock))

    def take_over(self, messages: list[Incoming]) -> Done:
        work = Work(self.partition.number)
        self.partition.take_over(messages, work)
        return self.settled(work)

    def tick(self, clock: int, *, caught_up: bool) -> Done:
        return self.settled(self.partition.tick(clock, caught_up))

    def settled(self, work: Work) -> Done:
        changes = Changes()
        for touched in work.touched:
            self.partition.add(touched, slice(None), changes)
        return Done(work, list(changes.rows.get(SALES_ROLLING.name, [])), dict(changes.states.get(self.partition.number, [])))


def partition(stored: Store | None = None, next_offset: int = 0) -> Driven:
    kernel = SalesKernel(StoreCalendars("Europe/London"), DAY)
    store = Store() if stored is None else stored
    number = incoming(receipt()).partition
    made = Partition(kernel, number, PARTITIONS, store.load, states=STATES, max_lead_ms=HOUR, lateness_ms=DAY)
    made.restore(list(store.items()), next_offset)
    return Driven(made)


def test_a_row_has_its_key_its_metadata_and_every_feature_of_the_view() -> None:
    (row,) = partition().take([incoming(receipt(), 41)], NOON).rows
    names = {feature.name for feature in features_of(SALES_ROLLING.name)}
    assert set(row) == {"store_id", "product_id", "as_of_ms", "source_offset", "fingerprint"} | names
    assert (row["store_id"], row["product_id"]) == ("s-1", "p-1")
    assert (row["as_of_ms"], row["source_offset"], row["fingerprint"]) == (NOON, 41, CATALOGUE_FINGERPRINT)


def test_a_batch_writes_each_touched_key_once() -> None:
    work = partition().take([incoming(receipt(f"r-{n}", NOON + n, line("p-1"), line("p-2")), n) for n in range(50)], NOON)
    assert len(work.rows) == len(work.states) == 2
    assert work.counts["events"] == 50
    assert {row["units_1h"] for row in work.rows} == {50}


def test_a_batch_may_be_decoded_before_the_one_ahead_of_it_is_taken() -> None:
    def logs() -> list[list[Incoming]]:
        return [
            [incoming(receipt(f"r-{batch}-{n}", NOON + batch, line("p-1"), line(f"p-{batch}")), 10 * batch + n) for n in range(3)]
            for batch in range(3)
        ]

    one, ahead = partition(), partition()
    in_turn = [one.take(messages, NOON) for messages in logs()]
    decoded = [ahead.partition.decode(messages) for messages in logs()]
    at_last = [ahead.settled(ahead.partition.take(batch, NOON)) for batch in decoded]

    assert [(done.rows, done.states, done.counts) for done in at_last] == [
        (done.rows, done.states, done.counts) for done in in_turn
    ]
    assert ahead.partition.watermark == one.partition.watermark


def test_a_broken_message_becomes_a_dead_letter_with_its_bytes_its_key_and_connects_headers() -> None:
    broken = incoming(receipt(), 9, value=b'{"event_id": 7}', headers=(("trace", b"abc"),))
    work = partition().take([incoming(receipt("r-0"), 8), broken, incoming(receipt("r-2"), 10)], NOON)
    (letter,) = work.letters
    assert (letter.kind, letter.key, letter.value) == ("dead", b"s-1", b'{"event_id": 7}')
    headers = dict(letter.headers)
    assert headers["trace"] == b"abc", "the original's own headers stay"
    assert headers[letters.TOPIC] == b"sales"
    assert (headers[letters.PARTITION], headers[letters.OFFSET]) == (str(broken.partition).encode(), b"9")
    assert headers[letters.CLASS] == b"contracts.errors.InvalidEvent"
    assert b"event_id" in headers[letters.MESSAGE]
    assert (headers[letters.STAGE], headers[letters.REASON]) == (b"VALUE_CONVERTER", b"contract")
    assert work.counts["events"] == 2, "its neighbours count"
    assert work.rows[0]["units_1h"] == 2


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"value": None}, "empty"),
        ({"value": b""}, "empty"),
        ({"key": None}, "misrouted"),
        ({"key": b"s-2"}, "misrouted"),
        ({"kafka_time": NOON - 2 * HOUR}, "event_time_ahead"),
    ],
)
def test_each_breach_has_its_reason(change: dict[str, Any], reason: str) -> None:
    work = partition().take([incoming(receipt(), 1, **change)], NOON)
    assert work.counts[f"dead:{reason}"] == 1
    assert dict(work.letters[0].headers)[letters.REASON] == reason.encode()
    assert not work.rows


def test_a_late_event_goes_to_the_late_topic_and_says_which_keys_did_not_take_it() -> None:
    made = partition()
    made.take([incoming(receipt("r-1", NOON, line("p-1")), 1)], NOON)
    work = made.take([incoming(receipt("r-2", NOON - DAY - 1, line("p-1"), line("p-2")), 2)], NOON)
    (letter,) = work.letters
    assert letter.kind == "late"
    assert dict(letter.headers)[letters.LATE_KEYS] == b'[["s-1", "p-1"]]'
    assert [row["product_id"] for row in work.rows] == ["p-2"], "a key that has heard nothing later takes it"
    assert work.counts["late"] == 1


def test_a_repeated_receipt_is_counted_and_writes_nothing() -> None:
    made = partition()
    made.take([incoming(receipt(), 1)], NOON)
    work = made.take([incoming(receipt(), 2)], NOON)
    assert (work.counts["duplicates"], work.rows, work.states) == (1, [], {})


def test_what_is_read_again_after_a_crash_is_written_again() -> None:
    """States may have been written and rows not, or the online store may have lost them."""
    stored = Store()
    before = partition(stored).take([incoming(receipt(), 1)], NOON)
    stored.update(before.states)
    after = partition(stored).take([incoming(receipt(), 1)], NOON)
    assert after.counts["replayed"] == 1
    assert after.rows == before.rows
    assert after.states == before.states


def test_rows_are_written_anew_as_the_states_are_now() -> None:
    """Not as they were stored: what is read since may not be stored yet."""
    stored = Store()
    made = partition(stored)
    stored.update(made.take([incoming(receipt("r-1", NOON), 1)], NOON).states)
    made.take([incoming(receipt("r-2", NOON + MINUTE), 2)], NOON + MINUTE)
    (row,) = made.partition.rewrite(stored).rows[SALES_ROLLING.name]
    assert (row["units_1h"], row["source_offset"], row["as_of_ms"]) == (2, 2, NOON + MINUTE)
    assert made.tick(NOON + 70 * MINUTE, caught_up=True).rows, "its schedule stays"


def test_history_is_never_mixed_with_the_clock() -> None:
    made = partition()
    made.take([incoming(receipt("r-1", NOON - 30 * DAY, line("p-1")), 1)], clock=NOON)
    made.take([incoming(receipt("r-2", NOON - 20 * DAY, line("p-2")), 2)], clock=NOON)
    work = made.tick(NOON + 10 * QUIET_MS, caught_up=True)
    assert {row["as_of_ms"] for row in work.rows} == {NOON - 20 * DAY}, "the latest event time seen, not the clock"


def test_a_live_partition_follows_the_clock_with_no_event() -> None:
    made = partition()
    made.take([incoming(receipt("r-1", NOON), 1)], clock=NOON)
    assert not made.tick(NOON + 30 * MINUTE, caught_up=True).rows
    (row,) = made.tick(NOON + 70 * MINUTE, caught_up=True).rows
    assert (row["as_of_ms"], row["units_1h"], row["units_24h"]) == (NOON + 70 * MINUTE, 0, 1)


def test_a_backlog_is_read_before_time_moves() -> None:
    made = partition()
    made.take([incoming(receipt("r-1", NOON), 1)], clock=NOON)
    assert not made.tick(NOON + 70 * MINUTE, caught_up=False).rows


def test_a_backfill_that_ends_now_turns_live_once_it_is_quiet() -> None:
    made = partition()
    made.take([incoming(receipt("r-1", NOON - 30 * DAY), 1), incoming(receipt("r-2", NOON - MINUTE), 2)], clock=NOON)
    assert not made.partition.is_live(NOON + QUIET_MS - 1, caught_up=True)
    assert made.partition.is_live(NOON + QUIET_MS, caught_up=True)


def test_a_replay_of_old_history_keeps_a_live_partition_from_rushing_its_keys_to_now() -> None:
    made = partition()
    made.take([incoming(receipt("r-1", NOON, line("p-live")), 1)], clock=NOON)
    made.take([incoming(receipt("r-2", NOON - 4000 * DAY, line("p-old")), 2)], clock=NOON)
    assert not made.tick(NOON + 1000, caught_up=True).rows
    work = made.take([incoming(receipt("r-3", NOON - 3990 * DAY, line("p-old")), 3)], clock=NOON + 2000)
    assert work.counts["late"] == 0
    assert {r["product_id"] for r in made.tick(NOON + 2000 + QUIET_MS, caught_up=True).rows} == {"p-old"}, "once it is quiet"


def test_a_restart_knows_stream_time_and_what_is_due() -> None:
    stored = Store()
    stored.update(partition(stored).take([incoming(receipt("r-1", NOON), 1)], NOON).states)
    again = partition(stored)
    assert (again.partition.watermark, again.partition.keys) == (NOON, 1)
    assert [row["units_1h"] for row in again.tick(NOON + 70 * MINUTE, caught_up=True).rows] == [0]


def test_a_tick_takes_many_keys_in_bounded_steps() -> None:
    made = partition()
    made.take([incoming(receipt(f"r-{n}", NOON, line(f"p-{n}")), n) for n in range(TICK_KEYS + 5)], NOON)
    first, second = made.tick(NOON + 2 * HOUR, caught_up=True), made.tick(NOON + 2 * HOUR, caught_up=True)
    assert (len(first.rows), first.work.more) == (TICK_KEYS, True)
    assert (len(second.rows), second.work.more) == (5, False)


def test_stored_keys_come_back_whatever_the_ids() -> None:
    for key in (("s-1", "p-1"), ("Øst ☂", "a/b:c|d"), ("*", "p")):
        assert key_in_store(store_key(key)) == key


def test_messages_of_another_topic_name_keep_it_in_their_letters() -> None:
    broken = incoming(receipt(), 1)._replace(topic="x.sales", value=b"{")
    assert dict(partition().take([broken], NOON).letters[0].headers)[letters.TOPIC] == b"x.sales"


def rebuilt(units: int, next_offset: int, fingerprint: str = STATES) -> Incoming:
    """A state of ("s-1", "p-1") made anew from the archive, as the worker receives it."""
    rebuilder = Rebuilder(Settings(), SALES_ROLLING)
    parts = [part for _, part in rebuilder.kernel.split(receipt("archived", NOON - HOUR, line(quantity=units)))]
    raw = rebuilder.state(("s-1", "p-1"), parts, next_offset)
    marks = ((KEY, store_key(("s-1", "p-1"))), (FINGERPRINT, fingerprint.encode()))
    return Incoming("sales.rebuilt", incoming(receipt()).partition, 3, NOON, b"s-1", raw, marks)


def test_a_rebuilt_state_replaces_one_that_has_nothing_beyond_it() -> None:
    one = partition()
    one.take([incoming(receipt(), 5)], NOON)
    work = one.take_over([rebuilt(7, next_offset=6)])
    assert [(row["units_24h"], row["source_offset"], row["as_of_ms"]) for row in work.rows] == [(7, 5, NOON)], "time stays"
    (letter,) = work.letters
    assert (letter.kind, dict(letter.headers)[letters.REASON], dict(letter.headers)[letters.OFFSET]) == ("late", b"healed", b"5")


def test_a_rebuilt_state_moves_the_sums_of_its_store_at_once_where_all_is_read() -> None:
    stored = Store()
    stored.update(partition(stored).take([incoming(receipt(), 5)], NOON).states)
    one = partition(stored, next_offset=6)
    work = one.take_over([rebuilt(7, next_offset=6)]).work
    changes = Changes()
    one.partition.add_sums(work.sums, slice(None), changes)
    (row,) = changes.rows[STORE_ROLLING.name]
    assert (row["store_units_24h"], row["source_offset"], row["as_of_ms"]) == (7, 5, NOON)
    behind = partition(stored, next_offset=4)  # what is read again may be of its other products
    assert not behind.take_over([rebuilt(7, next_offset=6)]).work.sums


def test_a_key_that_took_an_event_beyond_the_rebuilt_state_keeps_its_own() -> None:
    one = partition()
    one.take([incoming(receipt(), 6)], NOON)
    work = one.take_over([rebuilt(7, next_offset=6)])
    assert (work.rows, work.states) == ([], {})
    assert [dict(letter.headers)[letters.REASON] for letter in work.letters] == [b"moved_on"]


def test_a_state_rebuilt_for_another_catalogue_is_left_alone() -> None:
    work = partition().take_over([rebuilt(7, 6, fingerprint="another")])
    assert (work.rows, work.states, work.letters, work.counts["foreign"]) == ([], {}, [], 1)


def test_a_key_that_is_rebuilt_in_the_batch_that_touches_it_is_written_as_rebuilt_last() -> None:
    """Rows are written in their order, and of several states of a key the last one."""
    made = partition().partition
    work = made.take(made.decode([incoming(receipt(), 5)]), NOON)
    made.take_over([rebuilt(7, next_offset=6)], work)
    done = Driven(made).settled(work)
    assert [row["units_24h"] for row in done.rows] == [1, 7]
    (stored,) = done.states.values()
    (row,) = made.kernel.settle([("s-1", "p-1")], pieces([stored])).rows(slice(None))
    assert row["units_24h"] == 7


def test_states_are_let_go_of_where_there_are_too_many_and_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.state_cache.MOST_BYTES", 0)
    stored = Store()
    one = partition(stored)
    stored.update(one.take([incoming(receipt("r-0"), 0)], NOON).states)
    assert one.partition.is_full
    one.partition.forget()
    assert not one.partition.is_full
    assert [row["units_1h"] for row in one.take([incoming(receipt("r-1"), 1)], NOON).rows] == [2]


def test_what_fits_into_memory_when_a_partition_is_restored_is_not_read_again() -> None:
    stored = Store()
    stored.update(partition(stored).take([incoming(receipt("r-0"), 0)], NOON).states)
    one = partition(stored, next_offset=1)
    stored.clear()
    assert [row["units_1h"] for row in one.take([incoming(receipt("r-1"), 1)], NOON).rows] == [2]


def test_a_partition_is_restored_whole_where_not_all_of_it_fits_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = Store()
    stored.update(partition(stored).take([incoming(receipt(f"r-{n}", NOON, line(f"p-{n}")), n) for n in range(6)], NOON).states)
    monkeypatch.setattr("streams.state_cache.MOST_BYTES", 0)
    monkeypatch.setattr("streams.processor.RESTORE_KEYS", 2)
    one = partition(stored, next_offset=6)
    again = one.take([incoming(receipt(f"s-{n}", NOON, line(f"p-{n}")), 6 + n) for n in range(6)], NOON)
    assert [row["units_1h"] for row in again.rows] == [2] * 6


def test_a_row_that_an_event_has_put_off_is_not_written_before_its_time() -> None:
    made = partition()
    made.take([incoming(receipt("r-1", NOON), 1)], clock=NOON)
    made.take([incoming(receipt("r-2", NOON + 70 * MINUTE), 2)], clock=NOON + 70 * MINUTE)  # what was due at 13:05 is written
    assert not made.tick(NOON + 71 * MINUTE, caught_up=True).rows
    assert made.tick(NOON + 140 * MINUTE, caught_up=True).rows


def test_a_long_history_is_made_anew_piece_by_piece_to_the_same_state(monkeypatch: pytest.MonkeyPatch) -> None:
    rebuilder, key = Rebuilder(Settings(), SALES_ROLLING), ("s-1", "p-1")
    events = [receipt(f"r-{n}", NOON - n * 5 * HOUR, line(quantity=n % 3 + 1)) for n in range(300)]
    parts = [part for one in (*events, *events[:40]) for _, part in rebuilder.kernel.split(one)]  # some twice
    whole = rebuilder.state(key, parts, 1_000)
    monkeypatch.setattr("streams.rebuilt.PIECE_EVENTS", 7)
    assert rebuilder.state(key, parts[::-1], 1_000) == whole
    (row,) = rebuilder.kernel.settle([key], pieces([whole])).rows(slice(None))
    covered = [one for one in events if one.event_time >= NOON - 28 * DAY]
    assert row["receipts_28d"] >= len(covered)
