"""Feast's objects, the page and the goldens are what the catalogue says.

After a change of the catalogue: `./rd360 features show --markdown > docs/features.md`, and
`python -m tests.golden.feature_definitions` from the checkout. Models trained on the old catalogue are then refused.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from contracts import features as catalogue
from contracts.features import ENTITY_KEYS, FEATURES, METADATA, VIEWS, check_catalogue, features_of
from featurestore.catalogue import markdown, snapshot
from featurestore.definitions import ENTITIES, FEAST_TYPES, FEATURE_VIEWS

ROOT = Path(__file__).parents[3]


def test_the_catalogue_is_sound() -> None:
    assert check_catalogue() == []


@pytest.mark.parametrize("view", VIEWS.values(), ids=lambda view: view.name)
def test_a_feast_view_has_the_columns_types_and_keys_of_its_view(view: catalogue.View) -> None:
    feast = FEATURE_VIEWS[view.name]
    dtypes = {**METADATA, **{feature.name: feature.dtype for feature in features_of(view.name)}}

    assert [column.name for column in feast.entity_columns] == [ENTITY_KEYS[entity] for entity in view.entities]
    assert {column.name: column.dtype for column in feast.features} == {name: FEAST_TYPES[d] for name, d in dtypes.items()}
    assert feast.batch_source is not None
    assert feast.batch_source.get_table_query_string().replace("`", "") == view.table


def test_every_view_and_entity_is_registered_and_no_other() -> None:
    assert set(FEATURE_VIEWS) == set(VIEWS)
    assert {entity.name: entity.join_key for entity in ENTITIES} == ENTITY_KEYS


def test_a_feature_brings_its_unit_owner_and_why_into_the_registry() -> None:
    registered = {field.name: field for view in FEATURE_VIEWS.values() for field in view.features}

    for feature in FEATURES:
        field = registered[feature.name]
        assert (field.description, field.tags["unit"], field.tags["owner"]) == (feature.why, feature.unit, feature.owner)


def test_no_two_columns_of_views_with_the_same_key_share_a_field_in_redis() -> None:
    # Feast names a field by 32 bits of a hash of `view:feature`, in one hash per key
    from feast.infra.online_stores.helpers import _mmh3

    names = [f"{view.name}:{field.name}" for view in FEATURE_VIEWS.values() for field in view.features]
    assert len({_mmh3(name) for name in names}) == len(names)


def test_the_features_page_is_current() -> None:
    assert (ROOT / "docs/features.md").read_text(encoding="utf-8") == markdown()


def test_a_change_of_definitions_is_seen() -> None:
    golden = json.loads((ROOT / "tests/golden/feature_definitions.json").read_text(encoding="utf-8"))

    assert json.loads(json.dumps(snapshot())) == golden


def test_the_fingerprint_follows_what_a_feature_is_and_not_how_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    before = catalogue.fingerprint()
    first, *others = FEATURES

    monkeypatch.setattr(catalogue, "FEATURES", (replace(first, why="told better", owner="others", unit="pieces"), *others))
    assert catalogue.fingerprint() == before
    monkeypatch.setattr(catalogue, "FEATURES", (replace(first, window="7d"), *others))
    assert catalogue.fingerprint() != before
