"""Feast's own client on rows that are one field: what is asked for by name comes back."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from feast import FeatureStore
from feast.repo_config import RepoConfig

from contracts.features import CATALOGUE_FINGERPRINT, FINGERPRINT, METADATA, VIEWS, features_of
from contracts.settings import Settings
from featurestore.definitions import ENTITIES, FEATURE_VIEWS
from featurestore.feast_online import FeastOnlineStore
from featurestore.keys import key_columns, value_columns
from featurestore.repo import repo_config

SOME_TIME = 1_764_000_000_123
KEY = {"store_id": "s1", "product_id": "p1"}


@dataclass
class Place:
    """A Feast project of one test, its registry a file."""

    store: FeatureStore
    online: FeastOnlineStore


@pytest.fixture
def place(settings: Settings, tmp_path: Path) -> Iterator[Place]:
    own = settings.model_copy(update={"topic_prefix": f"{uuid.uuid4().hex}-"})
    of_platform = repo_config(own)
    config = RepoConfig(
        project=of_platform.project,
        provider=of_platform.provider,
        registry=str(tmp_path / "registry.db"),
        online_store=of_platform.online_store,
        entity_key_serialization_version=of_platform.entity_key_serialization_version,
    )
    store = FeatureStore(config=config)
    store.apply([*ENTITIES, *FEATURE_VIEWS.values()])
    online = FeastOnlineStore.open(own)
    yield Place(store, online)
    online.close()


def a_row(view: str, first: int, fingerprint: str = CATALOGUE_FINGERPRINT) -> dict[str, Any]:
    numbers = {f.name: first + at for at, f in enumerate(features_of(view)) if f.dtype == "int64"}
    others = {f.name: None for f in features_of(view) if f.dtype != "int64"}
    return {**KEY, "as_of_ms": SOME_TIME, "source_offset": 3, FINGERPRINT: fingerprint, **numbers, **others}


@pytest.mark.parametrize("view", VIEWS)
def test_values_stand_in_the_order_of_the_columns(view: str) -> None:
    assert [field.name for field in FEATURE_VIEWS[view].features] == list(value_columns(view))


@pytest.mark.stack
def test_features_of_several_views_are_read_by_name_in_any_order(place: Place) -> None:
    sales, stock = a_row("sales_rolling", 10), a_row("stock", 500)
    place.online.write("sales_rolling", [sales])
    place.online.write("stock", [stock])
    wanted = {
        view: [*[f.name for f in features_of(view) if f.dtype == "int64"][::-2], "source_offset"]
        for view in ("stock", "sales_rolling")
    }
    asked = [f"{view}:{name}" for view, names in wanted.items() for name in names]
    keys = [KEY, {"store_id": "s1", "product_id": "nothing"}]

    found = place.store.get_online_features(asked, keys, full_feature_names=True).to_dict()
    at_once = asyncio.run(place.store.get_online_features_async(asked, keys, full_feature_names=True)).to_dict()

    rows = {"stock": stock, "sales_rolling": sales}
    expected = {f"{view}__{name}": [rows[view][name], None] for view, names in wanted.items() for name in names}
    assert found == at_once
    assert {name: values for name, values in found.items() if name not in KEY} == expected


@pytest.mark.stack
def test_the_event_time_is_the_rows(place: Place) -> None:
    place.online.write("stock", [a_row("stock", 1)])
    found = place.store.get_online_features(["stock:on_hand"], [KEY]).to_dict(include_event_timestamps=True)
    assert found["on_hand__ts"] == [SOME_TIME // 1000]


@pytest.mark.stack
def test_of_a_row_of_another_catalogue_only_what_every_row_begins_with_is_known(place: Place) -> None:
    place.online.write("stock", [a_row("stock", 1, fingerprint="of another")])

    (found,) = place.online.read("stock", [tuple(KEY.values())])

    assert found == {**a_row("stock", 1, fingerprint="of another"), **dict.fromkeys((f.name for f in features_of("stock")), None)}
    assert {name for name in found if found[name] is not None} == {*METADATA, *key_columns("stock")}


@pytest.mark.stack
def test_a_view_that_goes_takes_its_rows_and_no_others(place: Place) -> None:
    place.online.write("stock", [a_row("stock", 1)])
    place.online.write("sales_rolling", [a_row("sales_rolling", 1)])
    other = {**KEY, "product_id": "p2"}
    place.online.write("stock", [a_row("stock", 1) | other])

    place.store.apply(
        [*ENTITIES, *(view for name, view in FEATURE_VIEWS.items() if name != "stock")],
        objects_to_delete=[FEATURE_VIEWS["stock"]],
        partial=False,
    )

    assert place.online.read("stock", [tuple(KEY.values()), tuple(other.values())]) == [None, None]
    assert place.online.read("sales_rolling", [tuple(KEY.values())]) == [a_row("sales_rolling", 1)]
    assert list(place.online.scan("stock")) == []
    assert list(place.online.scan("sales_rolling")) == [tuple(KEY.values())]
