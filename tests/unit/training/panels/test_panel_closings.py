"""When whole stores are shut: read off a panel's past, expected on the same feast, and never learnt as low demand."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from contracts.errors import DataGateError
from tests.panel_world import DAYS
from training.panels.candidates.naive import MovingAverage, SeasonalNaive
from training.panels.closings import closings
from training.panels.dataset import Dataset, parse_dataset
from training.panels.engine import Plan, forecast, view_from
from training.panels.panel import Panel

PRODUCTS, HORIZON = 15, 14
CHRISTMAS = dt.date(2023, 12, 25)


def chain(
    first: dt.date,
    origin: dt.date,
    shut: dict[str, list[dt.date]] | None = None,
    *,
    stores: tuple[str, ...] = ("north", "south"),
    dataset: Dataset = DAYS,
) -> Panel:
    """Stores that sell some of every product on each day but those on which they are `shut`, up to the origin."""
    periods = (origin - first).days + 1
    at = np.repeat(stores, PRODUCTS)
    units = 1.0 + np.random.default_rng(3).poisson(4.0, (len(at), periods))
    for store, days in (shut or {}).items():
        for day in days:
            units[at == store, (day - first).days] = 0.0
    names = [f"p{number:02d}" for number in range(PRODUCTS)] * len(stores)
    return Panel(replace(dataset, horizon=HORIZON), first, at, np.array(names), units)


def expected(panel: Panel) -> dict[str, set[dt.date]]:
    """Store -> the days after the last one on which all of it is expected to be shut."""
    return {store: {day for day in days if day > last(panel)} for store, days in found(panel).items()}


def found(panel: Panel) -> dict[str, set[dt.date]]:
    """Store -> the days on which it was shut, or is expected to be."""
    shut = closings(panel.at(panel.periods - 1, HORIZON), panel.periods - 1, HORIZON)
    every: dict[str, set[dt.date]] = {store: set() for store in sorted(set(panel.stores.tolist()))}
    if shut is None:
        return every
    for row, column in zip(*np.nonzero(shut), strict=True):
        every[str(panel.stores[row])].add(panel.date_of(int(column)))
    return every


def last(panel: Panel) -> dt.date:
    return panel.date_of(panel.periods - 1)


def days_of(*texts: str) -> list[dt.date]:
    return [dt.date.fromisoformat(text) for text in texts]


def test_who_was_shut_on_christmas_day_will_be_shut_again_and_who_was_not_will_not() -> None:
    panel = chain(dt.date(2022, 10, 1), dt.date(2023, 12, 20), {"north": days_of("2022-12-25")})
    assert expected(panel) == {"north": {CHRISTMAS}, "south": set()}


def test_a_feast_that_moves_with_easter_is_expected_where_it_falls_this_year() -> None:
    panel = chain(dt.date(2022, 3, 1), dt.date(2023, 4, 5), {"north": days_of("2022-04-15", "2022-04-17", "2022-04-18")})
    assert expected(panel)["north"] == set(days_of("2023-04-07", "2023-04-09", "2023-04-10"))


def test_a_holiday_that_moves_by_its_countrys_rule_is_expected_where_the_country_is_known() -> None:
    american = replace(DAYS, country="US")
    shut = {"north": days_of("2022-11-24")}  # Thanksgiving: the fourth Thursday of November
    assert expected(chain(dt.date(2022, 9, 1), dt.date(2023, 11, 15), shut, dataset=american))["north"] == set(
        days_of("2023-11-23")
    )
    assert expected(chain(dt.date(2022, 9, 1), dt.date(2023, 11, 15), shut))["north"] == set()


def test_any_other_day_must_have_been_shut_twice() -> None:
    once = {"north": days_of("2022-06-13")}
    assert expected(chain(dt.date(2021, 3, 1), dt.date(2023, 6, 5), once))["north"] == set()
    twice = {"north": days_of("2021-06-13", "2022-06-13")}
    assert expected(chain(dt.date(2021, 3, 1), dt.date(2023, 6, 5), twice))["north"] == set(days_of("2023-06-13"))


def test_who_has_opened_on_a_feast_since_is_not_expected_to_shut() -> None:
    panel = chain(dt.date(2021, 10, 1), dt.date(2023, 12, 20), {"north": days_of("2021-12-25")})
    assert expected(panel)["north"] == set()


def test_a_new_store_does_as_the_chain_does() -> None:
    panel = chain(dt.date(2022, 10, 1), dt.date(2023, 12, 20), {"north": days_of("2022-12-25"), "south": days_of("2022-12-25")})
    units = panel.units.copy()
    units[panel.stores == "south", : panel.column_of(dt.date(2023, 5, 1))] = np.nan
    assert expected(replace(panel, units=units))["south"] == {CHRISTMAS}


def test_without_a_past_christmas_stores_are_expected_to_shut_only_where_it_is_a_holiday() -> None:
    def of(country: str) -> set[dt.date]:
        return expected(chain(dt.date(2023, 3, 1), dt.date(2023, 12, 20), dataset=replace(DAYS, country=country)))["north"]

    assert of("US") == of("GB-ENG") == {CHRISTMAS}
    assert of("JP") == of("") == set()


def test_a_calendar_that_was_brought_is_believed() -> None:
    panel = chain(dt.date(2022, 10, 1), dt.date(2023, 12, 20), {"north": days_of("2022-12-25")})
    assert closings(replace(panel, known={"x_open": np.ones(panel.units.shape)}), panel.periods - 1, HORIZON) is None


def test_a_weekday_without_sales_is_no_closing_day() -> None:
    first, origin = dt.date(2023, 3, 1), dt.date(2023, 6, 20)
    sundays = [day for day in (first + dt.timedelta(days=n) for n in range((origin - first).days)) if day.weekday() == 6]
    assert found(chain(first, origin, {"north": sundays})) == {"north": set(), "south": set()}


def test_a_store_of_few_customers_who_buy_a_lot_is_never_taken_to_be_shut() -> None:
    panel = chain(dt.date(2022, 10, 1), dt.date(2023, 12, 20))
    random = np.random.default_rng(5)
    comes = random.random((2, 1, panel.periods)) < 0.9
    basket = random.random((2, PRODUCTS, panel.periods)) < random.choice([0.3, 1.0], (2, 1, panel.periods), p=[0.3, 0.7])
    units = panel.units * (comes & basket).reshape(panel.units.shape)
    assert (units.reshape(2, PRODUCTS, -1).sum(axis=1) == 0).sum() > 50
    assert found(replace(panel, units=units)) == {"north": set(), "south": set()}


def test_an_unknown_day_is_not_a_day_without_sales() -> None:
    panel = chain(dt.date(2022, 10, 1), dt.date(2023, 12, 20))
    units = panel.units.copy()
    units[:, panel.column_of(dt.date(2022, 12, 25))] = np.nan
    assert found(replace(panel, units=units)) == {"north": set(), "south": set()}


def test_weeks_are_left_alone() -> None:
    panel = chain(dt.date(2022, 10, 1), dt.date(2023, 12, 20), dataset=replace(DAYS, freq="W", country="US"))
    assert closings(panel, panel.periods - 1, HORIZON) is None


def test_the_forecast_of_a_shut_store_is_nothing_and_a_closing_day_of_the_past_is_no_low_demand() -> None:
    shut = {"north": days_of("2022-12-25", "2023-12-18")}  # the second one by an accident, two days before the origin
    panel = chain(dt.date(2022, 10, 1), dt.date(2023, 12, 20), shut)
    made = forecast(panel, panel.periods - 1, HORIZON, Plan([MovingAverage(), SeasonalNaive()], quantiles=None)).chosen
    north, day = panel.stores == "north", (CHRISTMAS - last(panel)).days - 1
    assert (made.mean[north, day] == 0).all()
    assert (made.quantiles[north, day] == 0).all()
    assert (made.mean[~north] > 0).all()
    assert (made.mean[north, :day] > 0).all()
    demand = view_from(panel, panel.periods - 1, HORIZON).full()[:, panel.column_of(dt.date(2023, 12, 18))]
    assert np.isnan(demand[north]).all()
    assert np.isfinite(demand[~north]).all()


def test_the_country_is_the_one_given_else_that_of_the_time_zone() -> None:
    def of(**facts: str) -> str:
        return parse_dataset({"freq": "D", **facts}, Path("made/dataset.json")).country

    assert of(timezone="America/New_York") == "US"
    assert of(timezone="America/New_York", country="GB-ENG") == "GB-ENG"
    assert of(timezone="America/New_York", country="") == of(timezone="UTC") == of() == ""
    with pytest.raises(DataGateError, match=r"dataset\.json of made cannot be used"):
        of(country="XX")
