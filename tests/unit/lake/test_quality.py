"""Quality rules of a user's own: what their file may say, and what is said of one that is wrong."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from contracts.errors import ConfigurationError
from contracts.settings import Settings
from lake.quality import BUILT_IN, STOP, WARN, Rule, read, rules_of
from lake.quality_check import Finding

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


def test_a_finding_has_its_rules_severity_where_there_are_faults_and_none_while_it_waits() -> None:
    march = dt.date(2024, 3, 1)
    stopping, warning = (Rule("a", "t", "w", holds="true", severity=severity) for severity in (STOP, WARN))
    found = [Finding(stopping, {march: 2, None: 1}), Finding(warning, {march: 1}), Finding(stopping)]

    assert [(f.state, f.stops, f.faults) for f in found] == [("stop", True, 3), ("warn", False, 1), ("ok", False, 0)]
    assert found[0].as_dict()["months"] == {"2024-03": 2, "all": 1}
    assert not Finding(stopping, {march: 1}, waiting=True).stops
