"""Our writer of online rows leaves in Redis exactly what Feast's own writer leaves, for every view and every type of value."""

from __future__ import annotations

import datetime as dt
import random
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import redis
from feast.infra.provider import get_provider
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import DoubleList, Int64List, Value

from contracts.features import AS_OF, METADATA, VIEWS, DType, features_of
from contracts.settings import Settings
from featurestore.definitions import FEATURE_VIEWS
from featurestore.feast_online import FeastOnlineStore
from featurestore.keys import key_columns
from featurestore.project import project_name
from featurestore.redis_format import RowFormat
from featurestore.repo import repo_config

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
WHOLE = (0, 1, 127, 128, 4095, 4096, 16_383, 16_384, 2**31, 2**53 + 1, 2**63 - 1, -1, -(2**63))
REAL = (0.0, -0.0, 0.1 + 0.2, 1e-300, -1.5, float("inf"), float("nan"))
TEXT = ("", "plain", "Käse & 北京 \u0000", "x" * 20_000)
VALUES: Mapping[DType, Callable[[random.Random], Any]] = {
    "int64": lambda draw: draw.choice(WHOLE),
    "float64": lambda draw: draw.choice(REAL),
    "string": lambda draw: draw.choice(TEXT),
    "int64[]": lambda draw: draw.choices(WHOLE, k=draw.randrange(60)),
    "float64[]": lambda draw: draw.choices(REAL, k=draw.randrange(60)),
}
PROTOBUFS: Mapping[DType, Callable[[Any], Value]] = {
    "int64": lambda value: Value(int64_val=value),
    "float64": lambda value: Value(double_val=value + 0.0),  # the one difference: a zero of ours has no sign
    "string": lambda value: Value(string_val=value),
    "int64[]": lambda value: Value(int64_list_val=Int64List(val=value)),
    "float64[]": lambda value: Value(double_list_val=DoubleList(val=value)),
}


def dtypes(view: str) -> dict[str, DType]:
    return {**METADATA, **{feature.name: feature.dtype for feature in features_of(view)}}


def a_row(view: str, number: int, draw: random.Random) -> dict[str, Any]:
    columns = {name: None if draw.random() < 0.1 else VALUES[dtype](draw) for name, dtype in dtypes(view).items()}
    as_of = draw.choice((0, 1, 999, 1000, 1_700_000_000_000, 1_764_000_000_123, -1500))
    keys = {name: f"{name} {number} é" for name in key_columns(view)}
    return columns | keys | {AS_OF: as_of}


@pytest.fixture
def client(settings: Settings) -> Iterator[redis.Redis]:
    host, port = settings.redis.split(":")
    with redis.Redis(host=host, port=int(port)) as client:
        yield client


@pytest.mark.stack
@pytest.mark.parametrize("view", VIEWS)
def test_the_bytes_in_redis_are_feasts(view: str, settings: Settings, client: redis.Redis) -> None:
    tag, draw = uuid.uuid4().hex, random.Random(view)
    ours, feasts = (settings.model_copy(update={"topic_prefix": f"{tag}{who}"}) for who in ("a", "b"))
    rows = [a_row(view, number, draw) for number in range(200)]

    FeastOnlineStore(ours).write(view, rows)
    write_by_feast(feasts, view, rows)

    found, expected = stored(client, ours), stored(client, feasts)
    assert len(found) == len(rows)
    assert found == expected


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("wrong", [True, 1.5, "1", [1], 2**63, -(2**63) - 1])
def test_a_value_that_is_no_integer_of_64_bits_is_refused(view: str, wrong: Any) -> None:
    row = a_row(view, 1, random.Random(1)) | {"source_offset": wrong}
    with pytest.raises((TypeError, ValueError)):
        RowFormat(view, b"project").command(row)


def write_by_feast(settings: Settings, view: str, rows: list[dict[str, Any]]) -> None:
    config = repo_config(settings)
    names = key_columns(view)
    data = [
        (
            EntityKey(join_keys=names, entity_values=[Value(string_val=row[name]) for name in names]),
            {name: Value() if row[name] is None else PROTOBUFS[dtype](row[name]) for name, dtype in dtypes(view).items()},
            EPOCH + dt.timedelta(milliseconds=row[AS_OF]),
            None,
        )
        for row in rows
    ]
    get_provider(config).online_write_batch(config, FEATURE_VIEWS[view], data, None)


def stored(client: redis.Redis, settings: Settings) -> dict[bytes, dict[bytes, bytes]]:
    """The hashes of a project, by their key without it."""
    project = project_name(settings).encode()
    keys = client.scan_iter(match=b"*" + project, count=10_000)
    return {key.removesuffix(project): client.hgetall(key) for key in keys}
