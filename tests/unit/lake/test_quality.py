"""Quality rules of a user's own: what their file may say, and what is said of one that is wrong."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from contracts.errors import ConfigurationError
from contracts.settings import Settings
from lake.quality import BUILT_IN, STOP, WARN, Rule, read, rules_of
from lake.quality_check import Finding, held_back

GOOD = '[[rule]]\nname = "cheap"\ntable = "lake.silver.sales"\nholds = "unit_price < 900"\nwhy = "we sell nothing dear"\n'


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

    assert held_back([stopping, warning, Finding(stopping.rule)]) == [march, april]
    assert (stopping.state, warning.state, Finding(stopping.rule).state) == ("stop", "warn", "ok")
    assert not Finding(stopping.rule, {march: 1}, waiting=True).stops
