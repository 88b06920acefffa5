"""Windows over many series at once: running totals of events in order of time, looked up at each window's edges. Arrow and numpy.

A row of events adds `SALES_VALUES` to its series at one instant, as sums or as the receipt lines themselves. A question is a
series, the last instant that counts, and the first instant of each of its windows. Values are integers and a ratio is one double
division, so the answers are the stream's to the last digit. It costs one sort of the events, and a search for each edge.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from contracts.aggregates import SALES_VALUES
from contracts.events import EARLIEST_EVENT_MS
from contracts.features import Feature
from contracts.windows import SAME_HOUR_WEEKS

Ints = npt.NDArray[np.int64]
# The starts and the ends of the same hour, by weeks back.
SAME_HOURS = [(f"same_hour_{weeks}w", f"same_hour_{weeks}w_end") for weeks in range(1, SAME_HOUR_WEEKS + 1)]
_HEAD = "head"
_TIME_BITS = 42  # ms since the earliest event that the contract takes, until 2139; 21 bits are left for the series


@dataclass(frozen=True, slots=True)
class Events:
    """Events in the order of `place`, series and time in one number: `totals` of each value before each of them, one longer.

    `last` is the index of the latest sale up to each event, -1 before the first of all; `price` its price.
    """

    place: Ints
    totals: Mapping[str, Ints]
    last: Ints | None = None
    price: Ints | None = None


def edge_names(features: Iterable[Feature]) -> list[str]:
    """The edges at which totals are needed: the start of each window, and both ends of the same hours."""
    features = list(features)
    windows = sorted({feature.window for feature in features if feature.window is not None})
    hours = SAME_HOURS if any(feature.aggregate == "same_hour" for feature in features) else []
    return [*windows, *(edge for pair in hours for edge in pair)]


def answer(rows: Iterable[pa.RecordBatch], keys: Sequence[str], features: Sequence[Feature]) -> Iterator[pa.RecordBatch]:
    """One row per question: its keys, `as_of_ms`, `head_ms` and the features. Of each series all rows must be there.

    Rows with an `as_of_ms` are questions; they have `head_ms`, the last instant that counts, and `edges`, in ms, in the order of
    `edge_names`: what happened at one is within the window. The others are events: they have `at_ms`, and either SALES_VALUES or
    the columns of a receipt line.
    """
    batches = list(rows)
    if not batches:
        return
    table = pa.Table.from_batches(batches)
    is_question = pc.is_valid(table["as_of_ms"])
    questions, events = table.filter(is_question), table.filter(pc.invert(is_question))
    asked, happened = _series(questions, events, keys)
    found = _of_lines(happened, events) if "event_id" in events.column_names else _of_sums(happened, events)
    names = edge_names(features)
    edges = questions["edges"].combine_chunks().flatten().to_numpy().reshape(-1, len(names))
    before = {name: np.searchsorted(found.place, _place(asked, edges[:, at]), "left") for at, name in enumerate(names)}
    before[_HEAD] = np.searchsorted(found.place, _place(asked, questions["head_ms"]), "right")
    answers = questions.select([*keys, "as_of_ms", "head_ms"])
    for feature in features:
        answers = answers.append_column(feature.name, _value(feature, found, before, asked))
    yield from answers.to_batches()


def _series(questions: pa.Table, events: pa.Table, keys: Sequence[str]) -> tuple[Ints, Ints]:
    """The number of the series of each question, and of each event."""
    number = np.zeros(len(questions) + len(events), np.int64)
    for key in keys:
        column = pa.chunked_array([*questions[key].chunks, *events[key].chunks], pa.string()).combine_chunks()
        codes = column.dictionary_encode()
        number = number * len(codes.dictionary) + codes.indices.to_numpy().astype(np.int64)
        number = pa.array(number).dictionary_encode().indices.to_numpy().astype(np.int64)  # small again
    return number[: len(questions)], number[len(questions) :]


def _place(series: Ints, time_ms: pa.ChunkedArray | Ints) -> Ints:
    """Series and time in one number that sorts by both. A time beyond all events stays within its series."""
    time = np.clip(np.asarray(time_ms) - EARLIEST_EVENT_MS, 0, 2**_TIME_BITS - 1)
    placed: Ints = (series << _TIME_BITS) | time
    return placed


def _of_sums(series: Ints, events: pa.Table) -> Events:
    place = _place(series, events["at_ms"])
    order = np.argsort(place, kind="stable")
    return Events(place[order], {name: _running(np.asarray(events[name])[order]) for name in SALES_VALUES})


def _of_lines(series: Ints, events: pa.Table) -> Events:
    place = _place(series, events["at_ms"])
    order = _line_order(place, events)
    place = place[order]
    quantity, price = np.asarray(events["quantity"])[order], np.asarray(events["unit_price"])[order]
    sells = quantity > 0
    units = np.where(sells, quantity, 0)
    values = {
        "units": units,
        "returned_units": units - quantity,
        "sales_cents": units * price,
        "refund_cents": (units - quantity) * price,
        "receipts": _selling_receipts(place, events["event_id"].combine_chunks().take(pa.array(order)), sells),
        "promotion_units": np.where(np.asarray(events["promoted"])[order], units, 0),
    }
    latest = np.maximum.accumulate(np.where(sells, np.arange(len(sells)), -1))
    return Events(place, {name: _running(value) for name, value in values.items()}, latest, price)


def _line_order(place: Ints, events: pa.Table) -> Ints:
    """Lines by series and time; where these are the same by event and then price, as `contracts.aggregates` has it."""
    order = np.argsort(place, kind="stable")
    same = place[order][1:] == place[order][:-1]
    tied = np.flatnonzero(np.append(same, False) | np.append(False, same))  # few: sorting texts is slow
    if len(tied):
        lines = (
            events.select(["event_id", "unit_price"])
            .take(pa.array(order[tied]))
            .append_column("place", pa.array(place[order[tied]]))
        )
        by = [(name, "ascending") for name in ("place", "event_id", "unit_price")]
        order[tied] = order[tied][pc.sort_indices(lines, sort_keys=by).to_numpy()]
    return order


def _selling_receipts(place: Ints, event_id: pa.Array, sells: npt.NDArray[np.bool_]) -> Ints:
    """For each line 1 where it is the first of its receipt, one with a sale; else 0."""
    receipts = np.zeros(len(place), np.int64)
    if len(place):
        goes_on = (place[1:] == place[:-1]) & np.asarray(pc.equal(event_id[1:], event_id[:-1]))
        first = np.flatnonzero(np.append(True, ~goes_on))
        receipts[first] = np.logical_or.reduceat(sells, first)
    return receipts


def _running(values: Ints) -> Ints:
    return np.append(0, np.cumsum(values, dtype=np.int64))


def _value(feature: Feature, events: Events, before: Mapping[str, Ints], asked: Ints) -> pa.Array:
    """A feature of each question; null for a ratio over 0 and for a series that never sold."""
    if feature.aggregate == "last":
        return _of_last_sale(feature.value, events, before[_HEAD], asked)
    if feature.aggregate == "same_hour":
        total = events.totals[feature.value]
        return pa.array(reduce(np.add, (total[before[end]] - total[before[start]] for start, end in SAME_HOURS)))
    if feature.window is None:
        raise ValueError(f"{feature.name}: a {feature.aggregate} needs a window")
    start = before[feature.window]
    totals = [events.totals[name][before[_HEAD]] - events.totals[name][start] for name in feature.value.split("/")]
    if len(totals) == 1:
        return pa.array(totals[0])
    above, below = totals
    return pa.array(above / np.where(below == 0, 1, below), mask=below == 0)


def _of_last_sale(value: str, events: Events, head: Ints, asked: Ints) -> pa.Array:
    if events.last is None or events.price is None:
        raise ValueError(f"{value} of the last sale needs receipt lines")
    if not len(events.place):
        return pa.nulls(len(asked), pa.int64())
    last = np.append(-1, events.last)[head]
    never = (last < 0) | (events.place[last] >> _TIME_BITS != asked)
    time_ms = (events.place & (2**_TIME_BITS - 1)) + EARLIEST_EVENT_MS
    return pa.array({"unit_price": events.price, "event_time": time_ms}[value][last], mask=never)
