"""The frame: questions joined with the features as they stood at their as-of times, and the demand that came.

A row's numbers come from `contracts.vector.model_input`, which serving calls as well, so the two cannot differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from contracts.errors import DataGateError
from contracts.features import DEMAND_DAILY, PRICE_PLAN, SALES_ROLLING, features_of
from contracts.request_features import planned_price
from contracts.tables import GOLD_DAILY
from contracts.vector import Question, model_input
from contracts.windows import StoreCalendars
from featurestore.offline import OfflineStore
from training.questions import Bounds, Questions, judged_questions, training_questions
from training.rows import Daily, Floats, Ints, Matrix, Names, Rows
from training.split import Plan, day_numbers, plan_origins

ALL_STORES = "*"
_OWN = ("own", (SALES_ROLLING.name, PRICE_PLAN.name, DEMAND_DAILY.name))  # the views that the vector reads
_CHAIN = ("chain", (PRICE_PLAN.name,))
_DAILY_COLUMNS = ("store_id", "product_id", "local_day", "demand", "price", "promoted", "complete")
_FEATURES = {view: tuple(f.name for f in features_of(view)) for view in _OWN[1]}


@dataclass(frozen=True, slots=True)
class Frame:
    """What a training run works on: sampled rows to learn from, rows to be judged on, and the daily demand behind them."""

    sampled: Rows
    judged: Rows
    daily: Daily
    plan: Plan


def build_frame(
    offline: OfflineStore,
    calendars: StoreCalendars,
    hours: Sequence[int],
    bounds: Bounds = Bounds(),
    origins: int = 2,
    horizon: int | None = None,
) -> Frame:
    """The frame of all that the lake has. Raises DataGateError where history is too short, NotFoundError where a table is
    missing, DependencyUnavailable where a server is."""
    daily = read_daily(offline)
    first, last = int(np.min(daily.day)), int(np.max(daily.day))
    plan = plan_origins(first, last, origins, horizon) if horizon else plan_origins(first, last, origins)
    training = training_questions(daily, calendars, hours, bounds)
    judged = judged_questions(daily, calendars, hours, plan, bounds)
    rows = answer(offline, calendars, _both(training, judged), daily)
    cut = np.arange(len(rows)) < len(training)
    return Frame(rows.where(cut).known(), rows.where(~cut).known(), daily, plan)


def read_daily(offline: OfflineStore) -> Daily:
    """The complete days of gold. Raises DataGateError where there is none."""
    table = offline.read_table(GOLD_DAILY, _DAILY_COLUMNS, "complete = true")
    if not table.num_rows:
        raise DataGateError(
            "There is no complete day of demand to learn from",
            doing="reading daily demand",
            why=f"{GOLD_DAILY} has no row of a day that is over",
            hint="Run `./rd360 lake run` after the first day of receipts.",
        )
    table = table.sort_by([("store_id", "ascending"), ("product_id", "ascending"), ("local_day", "ascending")])
    return Daily(
        store=_names(table, "store_id"),
        product=_names(table, "product_id"),
        day=np.array(day_numbers(table["local_day"].to_pylist()), dtype=np.int64),
        demand=_floats(table, "demand"),
        price=_floats(table, "price"),
        promoted=_floats(table, "promoted"),
    )


def answer(offline: OfflineStore, calendars: StoreCalendars, questions: Questions, daily: Daily | None = None) -> Rows:
    """The rows of the questions, in their order; targets where `daily` knows the target day.

    Features are asked once per store × product × as-of time, plans for all stores once per product × as-of time.
    """
    own, own_place = _lookup(offline, questions.store, questions.product, questions.as_of, _OWN)
    everywhere = np.full(len(questions), ALL_STORES)
    chain, chain_place = _lookup(offline, everywhere, questions.product, questions.as_of, _CHAIN)
    x = _vectors(questions, calendars, own, own_place, chain, chain_place)
    target = np.full(len(questions), np.nan) if daily is None else _targets(questions, daily, own, own_place)
    return Rows(questions.store, questions.product, questions.as_of, questions.as_of_day, questions.target_day, x, target)


_Features = list[dict[str, Any]]


def _lookup(
    offline: OfflineStore, store: Names, product: Names, as_of: Ints, what: tuple[str, tuple[str, ...]]
) -> tuple[_Features, Ints]:
    """The features of each distinct question, and where each question finds its own."""
    keys: dict[tuple[str, str, int], int] = {}
    place = np.array(
        [keys.setdefault(key, len(keys)) for key in zip(store.tolist(), product.tolist(), as_of.tolist(), strict=True)],
        dtype=np.int64,
    )
    asked = pa.table(
        {
            "store_id": pa.array([key[0] for key in keys], pa.string()),
            "product_id": pa.array([key[1] for key in keys], pa.string()),
            "as_of_ms": pa.array([key[2] for key in keys], pa.int64()),
        }
    )
    views = what[1]
    found = offline.point_in_time(asked, views).select([name for view in views for name in _FEATURES[view]])
    return found.to_pylist(), place


def _vectors(
    questions: Questions, calendars: StoreCalendars, own: _Features, own_place: Ints, chain: _Features, chain_place: Ints
) -> Matrix:
    stores, as_of, target = questions.store.tolist(), questions.as_of.tolist(), questions.target_day.tolist()
    vectors = []
    for at, (mine, all_stores) in enumerate(zip(own_place.tolist(), chain_place.tolist(), strict=True)):
        features: Mapping[str, Any] = own[mine]
        price = planned_price(target[at], features, chain[all_stores])
        question = Question(as_of[at], target[at])
        vectors.append(model_input(question, calendars.of(stores[at]), features, features, price))
    return np.array(vectors, dtype=np.float32)


def _targets(questions: Questions, daily: Daily, own: _Features, own_place: Ints) -> Floats:
    """Demand of the target day; of the as-of day only what was still to come: its demand less the units sold by then."""
    days = zip(daily.store.tolist(), daily.product.tolist(), daily.day.tolist(), strict=True)
    demand = dict(zip(days, daily.demand.tolist(), strict=True))
    sold = np.array([features["units_today"] or 0 for features in own], dtype=np.float64)[own_place]
    asked = zip(questions.store.tolist(), questions.product.tolist(), questions.target_day.tolist(), strict=True)
    whole = np.array([demand.get(key, np.nan) for key in asked])
    today = questions.target_day == questions.as_of_day
    return np.where(today, np.maximum(whole - sold, 0.0), whole)


def _both(first: Questions, second: Questions) -> Questions:
    return Questions(
        np.concatenate([first.store, second.store]),
        np.concatenate([first.product, second.product]),
        np.concatenate([first.as_of, second.as_of]),
        np.concatenate([first.as_of_day, second.as_of_day]),
        np.concatenate([first.target_day, second.target_day]),
    )


def _names(table: pa.Table, column: str) -> Names:
    return np.array(table[column].to_pylist(), dtype=np.str_)


def _floats(table: pa.Table, column: str) -> Floats:
    return np.array([np.nan if value is None else float(value) for value in table[column].to_pylist()])
