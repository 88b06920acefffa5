"""The frame: rows as they stood, targets as they came, nothing from the future, never too many."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from contracts.errors import DataGateError
from contracts.request_features import planned_price
from contracts.tables import GOLD_DAILY
from contracts.vector import MODEL_INPUTS, Question, model_input
from contracts.windows import DAY_MS, EPOCH, StoreCalendars, calendar
from tests.retail_world import HOURS, FakeOfflineStore, make_world
from tests.unit.training.conftest import SMALL
from training.frame import Frame, build_frame, read_daily
from training.questions import WARM_UP_DAYS, Bounds, coming_questions
from training.rows import HORIZON, Rows, data_fingerprint

UTC = StoreCalendars("UTC")


def test_a_row_is_what_serving_would_have_made_of_the_features_of_that_instant(frame: Frame, world: FakeOfflineStore) -> None:
    for at in (0, len(frame.sampled) // 2, len(frame.sampled) - 1):
        rows = frame.sampled.where(np.arange(len(frame.sampled)) == at)
        store, product, as_of = str(rows.store[0]), str(rows.product[0]), int(rows.as_of[0])
        latest = {
            view: _latest(world.views[view], "*" if view == "price_plan" else store, product, as_of)
            for view in ("sales_rolling", "demand_daily", "price_plan")
        }
        day = int(rows.target_day[0])
        price = planned_price(day, None, latest["price_plan"])
        expected = model_input(Question(as_of, day), calendar("UTC"), latest["sales_rolling"], latest["demand_daily"], price)
        np.testing.assert_array_equal(rows.x[0], np.array(expected, dtype=np.float32))
        assert price is not None


def test_the_target_of_today_is_what_was_still_to_come(frame: Frame) -> None:
    rows = frame.sampled.where(frame.sampled.target_day == frame.sampled.as_of_day)
    demand = _demand(frame)
    whole = np.array([demand[key] for key in zip(rows.store, rows.product, rows.target_day, strict=True)])
    np.testing.assert_array_equal(rows.target, np.maximum(whole - rows.column("units_today"), 0))
    assert (rows.target < whole).any(), "some of the day was over at 10, 14 and 18 o'clock"


def test_the_target_of_a_later_day_is_all_of_it(frame: Frame) -> None:
    rows = frame.sampled.where(frame.sampled.target_day > frame.sampled.as_of_day)
    demand = _demand(frame)
    assert rows.target.tolist() == [demand[key] for key in zip(rows.store, rows.product, rows.target_day, strict=True)]
    assert set((rows.target_day - rows.as_of_day).tolist()) == set(range(1, HORIZON))


def test_what_happens_after_an_as_of_time_changes_no_row_before_it(world: FakeOfflineStore, frame: Frame) -> None:
    cut_day = int(frame.daily.day.max()) - 20
    cut_ms = cut_day * DAY_MS
    other = FakeOfflineStore(
        {
            GOLD_DAILY: _with_other_future(
                world.tables[GOLD_DAILY], pl.col("local_day") >= pl.lit(EPOCH) + pl.duration(days=cut_day)
            )
        },
        {name: _with_other_future(table, pl.col("as_of_ms") >= cut_ms) for name, table in world.views.items()},
    )
    changed = build_frame(other, UTC, HOURS, SMALL)
    before = frame.sampled.as_of < cut_ms
    np.testing.assert_array_equal(changed.sampled.where(before).x, frame.sampled.where(before).x)
    past = frame.sampled.target_day < cut_day
    assert data_fingerprint(changed.sampled.where(past)) == data_fingerprint(frame.sampled.where(past))
    after = ~before & ~np.isnan(changed.sampled.target)
    assert not np.array_equal(changed.sampled.where(after).x, frame.sampled.where(after).x), "the change did reach the frame"


def test_the_same_seed_draws_the_same_rows_and_another_one_others(world: FakeOfflineStore, frame: Frame) -> None:
    again = build_frame(world, UTC, HOURS, SMALL)
    other = build_frame(world, UTC, HOURS, replace(SMALL, seed=8))
    assert data_fingerprint(again.sampled) == data_fingerprint(frame.sampled)
    assert data_fingerprint(other.sampled) != data_fingerprint(frame.sampled)


def test_the_order_of_the_lakes_rows_changes_nothing(world: FakeOfflineStore, frame: Frame) -> None:
    turned = pa.Table.from_pylist(world.tables[GOLD_DAILY].to_pylist()[::-1], schema=world.tables[GOLD_DAILY].schema)
    again = build_frame(FakeOfflineStore({GOLD_DAILY: turned}, world.views), UTC, HOURS, SMALL)
    assert data_fingerprint(again.sampled) == data_fingerprint(frame.sampled)
    assert data_fingerprint(again.judged) == data_fingerprint(frame.judged)


def test_a_frame_stays_within_its_bounds(world: FakeOfflineStore) -> None:
    small = build_frame(world, UTC, HOURS, Bounds(training_rows=400, judged_rows=300))
    assert 300 <= len(small.sampled) <= 400
    assert 200 <= len(small.judged) <= 300


def test_series_learn_after_their_warm_up(frame: Frame) -> None:
    assert (frame.sampled.as_of_day - frame.daily.day.min()).min() >= WARM_UP_DAYS


def test_judged_rows_ask_for_every_hour_and_day_of_each_origin(frame: Frame) -> None:
    for origin in frame.plan.origins:
        rows = frame.judged.where(frame.judged.as_of_day == origin)
        asked = set(zip(((rows.as_of - origin * DAY_MS) // 3_600_000).tolist(), (rows.target_day - origin).tolist(), strict=True))
        assert asked == {(hour, ahead) for hour in HOURS for ahead in range(frame.plan.horizon)}


def test_an_incomplete_day_is_never_a_target(world: FakeOfflineStore, frame: Frame) -> None:
    gold = pl.from_arrow(world.tables[GOLD_DAILY])
    last = gold.filter(pl.col("complete"))["local_day"].max()
    assert int(frame.daily.day.max()) == (last - EPOCH).days
    assert frame.sampled.target_day.max() <= frame.daily.day.max()


def test_a_lake_without_a_complete_day_is_said_to_be_empty() -> None:
    gold = make_world(stores=1, products=1, days=1).tables[GOLD_DAILY]
    with pytest.raises(DataGateError, match="no complete day"):
        read_daily(FakeOfflineStore({GOLD_DAILY: gold.slice(1)}))


def test_questions_of_the_coming_days_follow_each_stores_own_calendar() -> None:
    calendars = StoreCalendars("UTC", {"far": "Pacific/Auckland"})
    evening = 20_000 * DAY_MS + 20 * 3_600_000
    questions = coming_questions(np.array(["far", "near"]), np.array(["p", "p"]), np.array([evening, evening]), calendars)
    assert questions.as_of_day[[0, HORIZON]].tolist() == [20_001, 20_000]
    assert questions.target_day[HORIZON:].tolist() == list(range(20_000, 20_000 + HORIZON))


def test_the_fingerprint_of_data_sees_a_single_changed_number(frame: Frame) -> None:
    x = frame.sampled.x.copy()
    x[3, MODEL_INPUTS.index("units_7d")] += 1
    assert data_fingerprint(replace(frame.sampled, x=x)) != data_fingerprint(frame.sampled)


def _latest(view: pa.Table, store: str, product: str, as_of: int) -> dict[str, object]:
    rows = [row for row in view.to_pylist() if (row["store_id"], row["product_id"]) == (store, product)]
    return max((row for row in rows if row["as_of_ms"] <= as_of), key=lambda row: row["as_of_ms"])


def _demand(frame: Frame) -> dict[tuple[str, str, int], float]:
    keys = zip(frame.daily.store, frame.daily.product, frame.daily.day, strict=True)
    return dict(zip(keys, frame.daily.demand.tolist(), strict=True))


def _with_other_future(table: pa.Table, future: pl.Expr) -> pa.Table:
    """Every number after the cut is another one; keys and times stay."""
    keys = ("store_id", "product_id", "local_day", "as_of_ms", "complete")
    rows = pl.from_arrow(table)
    numbers = [name for name, kind in rows.schema.items() if kind.is_numeric() and name not in keys]
    return rows.with_columns([pl.when(future).then(pl.col(n) * 7 + 3).otherwise(pl.col(n)).alias(n) for n in numbers]).to_arrow()


def test_rows_can_be_put_together_again(frame: Frame) -> None:
    even = np.arange(len(frame.sampled)) % 2 == 0
    whole = Rows.concatenate([frame.sampled.where(even), frame.sampled.where(~even)])
    assert len(whole) == len(frame.sampled)
    assert sorted(whole.target.tolist()) == sorted(frame.sampled.target.tolist())
