"""States of another layout or catalogue have other names, so that they never meet."""

from __future__ import annotations

import dataclasses

import pytest

from contracts import stream_states
from contracts.features import FEATURES, STOCK
from contracts.settings import Settings
from contracts.stream_states import STATE_LAYOUT, group_fingerprint, state_fingerprint, worker_group
from streams import names
from streams.packing import State
from streams.prices import PriceState
from streams.stale import is_left_over
from streams.stock import StockState

# What each kernel stores, in its order. A change here raises STATE_LAYOUT of its source by one.
STORED = {
    "sales": (4, State._fields, ["head", "last_id", "names", "name_ends", "seen", "rings", "weeks"]),
    "inventory": (1, StockState.__struct_fields__, ["as_of", "offset", "seen", "complete", "folded", "out", "moves", "heard"]),
    "prices": (1, PriceState.__struct_fields__, ["as_of", "offset", "seen", "complete", "plans"]),
}


@pytest.mark.parametrize("source", STATE_LAYOUT)
def test_a_layout_has_its_number(source: str) -> None:
    number, stored, fields = STORED[source]
    assert STATE_LAYOUT[source] == number
    assert list(stored) == fields, "raise STATE_LAYOUT, and this test with it"


def test_a_feature_changes_the_states_of_its_source_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    before, group = {source: state_fingerprint(source) for source in STATE_LAYOUT}, group_fingerprint(Settings())
    more = dataclasses.replace(next(f for f in FEATURES if f.view == STOCK.name), name="another")
    monkeypatch.setattr(stream_states, "FEATURES", (*FEATURES, more))
    assert {source for source in STATE_LAYOUT if state_fingerprint(source) != before[source]} == {"inventory"}
    assert group_fingerprint(Settings()) != group


def test_a_reason_or_an_owner_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    before = group_fingerprint(Settings())
    monkeypatch.setattr(stream_states, "FEATURES", tuple(dataclasses.replace(f, why="so", owner="me") for f in FEATURES))
    assert group_fingerprint(Settings()) == before


def test_another_local_day_changes_all() -> None:
    before = group_fingerprint(Settings(time_zone="Europe/London"))
    assert group_fingerprint(Settings(time_zone="Europe/Berlin")) != before
    assert group_fingerprint(Settings(time_zone="Europe/London", store_time_zones={"s-1": "Africa/Cairo"})) != before


def test_a_batch_view_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    before = group_fingerprint(Settings())
    monkeypatch.setattr(stream_states, "FEATURES", tuple(f for f in FEATURES if f.view != "demand_daily"))
    assert group_fingerprint(Settings()) == before


@pytest.mark.parametrize(
    ("name", "left_over"),
    [
        ("x.rd360-streams", True),
        ("x.rd360-streams-stock-states-changelog", True),
        ("x.rd360-streams-0badcafe-stock-states-0badcafe-changelog", True),
        ("rd360-streams", False),
        ("xx.rd360-streams", False),
        ("x.rd360-streamside", False),
        ("x.sales", False),
    ],
)
def test_what_other_versions_left_is_told_from_what_is_in_use(name: str, left_over: bool) -> None:
    settings = Settings(topic_prefix="x.")
    assert is_left_over(settings, name) is left_over
    for current in (worker_group(settings), names.changelog(settings, STOCK), names.leader(settings)):
        assert not is_left_over(settings, current)
