"""What every OnlineStore promises: one suite for the fake and for Feast on a real Valkey or Redis."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from contracts.errors import DependencyUnavailable
from contracts.features import CATALOGUE_FINGERPRINT, VIEWS, DType, features_of
from contracts.settings import Settings, load_settings
from featurestore.keys import key_columns
from featurestore.online import OnlineStore, open_online_store
from tests.fakes import FakeOnlineStore

EXTREMES: dict[DType, Any] = {
    "int64": -(2**63) + 1,
    "float64": 0.1 + 0.2,
    "string": "Käse & 北京 \u0000 ",
    "int64[]": [2**53 + 1, -1, 0],
    "float64[]": [1e-300, -0.5],
}


@pytest.fixture(params=["fake", pytest.param("feast", marks=pytest.mark.stack)])
def online(request: pytest.FixtureRequest) -> Iterator[OnlineStore]:
    if request.param == "fake":
        yield FakeOnlineStore()
        return
    settings: Settings = request.getfixturevalue("settings")
    # a project of its own: the suite neither sees nor leaves rows of others
    store = open_online_store(settings.model_copy(update={"topic_prefix": f"test-{uuid.uuid4().hex}-"}))
    yield store
    store.close()


def row(view: str, *key: str, as_of: int = 1_700_000_000_123, **features: Any) -> dict[str, Any]:
    keys = dict(zip(key_columns(view), key, strict=True))
    empty = {feature.name: None for feature in features_of(view)}
    return {**keys, "as_of_ms": as_of, "source_offset": 7, "fingerprint": CATALOGUE_FINGERPRINT, **empty, **features}


@pytest.mark.parametrize("view", VIEWS)
def test_every_feature_of_every_view_comes_back_as_it_was_written(online: OnlineStore, view: str) -> None:
    key = tuple(f"{column} 1" for column in key_columns(view))
    full = row(view, *key, **{feature.name: EXTREMES[feature.dtype] for feature in features_of(view)})

    online.write(view, [full])

    (read,) = online.read(view, [key])
    assert read == full
    assert {name: type(value) for name, value in read.items()} == {name: type(value) for name, value in full.items()}


@pytest.mark.parametrize("view", VIEWS)
def test_a_null_is_none_and_replaces_what_was_there(online: OnlineStore, view: str) -> None:
    key = tuple("k" for _ in key_columns(view))
    online.write(view, [row(view, *key, **{feature.name: EXTREMES[feature.dtype] for feature in features_of(view)})])
    online.write(view, [row(view, *key)])

    assert online.read(view, [key]) == [row(view, *key)]


def test_an_empty_list_is_not_a_null(online: OnlineStore) -> None:
    online.write("price_plan", [row("price_plan", "*", "p", plan_from=[], plan_to=None)])

    (read,) = online.read("price_plan", [("*", "p")])
    assert read is not None
    assert (read["plan_from"], read["plan_to"]) == ([], None)


def test_a_missing_row_is_none_and_the_order_is_the_askers(online: OnlineStore) -> None:
    online.write("stock", [row("stock", "s1", "p1", on_hand=1), row("stock", "s1", "p2", on_hand=2)])

    read = online.read("stock", [("s1", "p2"), ("s1", "nothing"), ("s1", "p1"), ("s1", "p2")])

    assert [found and found["on_hand"] for found in read] == [2, None, 1, 2]
    assert online.read("stock", []) == []


def test_a_row_of_another_view_of_the_same_key_is_not_this_views_row(online: OnlineStore) -> None:
    online.write("stock", [row("stock", "s1", "p1", on_hand=1)])

    assert online.read("demand_daily", [("s1", "p1")]) == [None]
    assert list(online.scan("demand_daily")) == []


def test_a_row_that_is_older_or_as_old_replaces_a_newer_one(online: OnlineStore) -> None:
    # each key has one writer; after a crash it may write an earlier state again, then catches up
    online.write("stock", [row("stock", "s1", "p1", as_of=1_700_000_000_001, on_hand=1)])
    online.write("stock", [row("stock", "s1", "p1", as_of=1_700_000_000_001, on_hand=2)])
    online.write("stock", [row("stock", "s1", "p1", as_of=1_600_000_000_000, on_hand=3)])

    (read,) = online.read("stock", [("s1", "p1")])
    assert read is not None
    assert (read["on_hand"], read["as_of_ms"]) == (3, 1_600_000_000_000)


def test_the_last_row_of_a_key_in_one_write_wins(online: OnlineStore) -> None:
    online.write("stock", [row("stock", "s1", "p1", on_hand=n) for n in (1, 2, 3)])

    (read,) = online.read("stock", [("s1", "p1")])
    assert read is not None
    assert read["on_hand"] == 3


def test_scan_gives_every_key_once(online: OnlineStore) -> None:
    keys = {(f"s{n % 3}", f"p{n}") for n in range(2_500)} | {("*", "p"), ("[x]?*\\", "^p-"), ("s", "rd360")}
    online.write("stock", [row("stock", *key, on_hand=0) for key in sorted(keys)])
    online.write("product", [row("product", "only a product")])

    found = list(online.scan("stock"))

    assert len(found) == len(keys)
    assert set(found) == keys
    assert list(online.scan("product")) == [("only a product",)]


def test_a_row_that_lacks_a_column_is_refused(online: OnlineStore) -> None:
    lacking = row("stock", "s1", "p1")
    del lacking["on_hand"]

    with pytest.raises(KeyError, match="on_hand"):
        online.write("stock", [lacking])


def test_a_server_that_is_not_there_is_a_dependency_unavailable() -> None:
    settings = load_settings(redis_address="127.0.0.1:1", postgres_password="not used")

    with pytest.raises(DependencyUnavailable, match=r"127\.0\.0\.1:1"):
        open_online_store(settings)


def test_parts_are_written_in_their_order_and_each_is_there_when_it_ends(online: OnlineStore) -> None:
    """Rows of several views in a part, the same keys in one part after another, and one that was encoded before."""
    keys = [(f"s-{number}", "p-1") for number in range(4)]

    def part(number: int) -> dict[str, list[dict[str, Any]]]:
        stock = [row("stock", *key, as_of=1_700_000_000_000 + number, on_hand=number) for key in keys]
        return {"stock": stock, "store": [row("store", "s-0", lead_time_days=number)]}

    parts = [part(number) for number in range(6)]
    encoded = [{view: online.encoded(view, rows) for view, rows in each.items()} for each in parts]
    ended = 0
    for _ in online.write_each(encoded):
        found = online.read("stock", keys)
        assert min(found_row["as_of_ms"] for found_row in found if found_row) >= parts[ended]["stock"][0]["as_of_ms"]
        ended += 1
    assert ended == len(parts)
    assert online.read("stock", keys) == parts[-1]["stock"]
    assert online.read("store", [("s-0",)]) == parts[-1]["store"]
