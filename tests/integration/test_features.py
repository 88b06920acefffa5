"""The feature store on real PostgreSQL, S3, Spark and Valkey: registry, point-in-time joins, materialization, plain tables."""

from __future__ import annotations

import datetime as dt
import random
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pytest
from feast import FeatureView, Field
from feast.types import Int64
from pyspark.sql import SparkSession

from contracts.errors import ConfigurationError, DependencyUnavailable, NotFoundError
from contracts.features import CATALOGUE_FINGERPRINT, VIEWS, DType, features_of
from contracts.settings import Settings
from featurestore.definitions import FEATURE_VIEWS, product_entity, store_entity
from featurestore.keys import Row, key_columns, value_columns
from featurestore.materialize import BATCH_VIEWS, materialize
from featurestore.offline import OfflineStore, open_offline_store
from featurestore.online import open_online_store
from featurestore.registry import apply, open_feature_store
from lake import schemas
from lake.parity import same
from tests.own_lake import own_lake

pytestmark = pytest.mark.stack
HOUR_MS, DAY_MS = 3_600_000, 86_400_000
NOON = 1_750_000_000_000 // DAY_MS * DAY_MS + 12 * HOUR_MS


@dataclass(slots=True)
class Place:
    """A lake and a Feast project of this file alone."""

    session: SparkSession
    settings: Settings
    offline: OfflineStore

    def write(self, view: str, rows: Sequence[Row]) -> None:
        """Adds rows to the offline table of a view."""
        table = schemas.FEATURE_TABLES[view]
        types = ", ".join(f"{name} {kind}" for name, kind in table.columns)
        stamped = [{"event_time": instant(row["as_of_ms"]), "created": instant(row["as_of_ms"]), **row} for row in rows]
        ordered = [tuple(row[name] for name in table.column_names) for row in stamped]
        self.session.createDataFrame(ordered, types).writeTo(table.name).append()


@pytest.fixture(scope="module")
def place(settings: Settings) -> Iterator[Place]:
    tag = uuid.uuid4().hex[:8]
    own = settings.model_copy(update={"topic_prefix": f"features-{tag}."})
    with own_lake(settings, f"features_{tag}") as session:
        schemas.create_if_missing(session, schemas.FEATURE_TABLES.values())
        yield Place(session, own, open_offline_store(own))


