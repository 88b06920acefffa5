"""Whose holidays a store keeps, and which files of the user's are holidays."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contracts.errors import ConfigurationError, DataGateError, UsageError
from contracts.settings import Settings, load_settings
from lake.public_holidays import OwnDay, library_days, own_days_of, places, read_own_days, require_known

CHRISTMAS, EVE = dt.date(2026, 12, 25), dt.date(2026, 12, 24)


def csv(folder: Path, text: str) -> Path:
    path = folder / "days.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_library_tells_parts_of_a_country_apart() -> None:
    england = dict(library_days("GB-ENG", [2024]))
    scotland = dict(library_days("GB-SCT", [2024]))

    assert len(england) == 8
    assert england[dt.date(2024, 4, 1)] == "Easter Monday"
    assert dt.date(2024, 4, 1) not in scotland
    assert dt.date(2024, 11, 30) in scotland  # St Andrew's Day
    assert dict(library_days("GB-ENG", [2022]))[dt.date(2022, 12, 27)]  # the 25th was a Sunday: a day in its place
    assert library_days("", [2024]) == []


@pytest.mark.parametrize("place", ["XX", "GB-ZZZ"])
def test_a_place_that_the_library_does_not_know_is_a_wrong_setting(place: str) -> None:
    with pytest.raises(ConfigurationError, match=place):
        require_known(Settings(store_holidays={"s-1": place}))
    require_known(Settings(holidays="", store_holidays={"s-1": "US-NY"}))


@pytest.mark.parametrize("place", ["gb", "United Kingdom", "GB-", "GB-ENGLAND"])
def test_a_place_that_is_no_code_is_refused_with_the_settings(place: str) -> None:
    with pytest.raises(ConfigurationError, match="RD360_HOLIDAYS"):
        load_settings(holidays=place)


def test_a_store_keeps_its_own_days_then_those_of_all_then_its_place_then_the_chains() -> None:
    stores = ("s-1", "s-2", "s-3")

    assert places(stores, [], "GB", {"s-2": "US-NY"}) == {"s-1": "GB", "s-2": "US-NY", "s-3": "GB"}
    assert places(stores, ["s-3"], "GB", {"s-2": "US-NY"}) == {"s-1": "GB", "s-2": "US-NY", "s-3": "file:s-3"}
    assert places(stores, ["*", "s-3"], "GB", {"s-2": "US-NY"}) == {"s-1": "file:*", "s-2": "file:*", "s-3": "file:s-3"}


def test_a_stores_own_day_beats_that_of_all_stores_and_the_others_stay() -> None:
    own = [OwnDay("*", CHRISTMAS, "Christmas"), OwnDay("*", EVE, "Eve"), OwnDay("s-1", EVE, "Fair"), OwnDay("s-2", EVE, "Flood")]

    assert own_days_of(own, "s-1") == [(EVE, "Fair"), (CHRISTMAS, "Christmas")]
    assert own_days_of(own, "*") == [(EVE, "Eve"), (CHRISTMAS, "Christmas")]


def test_a_text_file_and_a_parquet_file_say_the_same(tmp_path: Path) -> None:
    text = csv(tmp_path, "name,day,store_id,why\nChristmas,2026-12-25,,x\nFair,2026-12-24,007,y\nFair,2026-12-24,007,again\n")
    columns = {"day": [CHRISTMAS, EVE], "name": ["Christmas", "Fair"], "store_id": [None, "007"]}
    pq.write_table(pa.table(columns), tmp_path / "dates.parquet")
    instants = columns | {"day": [dt.datetime(2026, 12, 25), dt.datetime(2026, 12, 24)]}  # noqa: DTZ001  # as pandas writes days
    pq.write_table(pa.table(instants), tmp_path / "instants.parquet")
    expected = [OwnDay("*", CHRISTMAS, "Christmas"), OwnDay("007", EVE, "Fair")]

    assert read_own_days(text) == expected
    assert read_own_days(tmp_path / "dates.parquet") == expected
    assert read_own_days(tmp_path / "instants.parquet") == expected


def test_days_without_a_store_are_of_all_stores_and_a_file_may_be_empty(tmp_path: Path) -> None:
    assert read_own_days(csv(tmp_path, "day,name\n2026-12-25,Christmas\n")) == [OwnDay("*", CHRISTMAS, "Christmas")]
    assert read_own_days(csv(tmp_path, "day,name\n")) == []


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("25.12.2026,Christmas", "row 2: '25.12.2026' is not a day"),
        (",Christmas", "row 2: '' is not a day"),
        ("2026-12-25, ", "row 2: the holiday has no name"),
        ("2026-12-24,Other", "row 2: 2026-12-24 of store \\* has another name"),
    ],
)
def test_a_row_that_is_no_holiday_is_named(tmp_path: Path, row: str, why: str) -> None:
    with pytest.raises(DataGateError, match=why):
        read_own_days(csv(tmp_path, f"day,name\n2026-12-24,Eve\n{row}\n"))


def test_an_instant_within_a_day_is_no_holiday(tmp_path: Path) -> None:
    path = tmp_path / "days.parquet"
    pq.write_table(pa.table({"day": [dt.datetime(2026, 12, 25, 9, tzinfo=dt.UTC)], "name": ["Christmas"]}), path)

    with pytest.raises(DataGateError, match="is an instant, not a day"):
        read_own_days(path)


def test_a_file_that_is_no_such_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "days.parquet").write_bytes(b"day,name\n")
    (tmp_path / "days.xlsx").write_bytes(b"")

    with pytest.raises(UsageError, match="has no column name"):
        read_own_days(csv(tmp_path, "day,title\n2026-12-25,Christmas\n"))
    with pytest.raises(UsageError, match="cannot be read"):
        read_own_days(tmp_path / "days.parquet")
    with pytest.raises(UsageError, match="cannot be read"):
        read_own_days(tmp_path / "absent.csv")
    with pytest.raises(UsageError, match=r"neither \.parquet nor \.csv"):
        read_own_days(tmp_path / "days.xlsx")
