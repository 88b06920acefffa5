"""Tables as data: derived from the catalogue, each creatable, each with the columns its writers use."""

from __future__ import annotations

from contracts.features import FEATURES, VIEWS
from lake import schemas
from lake.progress import before, not_seen
from training.score import FORECASTS


def test_every_feature_has_a_column_of_its_type() -> None:
    for feature in FEATURES:
        columns = dict(schemas.FEATURE_TABLES[feature.view].columns)
        assert columns[feature.name] == schemas.SPARK_TYPES[feature.dtype]


def test_every_feature_table_has_its_keys_and_both_timestamps() -> None:
    for view in VIEWS.values():
        names = schemas.FEATURE_TABLES[view.name].column_names
        assert {"event_time", "created", "as_of_ms", "source_offset", "fingerprint"} <= set(names)
        assert names[: len(view.entities)] == [f"{entity}_id" for entity in view.entities]


def test_no_table_names_a_column_twice() -> None:
    for table in schemas.TABLES:
        assert len(set(table.column_names)) == len(table.columns)
    assert len({table.name for table in schemas.TABLES}) == len(schemas.TABLES)


def test_snapshots_that_a_running_query_needs_are_kept() -> None:
    assert "'history.expire.min-snapshots-to-keep'='20'" in schemas.BRONZE_EVENTS.ddl()


def test_what_was_not_seen_is_new_partitions_and_later_offsets() -> None:
    text = not_seen({("sales", 0): 7, ("other", 0): 3}, ["sales", "prices"])

    assert text == (
        "(topic = 'prices' AND TRUE) OR (topic = 'sales' AND ((`partition` NOT IN (0)) OR (`partition` = 0 AND `offset` >= 7)))"
    )
    assert before({("sales", 0): 7}) == "(topic = 'sales' AND `partition` = 0 AND `offset` < 7)"
    assert before({}) == "FALSE"


def test_what_the_scoring_writes_is_what_the_lake_keeps() -> None:
    assert FORECASTS.names == schemas.GOLD_FORECASTS.column_names
