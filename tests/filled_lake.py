"""A lake and all that was sent to it, and what gold has to hold of that by the oracles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from pyspark.sql import SparkSession

from contracts import tables as names
from contracts.events import ForecastServed, InventoryEvent, PriceEvent, Receipt
from contracts.settings import Settings
from lake import tables as lake_tables
from lake.jobs import bronze, gold, silver
from tests.lake_world import ZONES, World
from tests.oracles import lake_forecast_actual, lake_gold


@dataclass(slots=True)
class Lake:
    """A lake of its own and what was sent to it."""

    session: SparkSession
    settings: Settings
    world: World = field(default_factory=World)

    def line(self) -> None:
        """Bronze, silver and gold, once."""
        bronze.run(self.session, self.settings)
        silver.run(self.session, self.settings)
        gold.run(self.session, self.settings)

    def rows(self, table: str) -> list[dict[str, Any]]:
        """All rows of a table, in an order of their own."""
        return sorted((row.asDict() for row in self.session.table(table).collect()), key=repr)

    def snapshot(self, table: str) -> int | None:
        """The id of a table's current snapshot."""
        return lake_tables.current_snapshot(self.session, table)

    def branches(self, table: str) -> set[str]:
        """The names of a table's branches."""
        return {row["name"] for row in self.session.table(f"{table}.refs").collect()}


def oracle(lake: Lake) -> dict[lake_gold.Key, dict[str, Any]]:
    events = lake.world.events
    return lake_gold.daily(events(Receipt), events(InventoryEvent), events(PriceEvent), ZONES.__getitem__)


def assert_gold_is_exact(lake: Lake) -> None:
    expected = oracle(lake)
    found = {(row["store_id"], row["product_id"], row["local_day"]): row for row in lake.rows(names.GOLD_DAILY)}
    assert found.keys() == expected.keys()
    for key, row in expected.items():
        exact = {name: value for name, value in row.items() if name not in ("demand", "in_stock")}
        assert {name: found[key][name] for name in exact} == exact, key
        assert found[key]["in_stock"] == row["in_stock"], key
        assert math.isclose(found[key]["demand"], row["demand"], rel_tol=1e-12), key


def assert_forecasts_are_held_against_what_came(lake: Lake, scored: Sequence[lake_forecast_actual.Said]) -> None:
    said = [*lake_forecast_actual.served(lake.world.events(ForecastServed)), *scored]
    receipts = lake.world.events(Receipt)
    expected = lake_forecast_actual.actuals(said, oracle(lake), receipts, ZONES.__getitem__)
    found = lake.rows(names.GOLD_FORECAST_ACTUAL)
    for row in found:
        row["model"] = f"{row['model_name']} {row['model_version']}"
    by = ("source", "event_id", "store_id", "product_id", "target_day", "model", "mean", "horizon_days")
    expected, found = (sorted(rows, key=lambda row: repr([row[name] for name in by])) for rows in (expected, found))

    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        held, wanted = _flat({name: one[name] for name in other}), _flat(other)
        measured = {name for name, value in wanted.items() if isinstance(value, float)}
        assert held.keys() == wanted.keys()
        assert {name: held[name] for name in held.keys() - measured} == {name: wanted[name] for name in held.keys() - measured}
        for name in measured:
            assert held[name] == pytest.approx(wanted[name], rel=1e-12, abs=1e-12), name


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    """A row with an entry for each entry of its maps."""
    maps = {name: value for name, value in row.items() if isinstance(value, dict)}
    entries = {f"{name} {key}": value for name, held in maps.items() for key, value in held.items()}
    return {name: value for name, value in row.items() if name not in maps} | entries
