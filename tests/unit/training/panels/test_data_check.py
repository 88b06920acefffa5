"""What `rd360 data check` and `rd360 data from-csv` say and make."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from contracts.errors import DataGateError
from infra.cli import __main__ as cli
from tests.panel_world import START, rows_of
from training.panels.check import ERROR, WARNING, check
from training.panels.from_csv import convert, infer_freq
from training.panels.read import read_panel

FACTS = {"name": "made", "freq": "D", "season_length": 7, "horizon": 7}


def folder_of(path: Path, frame: pl.DataFrame, **facts: object) -> Path:
    """A panel folder."""
    (path / "dataset.json").write_text(json.dumps(FACTS | facts), encoding="utf-8")
    frame.write_parquet(path / "panel.parquet")
    return path


def test_a_sound_panel_has_facts_and_no_findings(tmp_path: Path) -> None:
    report = check(folder_of(tmp_path, rows_of({("S", "A"): [1, 0] * 20, ("S", "B"): [2, 3] * 20}, x_event=0.0)))
    assert report.usable
    assert report.findings == []
    assert report.facts["series"] == 2
    assert report.facts["rows"] == 80
    assert report.facts["zero_share"] == pytest.approx(0.25)
    assert report.facts["whole_units"]
    assert report.facts["columns"] == {"units": 1.0, "x_event": 1.0}


@pytest.mark.parametrize(
    ("rows", "level", "said"),
    [
        (pl.concat([rows_of({("S", "A"): [1.0] * 30})] * 2), ERROR, "more than one"),
        (rows_of({("S", "A"): [1.0] * 29 + [-4.0]}), WARNING, "negative units"),
        (rows_of({("S", "A"): [1.0, 2.0] * 15}, in_stock=0.0), WARNING, "flag turned round"),
        (rows_of({("S", "A"): [1.0, 2.0] * 15}, price_cents=0), WARNING, "price_cents that is 0 or less"),
        (rows_of({("S", "A"): [1.0] * 5}), WARNING, "fewer than 28 known periods"),
        (rows_of({("S", "A"): [1.0] * 60 + [5000.0]}), WARNING, "over 100 times"),
        (rows_of({("S", "A"): [1.0] * 30 + [0.0] * 40}), WARNING, "without a sale in the last 28"),
        (rows_of({("S", "A"): [1.0] * 40}).filter(pl.col("date") != START + dt.timedelta(days=3)), WARNING, "missing periods"),
        (rows_of({("S", "A"): [1.0] * 40}).filter(pl.col("date").dt.weekday() < 6), WARNING, "no row is 0"),
        (rows_of({("S", "A"): [1.0, None] * 20}), WARNING, "no row is 0"),
        (rows_of({("S", "A"): [1.0] * 40}, x_open=0.0), WARNING, "is it turned round"),
        (rows_of({("S", "A"): [1.0] * 40}).with_columns(units=pl.lit(None, pl.Float64)), ERROR, "known of no row"),
    ],
)
def test_what_is_wrong_is_found_with_an_example(tmp_path: Path, rows: pl.DataFrame, level: str, said: str) -> None:
    found = [finding for finding in check(folder_of(tmp_path, rows)).findings if said in finding.what]
    assert [finding.level for finding in found] == [level]
    assert found[0].count >= 1
    assert "S A" in found[0].example


FIRST_MIDNIGHT = dt.datetime(2024, 3, 20, tzinfo=ZoneInfo("Europe/London"))  # clocks spring forward on the 31st
MIDNIGHTS = [FIRST_MIDNIGHT + dt.timedelta(days=day) for day in range(31)]


@pytest.mark.parametrize(
    ("dates", "said"),
    [
        (pl.Series([20240101 + day for day in range(31)]), "date is of type Int64, such as 20240101"),
        (pl.Series([f"2024-01-{day:02}" for day in range(1, 31)] + ["soon"]), "such as 'soon'"),
        (pl.Series([f"day {day}" for day in range(31)]), "such as 'day 0'"),
        (pl.Series([START.replace(day=1, month=1 + number % 12, year=2024 + number // 12) for number in range(31)]), "months"),
        (pl.Series([dt.datetime(2024, 1, 1) + dt.timedelta(hours=hour) for hour in range(31)]), "times of day"),  # noqa: DTZ001
        (pl.Series(MIDNIGHTS), "need `timezone`"),
    ],
    ids=["whole numbers", "a word among dates", "words", "months", "hours", "midnights of another zone"],
)
def test_dates_that_are_none_are_named_by_the_check_and_by_who_reads(tmp_path: Path, dates: pl.Series, said: str) -> None:
    folder = folder_of(tmp_path, rows_of({("S", "A"): [1.0, 0.0] * 15 + [2.0]}).with_columns(date=dates))
    report = check(folder)
    assert not report.usable
    assert said in report.findings[0].what
    with pytest.raises(DataGateError, match="cannot be used"):
        read_panel(folder)


def test_midnights_are_days_of_the_zone_of_the_data_set(tmp_path: Path) -> None:
    frame = rows_of({("S", "A"): [1.0, 0.0] * 15 + [2.0]}).with_columns(date=pl.Series(MIDNIGHTS).dt.convert_time_zone("UTC"))
    panel = read_panel(folder_of(tmp_path, frame, timezone="Europe/London"))
    assert (panel.first, panel.periods) == (dt.date(2024, 3, 20), 31)


def test_attributes_without_their_id_are_named_and_repeated_ones_counted(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, rows_of({("S", "A"): [1.0, 0.0] * 20}))
    pl.DataFrame({"store_id": ["S", "S"], "city": ["Leeds", "York"]}).write_parquet(folder / "stores.parquet")
    assert [(finding.level, finding.count) for finding in check(folder).findings] == [(WARNING, 2)]
    pl.DataFrame({"sku": ["A"]}).write_parquet(folder / "products.parquet")
    report = check(folder)
    assert not report.usable
    assert "products.parquet has no column product_id" in report.findings[0].what


def test_opening_that_is_written_in_words_is_not_taken_for_opening(tmp_path: Path) -> None:
    report = check(folder_of(tmp_path, rows_of({("S", "A"): [1.0] * 30}, x_open=["no"] + ["yes"] * 29)))
    found = [finding for finding in report.findings if "x_open is texts" in finding.what]
    assert [(finding.level, finding.count, finding.example) for finding in found] == [(WARNING, 30, "no")]


@pytest.mark.parametrize(
    "units",
    [[0.0, None] + [1.0, None] * 19, [1.0] * 39 + [None] + [1.0] * 10, [None] * 20 + [1.0] * 30 + [None] * 20],
    ids=["zeros are written", "few are missing", "before the first and after the last sale"],
)
def test_days_without_a_sale_are_not_missed_where_there_is_no_sign_of_it(tmp_path: Path, units: list[float | None]) -> None:
    report = check(folder_of(tmp_path, rows_of({("S", "A"): units})))
    assert not any("no row is 0" in finding.what for finding in report.findings)


def test_a_folder_that_cannot_be_read_is_one_error(tmp_path: Path) -> None:
    report = check(tmp_path)
    assert not report.usable
    assert len(report.findings) == 1


def test_origins_that_cannot_be_judged_are_named(tmp_path: Path) -> None:
    frame = rows_of({("S", "A"): [1.0, 2.0] * 20})
    report = check(folder_of(tmp_path, frame, origins=["2024-02-08", "2030-01-01"]))
    assert [finding.what for finding in report.findings] == [
        "origins outside the panel",
        "origins without a whole horizon after them",
    ]


def test_the_command_ends_with_5_where_the_data_cannot_be_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = rows_of({("S", "A"): [1.0] * 30})
    assert cli.main(["data", "check", str(folder_of(tmp_path, frame)), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["usable"] is True
    assert cli.main(["data", "check", str(folder_of(tmp_path, pl.concat([frame, frame])))]) == 5


def test_a_csv_becomes_a_panel_that_can_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "sales.csv"
    lines = [
        f"{START + dt.timedelta(days=day):%d.%m.%Y};007;tea;{day % 5};{int(day % 7 == 0)};x" for day in range(60) if day != 10
    ]
    table.write_text("\n".join(["day;shop;item;qty;promo;remark", *lines, lines[0]]) + "\n", encoding="utf-8")
    mapping = [f"--column={pair}" for pair in ("date=day", "store_id=shop", "product_id=item", "units=qty", "x_promo=promo")]
    out = tmp_path / "made"
    done = cli.main(
        ["data", "from-csv", str(table), "--out", str(out), "--separator", ";", "--date-format", "%d.%m.%Y", *mapping, "--json"]
    )
    assert done == 0
    said = json.loads(capsys.readouterr().out)
    assert any("remark" in text for text in said["did"])
    assert any(text.startswith("1 rows of a series and period") for text in said["did"])
    assert any(text.startswith("1 missing periods added, with units unknown") for text in said["did"])
    panel = read_panel(out)
    assert panel.dataset.freq == "D"
    assert panel.dataset.origins
    assert panel.units.shape == (1, 60)
    assert pl.read_parquet(out / "panel.parquet")["store_id"].unique().to_list() == ["007"], "an id is text, digits or not"
    assert panel.units[0, :3].tolist() == [0, 1, 2]
    assert list(panel.known) == ["x_promo"]
    assert cli.main(["data", "check", str(out)]) == 0


def test_repeated_rows_are_added_up_and_their_unknown_units_stay_unknown() -> None:
    rows = pl.DataFrame(
        {
            "date": ["2024-01-01", "2024-01-01", "2024-01-02"],
            "product_id": "A",
            "units": [1, 2, None],
            "price_cents": [100, 200, 100],
        }
    )
    made = convert(rows, {}, name="made")
    assert made.panel["units"].to_list() == [3, None]
    assert made.panel["price_cents"].to_list() == [150, 100]
    assert made.panel["store_id"].unique().to_list() == ["all"]


def test_missing_periods_are_zeros_only_where_that_is_said() -> None:
    rows = pl.DataFrame({"date": ["2024-01-01", "2024-01-02", "2024-01-04"], "product_id": "A", "units": [1, None, 3]})
    assert convert(rows, {}, name="made").panel["units"].to_list() == [1, None, None, 3]
    assert convert(rows, {}, name="made", gaps_are_zero=True).panel["units"].to_list() == [1, None, 0, 3]


def table_of(dates: Sequence[str], **columns: object) -> pl.DataFrame:
    """Rows of one product, as a CSV file has them: all texts."""
    return pl.DataFrame({"date": dates, "product_id": "A", "units": "1", **columns})


def days_written(way: str, days: int = 10) -> list[str]:
    """The first days of the world."""
    return [f"{START + dt.timedelta(days=day):{way}}" for day in range(days)]


@pytest.mark.parametrize("way", ["%Y-%m-%d", "%Y-%m-%d 00:00:00", "%Y-%m-%dT00:00:00", "%Y%m%d", "%d.%m.%Y"])
def test_days_and_midnights_are_dates(way: str) -> None:
    made = convert(table_of(days_written(way)), {}, name="made")
    assert made.panel["date"].to_list() == [START + dt.timedelta(days=day) for day in range(10)]
    assert not any("midnight" in text or "day first" in text for text in made.did)


def test_hours_are_added_up_to_days_and_said() -> None:
    hours = [f"2024-01-{day:02} {hour:02}:00:00" for day in range(1, 11) for hour in range(24)]
    made = convert(table_of(hours), {}, name="made")
    assert made.panel["units"].to_list() == [24] * 10
    assert any(text.startswith("230 dates that are not at midnight: the day as written is taken") for text in made.did)
    assert any(text.startswith("230 rows of a series and period that had one: units added up") for text in made.did)


def test_dates_that_can_be_read_both_ways_are_read_day_first_and_it_is_said_how_to_choose_the_other() -> None:
    table = table_of([f"{day:02}/03/2024" for day in range(1, 13)])
    made = convert(table, {}, name="made")
    assert made.panel["date"][0] == dt.date(2024, 3, 1)
    assert any("day first" in text and "--date-format %m/%d/%Y" in text for text in made.did)
    with pytest.raises(DataGateError, match="days apart"):
        convert(table, {}, name="made", date_format="%m/%d/%Y")


def test_days_that_look_like_months_because_they_are_read_day_first_are_refused_with_the_other_reading() -> None:
    with pytest.raises(DataGateError, match="days apart") as caught:
        convert(table_of([f"03/{day:02}/2024" for day in range(1, 13)]), {}, name="made")
    assert "--date-format %m/%d/%Y" in caught.value.hint


@pytest.mark.parametrize("freq", ["D", "W"])
def test_sums_of_months_become_no_days_or_weeks_because_it_is_asked_for(freq: str) -> None:
    with pytest.raises(DataGateError, match="sums of months"):
        convert(table_of([f"2024-{month:02}-01" for month in range(1, 13)]), {}, name="made", freq=freq)


def test_a_covariate_of_texts_is_taken_and_one_of_flags_is_numbers() -> None:
    events = ["Easter", None, " Sale", *[None] * 7]
    rows = table_of(days_written("%Y-%m-%d"), x_event=events, x_open=["True", "False"] * 5, x_rain=["0.5"] * 10)
    made = convert(pl.concat([rows, rows[2:3]]), {}, name="made")
    assert made.panel["x_event"].to_list() == ["Easter", None, "Sale", *[None] * 7]
    assert made.panel["x_open"].to_list() == [1.0, 0.0] * 5
    assert made.panel["x_rain"].to_list() == [0.5] * 10
    assert any(text.startswith("x_event is texts, the first 'Easter'") for text in made.did)
    assert "x_open: true is 1, false is 0" in made.did


def test_a_mistyped_number_of_a_covariate_is_no_category() -> None:
    with pytest.raises(DataGateError, match=r"x_rain .* such as '0,5', are no numbers"):
        convert(table_of(days_written("%Y-%m-%d"), x_rain=[*map(str, range(9)), "0,5"]), {}, name="made")


def test_an_added_row_has_the_covariates_of_its_day_and_not_those_of_other_series() -> None:
    days = days_written("%Y-%m-%d", 4)
    rows = [
        {"date": day, "store_id": store, "product_id": product, "units": "2", "x_holiday": str(at % 2), "x_rain": store[1:]}
        | {"x_promo": str(int(product == "A"))}
        for at, day in enumerate(days)
        for store in ("S1", "S2")
        for product in ("A", "B", "C")
        if (day, store, product) != (days[1], "S2", "A")
    ]
    made = convert(pl.DataFrame(rows), {}, name="made", gaps_are_zero=True)
    added = made.panel.filter((pl.col("store_id") == "S2") & (pl.col("product_id") == "A")).row(1, named=True)
    assert added["units"] == 0
    assert (added["x_holiday"], added["x_rain"], added["x_promo"]) == (1.0, 2.0, None)
    assert [text for text in made.did if text.startswith("x_")] == [
        "x_holiday of added rows: 1 have the one value that all series have at that time",
        "x_rain of added rows: 1 have the one value that all series of the store have at that time",
        "x_promo is unknown in 1 added rows: nothing in the table says it",
    ]
    assert made.panel.drop_nulls("x_promo").height == len(rows)


def test_a_row_without_an_event_says_that_there_is_none() -> None:
    rows = pl.DataFrame(
        {
            "date": ["2024-01-01", "2024-01-02", "2024-01-03"] * 3 + ["2024-01-01", "2024-01-03"],
            "product_id": ["A"] * 3 + ["B"] * 3 + ["C"] * 3 + ["D"] * 2,
            "units": 1,
            "x_event": [None, "Sale", None] * 3 + [None, None],
            "x_offer": [None, "2 for 1", None] * 2 + [None] * 5,
        }
    )
    added = convert(rows, {}, name="made", gaps_are_zero=True).panel.row(10, named=True)
    assert (added["product_id"], added["units"]) == ("D", 0)
    assert (added["x_event"], added["x_offer"]) == ("Sale", None)


def test_what_one_row_alone_says_of_a_day_is_not_taken_for_all() -> None:
    rows = pl.DataFrame(
        {
            "date": ["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-01", "2024-01-03"],
            "product_id": ["A", "A", "A", "B", "B"],
            "units": 1,
            "x_promo": ["0", "1", "0", "0", "0"],
        }
    )
    made = convert(rows, {}, name="made", gaps_are_zero=True)
    assert made.panel["x_promo"].to_list() == [0, 1, 0, 0, None, 0]
    assert "x_promo is unknown in 1 added rows: nothing in the table says it" in made.did


def test_weeks_are_told_from_days_and_put_on_one_weekday() -> None:
    weeks = [START + dt.timedelta(days=7 * week) for week in range(10)]
    rows = pl.DataFrame({"date": [*weeks[:-1], weeks[-1] + dt.timedelta(days=2)], "product_id": "A", "units": 1})
    assert infer_freq(rows["date"]) == "W"
    made = convert(rows, {}, name="made", freq="W")
    assert made.panel["date"].to_list() == weeks
    assert any("moved back" in text for text in made.did)


@pytest.mark.parametrize(
    ("rows", "columns", "said"),
    [
        (pl.DataFrame({"date": ["2024-01-01"], "product_id": ["A"], "qty": [1]}), {}, "which column is units"),
        (pl.DataFrame({"date": ["2024-01-01"], "product_id": ["A"], "qty": [1]}), {"units": "sold"}, "no column 'sold'"),
        (pl.DataFrame({"date": ["1.1.24"], "product_id": ["A"], "units": [1]}), {}, "such as '1.1.24', are no dates"),
        (pl.DataFrame({"date": ["2024-01-01"], "product_id": ["A"], "units": ["many"]}), {}, "such as 'many', are no numbers"),
        (pl.DataFrame({"date": ["2024-01-01"], "product_id": ["A"], "units": [1]}), {}, "from one date"),
        (pl.DataFrame({"date": ["2024-01-01", "2024-02-01", "2024-03-01"], "product_id": "A", "units": 1}), {}, "days apart"),
    ],
)
def test_what_cannot_become_a_panel_is_refused(rows: pl.DataFrame, columns: dict[str, str], said: str) -> None:
    with pytest.raises(DataGateError, match=said):
        convert(rows, columns, name="made")
