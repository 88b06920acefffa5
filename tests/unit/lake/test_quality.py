"""Quality rules of a user's own: what their file may say, and what is said of one that is wrong."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from contracts.errors import ConfigurationError
from contracts.settings import Settings
from lake import schemas
from lake.quality import BUILT_IN, JUDGED_SOURCES, STOP, WARN, Rule, read, rules_of
from lake.quality_check import Finding, held_back

GOOD = '[[rule]]\nname = "cheap"\ntable = "lake.silver.sales"\nholds = "unit_price < 900"\nwhy = "we sell nothing dear"\n'


def _with_query(query: str) -> str:
    return GOOD.replace('holds = "unit_price < 900"', f'faults = "{query}"')


def test_a_file_adds_rules_to_the_built_in_ones(tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    path.write_text(f'{GOOD}severity = "warn"\n', encoding="utf-8")
    own = Rule("cheap", "lake.silver.sales", "we sell nothing dear", holds="unit_price < 900", severity=WARN)

    assert rules_of(Settings(quality_rules=path)) == (*BUILT_IN, own)
    assert rules_of(Settings(quality_rules=None)) == BUILT_IN


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[rule", "]]"),
        ("rule = 3\n", "consist of"),
        ("", "consist of"),
        (f"{GOOD}size = 3\n", "texts named"),
        (GOOD.replace('why = "we sell nothing dear"\n', ""), "has no why"),
        (f'{GOOD}faults = "SELECT 1"\n', "one of holds and faults"),
        (f'{GOOD}severity = "bad"\n', "neither stop nor warn"),
        (GOOD.replace("silver.sales", "gold.promotions"), "no table of the lake"),
        (_with_query("SELECT * FROM {gold_promotions}"), "{gold_promotions}, which is no table of the lake"),
        (_with_query("SELECT * FROM {rows} WHERE store_id RLIKE 's{2}'"), "a brace itself is doubled"),
        (_with_query("SELECT * FROM {rows"), "a brace too many or too few"),
        (GOOD + GOOD, "two rules are named cheap"),
        (GOOD.replace("cheap", BUILT_IN[0].name), f"two rules are named {BUILT_IN[0].name}"),
    ],
)
def test_a_file_that_is_wrong_is_refused_with_what_is_wrong(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "rules.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as refused:
        read(path)
    assert said in refused.value.why


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        read(tmp_path / "none.toml")


def test_only_rules_that_stop_hold_months_back() -> None:
    march, april = dt.date(2024, 3, 1), dt.date(2024, 4, 1)
    stopping = Finding(Rule("a", "t", "w", holds="true", severity=STOP), {april: 1, march: 2})
    warning = Finding(Rule("b", "t", "w", holds="true", severity=WARN), {dt.date(2024, 5, 1): 9})

    assert held_back([stopping, warning, Finding(stopping.rule)]) == {march, april}
    assert held_back([stopping, Finding(stopping.rule, {None: 1})]) == {march, april, None}
    assert (stopping.state, warning.state, Finding(stopping.rule).state) == ("stop", "warn", "ok")
    assert not Finding(stopping.rule, {march: 1}, waiting=True).stops


def test_a_rule_may_name_every_table_of_the_lake_in_its_query(tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    path.write_text(_with_query("SELECT {rows.store_id} FROM {rows} JOIN {gold_daily} JOIN {bronze_events}"), encoding="utf-8")
    assert read(path)[0].others == ["lake.bronze.events", "lake.gold.daily"]


@pytest.mark.parametrize("table", [table.name for table in schemas.TABLES])
def test_a_rule_stops_what_is_published_or_made_into_gold_and_is_refused_where_it_can_stop_nothing(
    tmp_path: Path, table: str
) -> None:
    path = tmp_path / "rules.toml"
    stops = GOOD.replace("lake.silver.sales", table)
    path.write_text(f'{stops}severity = "{WARN}"\n', encoding="utf-8")
    assert read(path)[0].table == table

    path.write_text(stops, encoding="utf-8")
    if table in {published.name for published in schemas.PUBLISHED} | set(JUDGED_SOURCES):
        assert read(path)[0].severity == STOP
        return
    with pytest.raises(ConfigurationError, match="cannot stop") as refused:
        read(path)
    assert table in refused.value.why
    assert 'severity = "warn"' in refused.value.hint
    assert "a rule about" in refused.value.hint


def test_the_month_of_a_row_is_that_of_the_partitions_of_its_table() -> None:
    months = {table.name.removeprefix("lake."): table.month_of for table in schemas.PUBLISHED}
    of_features = dict.fromkeys(
        ("sales_rolling", "store_rolling", "category_rolling", "stock", "price_plan", "demand_daily"), "event_time"
    )
    expected = {f"gold.{name}": column for name, column in of_features.items()}
    assert {name: column for name, column in months.items() if column is not None} == expected | {
        "gold.daily": "local_day",
        "gold.returns": "local_day",
        "gold.forecast_actual": "target_day",
    }
