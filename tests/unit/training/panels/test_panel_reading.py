"""A folder becomes matrices, or an error that says which row is wrong."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from contracts.errors import DataGateError, UsageError
from tests.panel_world import DAYS, START, panel_of, rows_of
from training.panels.check import check
from training.panels.dataset import read_dataset
from training.panels.read import read_panel, to_panel, typed


def write(folder: Path, frame: pl.DataFrame, **meta: object) -> Path:
    """A panel folder."""
    facts = {"name": "made", "freq": "D", "season_length": 7, "horizon": 7, "origins": [], "unit": "units"} | meta
    (folder / "dataset.json").write_text(json.dumps(facts), encoding="utf-8")
    frame.write_parquet(folder / "panel.parquet")
    return folder


def test_series_are_in_the_order_of_their_ids_whatever_the_order_of_the_rows(tmp_path: Path) -> None:
    frame = rows_of({("S2", "A"): [1, 2], ("S1", "B"): [3, 4], ("S1", "A"): [5, 6]})
    panel = read_panel(write(tmp_path, frame.sample(fraction=1.0, shuffle=True, seed=3)))
    assert list(zip(panel.stores, panel.products, strict=True)) == [("S1", "A"), ("S1", "B"), ("S2", "A")]
    assert panel.units.tolist() == [[5, 6], [3, 4], [1, 2]]


def test_a_null_and_a_missing_row_are_unknown_and_not_zero() -> None:
    frame = rows_of({("S", "A"): [1, None, 0, 4]}).filter(pl.col("units").is_null() | (pl.col("units") != 4))
    panel = to_panel(typed(pl.concat([frame, rows_of({("S", "B"): [1, 1, 1, 1]})]), "made"), DAYS)
    assert np.isnan(panel.units[0]).tolist() == [False, True, False, True]
    assert panel.units[0, 2] == 0


def test_a_column_of_nulls_alone_is_not_there(tmp_path: Path) -> None:
    frame = rows_of({("S", "A"): [1, 2]}).with_columns(
        pl.lit(None, dtype=pl.Int64).alias("price_cents"), pl.lit(None, dtype=pl.Float64).alias("in_stock")
    )
    panel = read_panel(write(tmp_path, frame))
    assert panel.price is None
    assert panel.in_stock is None


def test_a_covariate_of_texts_is_a_column_for_each_of_them_and_one_of_dates_is_left_out(tmp_path: Path) -> None:
    frame = rows_of({("S", "A"): [1, 2, 3]}).with_columns(
        pl.Series("x_event", ["Easter", None, "Sale"]), pl.Series("x_on", [True, False, None]), pl.lit(START).alias("x_since")
    )
    panel = read_panel(write(tmp_path, frame))
    assert sorted(panel.known) == ["x_event=Easter", "x_event=Sale", "x_on"]
    assert panel.known["x_event=Easter"].tolist() == [[1, 0, 0]]
    np.testing.assert_array_equal(panel.known["x_on"], [[1, 0, np.nan]])
    assert "x_since is neither numbers nor texts: left out" in [finding.what for finding in check(tmp_path).findings]


def test_attributes_of_numbers_are_in_the_order_of_their_size(tmp_path: Path) -> None:
    frame = rows_of({("S", product): [1, 2] for product in "ABCD"})
    pl.DataFrame({"product_id": list("ABCD"), "size": [10, 9, 10, 9], "tags": [["x"], ["y"], ["x"], ["y"]]}).write_parquet(
        tmp_path / "products.parquet"
    )
    codes = read_panel(write(tmp_path, frame)).codes
    assert codes["product_size"].tolist() == [1, 0, 1, 0]
    assert sorted(codes) == ["product_size"]


def test_where_no_shelf_is_ever_full_the_fullest_stands_for_it() -> None:
    frame = rows_of({("S", "A"): [5, 2, 6]}).with_columns(pl.Series("in_stock", [0.98, 0.5, 0.98]))
    np.testing.assert_array_equal(to_panel(typed(frame, "made"), DAYS).full(), [[5, np.nan, 6]])


def test_an_older_history_is_put_before_the_panel(tmp_path: Path) -> None:
    frame = rows_of({("S", "A"): [1, 2, 3]})
    write(tmp_path, frame.filter(pl.col("date") > START))
    frame.filter(pl.col("date") == START).write_parquet(tmp_path / "history.parquet")
    assert read_panel(tmp_path).units.tolist() == [[1, 2, 3]]


def test_receipts_become_days_of_the_stores_time_zone(tmp_path: Path) -> None:
    evening = dt.datetime(2024, 1, 1, 3, 30, tzinfo=dt.UTC)  # New Year's Eve in New York
    lines = pl.DataFrame(
        {
            "event_time": [evening + dt.timedelta(days=day) for day in range(61)] + [evening],
            "store_id": ["S"] * 61 + ["S"],
            "product_id": ["A"] * 61 + ["rare"],
            "quantity": [3] * 60 + [-1] + [5],
        }
    )
    lines.write_parquet(tmp_path / "lines.parquet")
    (tmp_path / "dataset.json").write_text(json.dumps({"name": "made", "freq": None, "timezone": "America/New_York"}))
    panel = read_panel(tmp_path)
    assert panel.first == dt.date(2023, 12, 31)
    assert panel.products.tolist() == ["A"], "a product that sold on one day is no series"
    assert panel.units[0, -1] == -1, "a return is subtracted"


def test_days_without_a_line_are_zeros_from_a_series_first_day_to_the_last_day_of_all(tmp_path: Path) -> None:
    first = dt.datetime(2024, 1, 1)  # noqa: DTZ001  # no zone
    lines = pl.DataFrame(
        {
            "event_time": [first + dt.timedelta(days=day) for day in [*range(0, 120, 2), *range(1, 61), 130]],
            "store_id": "S",
            "product_id": ["A"] * 60 + ["B"] * 60 + ["rare"],
            "quantity": 1,
        }
    )
    lines.write_parquet(tmp_path / "lines.parquet")
    (tmp_path / "dataset.json").write_text(json.dumps({"name": "made"}))
    every_other, gone = read_panel(tmp_path).units
    assert every_other[:4].tolist() == [1, 0, 1, 0]
    assert np.isnan(gone[0])
    assert gone[1:61].tolist() == [1] * 60
    assert gone[61:].tolist() == [0] * 70, "receipts of others tell that nobody bought it"


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (rows_of({("S", "A"): [1, 2]}).drop("units"), "no column units"),
        (pl.concat([rows_of({("S", "A"): [1, 2]})] * 2), "of one series and period"),
        (
            rows_of({("S", "A"): [1, 2]}).with_columns(pl.lit("many").alias("units")),
            "units .* not of its type: 2 .* such as 'many'",
        ),
        (
            rows_of({("S", "A"): [1, 2]}).with_columns(pl.lit(None, dtype=pl.String).alias("store_id")),
            "no date, store or product",
        ),
        (rows_of({("S", "A"): [1, 2]}).clear(), "no rows"),
    ],
)
def test_what_breaks_the_layout_is_named(tmp_path: Path, broken: pl.DataFrame, said: str) -> None:
    with pytest.raises(DataGateError, match=said):
        read_panel(write(tmp_path, broken))


@pytest.mark.parametrize(
    ("dates", "said"),
    [
        (pl.Series([20240101, 20240102]), "Int64, such as 20240101"),
        (pl.Series([20240101, 20240102]).cast(pl.Int32).cast(pl.Date), "20240101 days after 1970-01-01"),
        (pl.Series([2**62, 0]).cast(pl.Datetime("ms")), "are not between 1900-01-01"),
        (pl.Series(["2024-01-01", "soon"]), "1 texts, such as 'soon', are no dates"),
        (pl.Series(["1.1.24", "2.1.24"]), "such as '1.1.24', are no dates"),
        (pl.Series(["2024-01-01T23:00:00Z", "2024-01-02T23:00:00Z"]), "instants of another zone"),
        (pl.Series([[1], [2]]), r"of type List\(Int64\)"),
    ],
)
def test_dates_that_are_none_are_refused_with_the_column_the_first_of_them_and_what_to_try(
    tmp_path: Path, dates: pl.Series, said: str
) -> None:
    frame = rows_of({("S", "A"): [1, 2]}).with_columns(dates.alias("date"))
    with pytest.raises(DataGateError, match=said) as caught:
        read_panel(write(tmp_path, frame))
    assert "Column date" in str(caught.value)
    assert "2025-06-30" in caught.value.hint or "timezone" in caught.value.hint
    assert "strict" not in str(caught.value)
    findings = check(tmp_path).findings
    assert [finding.level for finding in findings] == ["error"]
    assert findings[0].example == caught.value.hint


@pytest.mark.parametrize(
    "written", ["%Y-%m-%d", "%Y-%m-%d 00:00:00", "%Y-%m-%dT00:00:00.000+01:00", "%Y/%m/%d", "%Y%m%d", "%d.%m.%Y", "%m/%d/%Y"]
)
def test_a_day_can_be_written_in_several_ways(tmp_path: Path, written: str) -> None:
    frame = rows_of({("S", "A"): list(range(20))}).with_columns(pl.col("date").dt.strftime(written))
    panel = read_panel(write(tmp_path, frame))
    assert panel.first == START
    assert panel.units.tolist() == [list(range(20))]


def test_a_date_that_can_be_read_both_ways_is_read_day_first_and_said(tmp_path: Path) -> None:
    frame = rows_of({("S", "A"): [1.0] * 12}).with_columns(pl.Series("date", [f"{day:02}/03/2024" for day in range(1, 13)]))
    assert read_panel(write(tmp_path, frame)).first == dt.date(2024, 3, 1)
    found = [finding for finding in check(tmp_path).findings if "day first" in finding.what]
    assert [(finding.level, finding.count, finding.example) for finding in found] == [("warning", 12, "01/03/2024")]
    assert "--date-format %m/%d/%Y" in found[0].what


@pytest.mark.parametrize(("freq", "interval"), [("D", "1mo"), ("D", "30d"), ("W", "28d"), ("D", "1q")])
def test_sums_of_months_are_refused_as_days_or_weeks(tmp_path: Path, freq: str, interval: str) -> None:
    dates = pl.date_range(START, START + dt.timedelta(days=900), interval, eager=True)
    frame = pl.DataFrame({"date": dates, "store_id": "S", "product_id": "A", "units": 5.0})
    with pytest.raises(DataGateError, match="sums of months"):
        read_panel(write(tmp_path, frame, freq=freq))
    report = check(tmp_path)
    assert not report.usable
    assert any("sums of months" in finding.what for finding in report.findings)
    days_between = frame.upsample("date", every="1d" if freq == "D" else "7d").with_columns(
        pl.col("store_id", "product_id").forward_fill()
    )
    assert not check(write(tmp_path, days_between, freq=freq)).usable, "unknown days between do not make it a daily panel"


def test_a_panel_in_which_no_units_are_known_is_refused(tmp_path: Path) -> None:
    frame = rows_of({("S", "A"): [1.0] * 30}).with_columns(pl.lit(None, dtype=pl.Float64).alias("units"))
    with pytest.raises(DataGateError, match="units are known of no row"):
        read_panel(write(tmp_path, frame))
    assert not check(tmp_path).usable


def test_a_time_of_day_that_all_dates_have_is_pointed_out(tmp_path: Path) -> None:
    frame = rows_of({("S", "A"): [1.0, 0.0] * 20}).with_columns(pl.col("date").cast(pl.Datetime) + pl.duration(hours=6))
    assert read_panel(write(tmp_path, frame)).first == START
    assert [(found.level, found.count) for found in check(tmp_path).findings if "midnight" in found.what] == [("warning", 40)]


@pytest.mark.parametrize("name", ["products", "stores"])
def test_attributes_that_cannot_be_read_are_named_by_the_check_beside_what_else_is_wrong(tmp_path: Path, name: str) -> None:
    write(tmp_path, rows_of({("S", "A"): [1, 2]}).drop("units"))
    (tmp_path / f"{name}.parquet").write_bytes(b"no parquet")
    found = [finding.what for finding in check(tmp_path).findings if finding.level == "error"]
    assert any("no column units" in what for what in found)
    assert any(f"{name}.parquet cannot be read" in what for what in found)


def test_weeks_that_do_not_start_a_week_apart_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataGateError, match="7 days apart"):
        read_panel(write(tmp_path, rows_of({("S", "A"): [1, 2, 3]}), freq="W"))


@pytest.mark.parametrize(
    "facts", [{"freq": "M"}, {"horizon": 0}, {"horizon": "8"}, {"origins": ["soon"]}, {"timezone": "Nowhere/Land"}]
)
def test_a_dataset_that_says_something_impossible_is_refused(tmp_path: Path, facts: dict[str, object]) -> None:
    with pytest.raises(DataGateError, match=r"dataset\.json"):
        read_dataset(write(tmp_path, rows_of({("S", "A"): [1]}), **facts))


def test_an_attribute_becomes_whole_numbers_and_an_unknown_one_minus_one(tmp_path: Path) -> None:
    write(tmp_path, rows_of({("S", product): [1] for product in "ABCD"}))
    pl.DataFrame({"product_id": list("ABCD"), "name": list("wxyz"), "category": ["tea", "jam", None, "tea"]}).write_parquet(
        tmp_path / "products.parquet"
    )
    assert read_panel(tmp_path).codes["product_category"].tolist() == [1, 0, -1, 1]


def test_at_an_origin_later_units_are_not_there_and_the_plan_is() -> None:
    panel = panel_of(
        {("S", "A"): [1, 2, 3, 4]}, in_stock=[1.0, 0.5, 0.5, 1.0], price_cents=[10, 11, 12, 13], x_event=[0, 1, 0, 1]
    )
    view = panel.at(1, 3)
    assert view.units.shape == (1, 5)
    assert np.isnan(view.units[0, 2:]).all()
    assert view.in_stock is not None
    assert np.isnan(view.in_stock[0, 2:]).all()
    assert view.price is not None
    assert view.price[0, :4].tolist() == [10, 11, 12, 13]
    assert view.known["x_event"][0, :4].tolist() == [0, 1, 0, 1]
    assert np.isnan(view.known["x_event"][0, 4])


def test_periods_without_full_stock_or_closed_are_not_full_demand() -> None:
    panel = panel_of({("S", "A"): [5, 2, 0, 0, 3]}, in_stock=[1.0, 0.5, 0.0, 1.0, None], x_open=[1.0, 1.0, 1.0, 0.0, 1.0])
    full = panel.full()[0]
    assert np.isnan(full).tolist() == [False, True, True, True, False]


def test_a_date_off_the_grid_is_refused_with_the_nearest_one() -> None:
    weeks = panel_of({("S", "A"): [1, 2, 3]}, dataset=type(DAYS)(name="made", freq="W", season_length=52, horizon=8))
    with pytest.raises(UsageError) as caught:
        weeks.column_of(START + dt.timedelta(days=9))
    assert str(START + dt.timedelta(days=7)) in caught.value.hint