def instant(time_ms: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(time_ms / 1000, dt.UTC)


def row(
    view: str, key: Sequence[str], as_of: int, rng: random.Random | None = None, bits: int = 63, **features: Any
) -> dict[str, Any]:
    values = {f.name: None if rng is None or rng.random() < 0.2 else anything(f.dtype, rng, bits) for f in features_of(view)}
    keys = dict(zip(key_columns(view), key, strict=True))
    return {**keys, "as_of_ms": as_of, "source_offset": -1, "fingerprint": CATALOGUE_FINGERPRINT, **values, **features}


def anything(dtype: DType, rng: random.Random, bits: int) -> Any:
    integer, real = rng.randrange(-(2**bits), 2**bits), rng.uniform(-1, 1) * 10 ** rng.randrange(-9, 9)
    values: dict[DType, Any] = {
        "int64": integer,
        "float64": real,
        "string": f"é {integer}",
        "int64[]": [integer, 0],
        "float64[]": [real, float("nan")],
    }
    return values[dtype]


def test_questions_before_the_registry_knows_the_catalogue_say_what_to_do(place: Place) -> None:
    asked = pa.table({"store_id": ["s"], "product_id": ["p"], "as_of_ms": [NOON]})

    with pytest.raises(ConfigurationError) as refused:
        place.offline.point_in_time(asked, ["stock"])
    assert "features apply" in refused.value.hint


def test_the_registry_follows_the_catalogue(place: Place) -> None:
    store = open_feature_store(place.settings)
    gone = FeatureView(
        name="gone", entities=[store_entity], schema=[Field(name="x", dtype=Int64)], source=FEATURE_VIEWS["store"].source
    )
    old = FeatureView(
        name="stock",
        entities=[store_entity, product_entity],
        schema=[Field(name="on_hand", dtype=Int64)],
        source=gone.batch_source,
    )
    store.apply([store_entity, product_entity, gone, old])

    planned = apply(place.settings, dry_run=True)
    done = apply(place.settings)
    again = apply(place.settings)

    assert planned == done
    assert (done.changed, done.removed) == (["stock"], ["gone"])
    assert (again.added, again.changed, again.removed, again.unchanged) == ([], [], [], list(VIEWS))
    registered = {view.name: view for view in open_feature_store(place.settings).list_feature_views()}
    assert set(registered) == set(VIEWS)
    assert registered["stock"].tags["fingerprint"] == CATALOGUE_FINGERPRINT


def test_a_question_gets_the_latest_row_of_its_key_up_to_its_instant(place: Place) -> None:
    apply(place.settings)
    rng = random.Random(7)
    # the first two keys read the same when their ids are written one after the other
    keys = [("s1", "1p"), ("s11", "p"), ("s2", "p"), ("s3", "é*?"), ("none", "none")]
    rows = {
        view: [
            row(view, key, NOON + hours * HOUR_MS + rng.randrange(3), rng) for key in keys[:-1] for hours in range(0, 240, step)
        ]
        for view, step in (("sales_rolling", 7), ("stock", 60), ("demand_daily", 24))
    }
    rows["price_plan"] = [row("price_plan", ("*", "p"), NOON, rng, plan_from=[1, 2]), row("price_plan", ("s2", "p"), NOON, rng)]
    rows["store"] = [row("store", (store,), 946_684_800_000, rng) for store in ("s1", "s2")]
    for view, of_view in rows.items():
        place.write(view, of_view)
    exact = [one["as_of_ms"] + off for one in rows["sales_rolling"][::9] for off in (-1, 0, 1)]
    instants = [*exact, NOON - DAY_MS, *(NOON + rng.randrange(-DAY_MS, 12 * DAY_MS) for _ in range(40))]
    asked = [(*rng.choice([*keys, ("*", "p")]), at, f"tag {at}") for at in instants for _ in range(2)]
    asked += asked[:3]
    columns = ("store_id", "product_id", "as_of_ms", "passed_through")
    questions = pa.table(dict(zip(columns, map(list, zip(*asked, strict=True)), strict=True)))

    answers = place.offline.point_in_time(questions, list(rows)).to_pylist()

    assert [tuple(answer[name] for name in columns) for answer in answers] == asked
    for answer in answers:
        for view, of_view in rows.items():
            found = latest(view, of_view, answer)
            assert answer[f"{view}__as_of_ms"] == (found and found["as_of_ms"]), (view, answer)
            for feature in features_of(view):
                assert same(answer[feature.name], found and found[feature.name]), (view, feature.name, answer)


def latest(view: str, rows: Sequence[Row], question: Row) -> Row | None:
    """The slow, obvious answer: the last row of the key at or before the instant, not older than two days but for master data."""
    oldest = 0 if VIEWS[view].source == "reference" else question["as_of_ms"] - 2 * DAY_MS
    mine = [one for one in rows if all(one[name] == question[name] for name in key_columns(view))]
    in_time = [one for one in mine if oldest <= one["as_of_ms"] <= question["as_of_ms"]]
    return max(in_time, key=lambda one: one["as_of_ms"], default=None)


def test_feast_leaves_the_session_as_it_was(place: Place) -> None:
    apply(place.settings)
    asked = pa.table({"store_id": ["s"], "product_id": ["p"], "as_of_ms": [NOON]})
    place.offline.point_in_time(asked, ["stock"])

    assert place.session.sql("SELECT 1 AS `a`, 2 AS `b`").select("`a`").columns == ["a"]
    assert place.session.conf.get("spark.sql.parser.quotedRegexColumnNames") == "false"


def test_the_latest_row_of_each_key_goes_online_exactly(place: Place) -> None:
    apply(place.settings)
    rng = random.Random(11)
    now = NOON + 100 * DAY_MS
    history: dict[str, list[dict[str, Any]]] = {}
    for view in BATCH_VIEWS:
        keys = [tuple(f"m{n}" for _ in key_columns(view)) for n in range(60)]
        instants = [now + days * DAY_MS for days in (-30, -2, -1, 0, 1)]  # the last one is not yet
        history[view] = [row(view, key, at, rng, bits=53) for key in keys for at in instants]
        rng.shuffle(history[view])
        place.write(view, history[view])

    materialize(place.settings, BATCH_VIEWS, now)

    online = open_online_store(place.settings)
    for view in BATCH_VIEWS:
        expected = {tuple(one[name] for name in key_columns(view)): one for one in history[view] if one["as_of_ms"] == now}
        for (key, wanted), found in zip(expected.items(), online.read(view, list(expected)), strict=True):
            assert found is not None, (view, key)
            assert not [name for name in value_columns(view) if not same(found[name], wanted[name])], (view, key)
    online.close()


def test_feasts_own_users_read_what_the_port_writes(place: Place) -> None:
    apply(place.settings)
    online = open_online_store(place.settings)
    online.write("stock", [row("stock", ("s1", "p1"), NOON, on_hand=2**53 + 1, counted_ms=NOON)])
    online.close()

    read = open_feature_store(place.settings).get_online_features(
        features=["stock:on_hand", "stock:as_of_ms"], entity_rows=[{"store_id": "s1", "product_id": "p1"}]
    )

    assert read.to_dict() == {"store_id": ["s1"], "product_id": ["p1"], "on_hand": [2**53 + 1], "as_of_ms": [NOON]}


def test_plain_tables_are_created_appended_and_replaced_in_part(settings: Settings) -> None:
    store = open_offline_store(settings)
    name = f"lake.test_{uuid.uuid4().hex[:8]}.forecasts"
    first = pa.table({"day": [1, 1, 2], "mean": [0.5, None, 1.5], "names": [["a"], [], None]})

    with pytest.raises(NotFoundError, match=name):
        store.read_table(name)
    store.append(name, first)
    store.append(name, first.slice(2))
    store.overwrite(name, pa.table({"day": [2], "mean": [9.0], "names": [["z"]]}), row_filter="day = 2")

    everything = store.read_table(name)
    assert sorted(everything.to_pylist(), key=repr) == sorted(
        [*first.slice(0, 2).to_pylist(), {"day": 2, "mean": 9.0, "names": ["z"]}], key=repr
    )
    assert store.read_table(name, columns=["mean"], row_filter="day = 2").to_pylist() == [{"mean": 9.0}]
    store.overwrite(name, first.slice(0, 0))
    assert store.read_table(name).num_rows == 0


def test_a_catalog_that_is_down_is_a_dependency_unavailable(settings: Settings) -> None:
    nowhere = settings.model_copy(update={"postgres_address": "127.0.0.1:1"})

    with pytest.raises(DependencyUnavailable, match=r"127\.0\.0\.1:1"):
        open_offline_store(nowhere).read_table("lake.gold.daily")
    with pytest.raises(DependencyUnavailable, match=r"127\.0\.0\.1:1"):
        apply(nowhere)


def test_a_feature_table_that_was_never_written_is_named(place: Place) -> None:
    apply(place.settings)
    place.session.sql("DROP TABLE lake.gold.product")

    with pytest.raises(NotFoundError, match="never written"):
        materialize(place.settings, ["product"], NOON)
