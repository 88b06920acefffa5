"""The sales kernel by example; its laws are in tests/property."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import numpy as np
import pytest

from contracts.events import Receipt
from contracts.windows import StoreCalendars, calendar
from featurestore.pieces import cut, pieces
from streams import packing
from streams.key_table import KeyTable
from streams.packing import FIRST, SEEN, SLOT, TILES, WEEKS, State
from streams.sales import SalesKernel
from streams.schedule import NEVER
from streams.state import DAY as DAYS
from tests.builders import DAY, HOUR, MINUTE, NOON, line, receipt

LONDON = calendar("Europe/London")
KERNEL = SalesKernel(StoreCalendars("Europe/London"), 400 * DAY)
KEY = ("s-1", "p-1")


def fed(*receipts: Receipt, kernel: SalesKernel = KERNEL) -> bytes:
    """The packed state of KEY after some receipts."""
    keys = KeyTable()
    batch = kernel.batch(keys)
    for offset, one in enumerate(receipts):
        batch.add(one, offset)
    touched = kernel.take(batch, pieces([b""] * len(batch.numbers))).touched
    return cut(touched.settled.states)[touched.numbers.tolist().index(keys.number(KEY))]


def features_of(state: bytes) -> dict[str, Any]:
    return dict(KERNEL.settle([KEY], pieces([state])).rows(slice(None))[0])


def due(state: bytes) -> int | None:
    at = int(KERNEL.settle([KEY], pieces([state])).due[0])
    return None if at == NEVER else at


def advanced(state: bytes, now: int) -> bytes:
    return cut(KERNEL.advance(pieces([state]), now))[0]


def unpacked(state: bytes) -> State:
    raw = np.frombuffer(state, np.uint8)
    found = packing.room(len(raw), 0, 0, 0)
    packing.unpack(raw, 0, len(raw), found)
    return found


def test_lines_of_one_product_on_one_receipt_are_one_contribution() -> None:
    state = fed(receipt("r-1", NOON, line(quantity=2, unit_price=100), line("p-2"), line(quantity=1, unit_price=120)))
    features = features_of(state)
    assert (features["units_1h"], features["receipts_1h"], features["sales_24h"]) == (3, 1, 320)
    assert features["last_price"] == 120, "the dearest line of the product on the receipt"


def test_a_return_lowers_nothing_but_is_counted() -> None:
    features = features_of(fed(receipt("r-1", NOON, line(quantity=2)), receipt("r-2", NOON + 1, line(quantity=-1))))
    assert (features["units_28d"], features["returned_units_28d"], features["refunds_28d"]) == (2, 1, 250)
    assert features["receipts_28d"] == 1
    assert features["last_sale_ms"] == NOON, "a return is no sale"


def test_each_line_counts_under_what_it_is() -> None:
    bought = [
        line(quantity=3, unit_price=200),
        line(quantity=2, unit_price=150, promotion_id="x"),
        line(quantity=-1, unit_price=200),
    ]
    features = features_of(fed(receipt("r-1", NOON, *bought)))
    assert (features["units_24h"], features["sales_24h"], features["receipts_24h"]) == (5, 900, 1)
    assert (features["returned_units_24h"], features["refunds_28d"], features["promotion_share_24h"]) == (1, 200, 0.4)


def test_without_any_sale_ratios_and_last_values_are_unknown() -> None:
    features = features_of(fed(receipt("r-1", NOON, line(quantity=-1))))
    assert features["mean_price_28d"] is None
    assert features["promotion_share_28d"] is None
    assert features["last_price"] is None


def test_the_latest_sale_is_the_last_by_time_then_id_then_price_whatever_comes_first() -> None:
    """UTF-8 is in the order of its characters, also beyond 16 bits."""
    sales = [(5, "b", 100), (5, "a", 900), (5, "Ω", 50), (5, "🍞", 120), (4, "z", 1)]
    for order in itertools.permutations(sales):
        last = features_of(fed(*[receipt(name, NOON + at, line(unit_price=cents)) for at, name, cents in order]))
        assert (last["last_price"], last["last_sale_ms"]) == (120, NOON + 5)


def test_a_silent_product_shows_zero_within_one_hop_with_no_event() -> None:
    state = fed(receipt("r-1", NOON + MINUTE))
    assert due(state) == NOON + 65 * MINUTE, "the tile 12:00 to 12:05 leaves the hour's 12 whole tiles at 13:05"
    assert features_of(advanced(state, NOON + 65 * MINUTE - 1))["units_1h"] == 1
    later = features_of(advanced(state, NOON + 65 * MINUTE))
    assert (later["units_1h"], later["units_24h"]) == (0, 1)


def test_after_its_last_window_a_row_is_written_at_each_local_midnight_until_it_is_given_up() -> None:
    state = advanced(fed(receipt("r-1", NOON)), NOON + 60 * DAY)
    left = {name: value for name, value in features_of(state).items() if value not in (0, None)}
    assert left.keys() == {"store_id", "product_id", "as_of_ms", "fingerprint", "last_price", "last_sale_ms"}
    assert due(state) == LONDON.day_start(LONDON.day(NOON + 60 * DAY) + 1)
    silent = advanced(state, NOON + 365 * DAY)
    assert due(silent) is None
    assert features_of(silent)["last_sale_ms"] == NOON


def test_today_begins_at_the_stores_midnight() -> None:
    midnight = LONDON.day_start(LONDON.day(NOON))
    assert midnight == NOON - 13 * HOUR, "British summer time"
    features = features_of(fed(receipt("r-1", midnight - 1), receipt("r-2", midnight), receipt("r-3", NOON)))
    assert (features["units_today"], features["units_7d"]) == (2, 3)


def test_time_never_goes_back() -> None:
    (head,) = KERNEL.heads(pieces([advanced(fed(receipt("r-1", NOON)), NOON - HOUR)]))
    assert head.as_of == NOON


def under(*categories: str | None) -> bytes:
    """A sale a day, each under a category."""
    return fed(*[receipt(f"r-{n}", NOON + n * DAY, line(category_id=category)) for n, category in enumerate(categories)])


def units_by_category(state: bytes) -> dict[str, int]:
    """Units by category in the tiles of days."""
    found, names = unpacked(state), ["", *packing.names(np.frombuffer(state, np.uint8))]
    units = Counter(dict.fromkeys(names[1:], 0))
    for tile in found.rings[DAYS, : found.head[TILES + DAYS]]:
        units[names[tile[SLOT]]] += int(tile[FIRST])
    return dict(units)


def test_what_was_sold_under_a_category_stays_in_it() -> None:
    state = under("bread", "cake", "bread", None)
    assert units_by_category(state) == {"bread": 2, "cake": 1, "": 1}
    assert features_of(state)["units_28d"] == 4


def test_where_lines_of_a_product_name_several_categories_the_last_by_name_has_all() -> None:
    lines = [line(quantity=2, category_id="bread"), line(quantity=3), line(quantity=4, category_id="cake"), line("p-2")]
    assert units_by_category(fed(receipt("r-1", NOON, *lines))) == {"cake": 9}


def test_a_category_that_nothing_is_left_of_keeps_its_name_for_it_has_a_row() -> None:
    assert units_by_category(under("bread", *["cake"] * 40)) == {"bread": 0, "cake": 29}


def test_nothing_is_kept_of_a_time_when_tills_named_no_category() -> None:
    assert units_by_category(under(None, *["bread"] * 40)) == {"bread": 29}


def test_a_state_is_the_same_bytes_whatever_order_its_sales_came_in() -> None:
    sales = [receipt(f"r-{n}", NOON - n * 7 * HOUR, line(quantity=n % 3 + 1, promotion_id="x")) for n in range(60)]
    assert unpacked(fed(*sales)).rings.tobytes() == unpacked(fed(*reversed(sales))).rings.tobytes()
    assert cut(KERNEL.settle([KEY], pieces([fed(*sales)])).states) == [fed(*sales)], "settled once is settled"


@pytest.mark.parametrize("number", [0, 1, 127, 128, 2**31, 2**62, 2**63 - 1, -1, -(2**63)])
def test_any_number_of_64_bits_is_packed_and_found_again(number: int) -> None:
    out = np.zeros(2 * packing.LONGEST_NUMBER, np.uint8)
    end = packing.put(out, 3, number)
    assert packing.get(out, 3) == (number, end)


@pytest.mark.parametrize("sales_a_day", [100])
def test_the_state_of_a_fast_mover_stays_small(sales_a_day: int) -> None:
    step = DAY // sales_a_day
    kernel = SalesKernel(StoreCalendars("Europe/London"), DAY)
    state = fed(*[receipt(f"r-{n:06d}", NOON + n * step) for n in range(30 * sales_a_day)], kernel=kernel)
    head = unpacked(state).head
    assert head[SEEN] == sales_a_day + 1
    assert head[TILES : TILES + 3].tolist() == [5, 25, 29], "a sale every 14 minutes"
    assert head[WEEKS] == 675, "the hours of four weeks, in all of which it sold, and two where clocks may go back"
    assert len(state) < 4_000
