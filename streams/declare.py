"""The topics on the broker: created where they are missing, refused where they could not keep the contract."""

from __future__ import annotations

import time
from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # the library lists no names for export
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
)

from contracts.errors import ConfigurationError, DependencyUnavailable
from contracts.events import MAX_EVENT_BYTES
from contracts.features import STATEFUL
from contracts.settings import Settings
from contracts.topics import FORECASTS, SOURCES
from streams import names
from streams.broker import TIMEOUT_SECONDS, connect, unavailable

RETENTION_MS = 30 * 86_400_000
# An event may be as large as the contract allows, and a dead letter carries more headers than its original.
SOURCE_BYTES = MAX_EVENT_BYTES + 48_576  # 1 MiB, Kafka's default
# Kafka counts bytes as they are compressed: a message that its producer has made small is large again as a letter, which is
# compressed too, but not as well perhaps. A reader on librdkafka takes 100 MB at a time unless it is told otherwise.
DEAD_LETTER_BYTES = 64 * 1_048_576
LISTED_SECONDS, LISTED_POLL_SECONDS = 60.0, 0.02  # a broker that makes the logs of many topics on a busy disk is long in telling


_COMPACTED = {"cleanup.policy": "compact", "segment.bytes": str(32 * 1024 * 1024), "min.cleanable.dirty.ratio": "0.3"}


@dataclass(frozen=True, slots=True)
class Wanted:
    """One topic as it must be. `partitions` is fixed once it exists: a key's partition follows from it."""

    name: str
    partitions: int
    config: dict[str, str]


@dataclass(frozen=True, slots=True)
class Declared:
    """One topic and what was done about it: `created`, `updated` (its configuration) or `kept`."""

    name: str
    partitions: int
    action: str


def wanted(settings: Settings) -> list[Wanted]:
    """Every topic of the platform. Both readers must see the same clock, so the broker stamps each message (LogAppendTime)."""
    prefix, partitions = settings.topic_prefix, settings.topic_partitions
    source = _config(SOURCE_BYTES)
    letters = _config(DEAD_LETTER_BYTES)
    topics = [Wanted(topic.name(prefix), partitions, source) for topic in (*SOURCES, FORECASTS)]
    topics += [Wanted(topic.dead_letters(prefix), 1, letters) for topic in SOURCES]
    topics += [Wanted(topic.late(prefix), partitions, letters) for topic in SOURCES]
    topics += [Wanted(topic.rebuilt(prefix), partitions, letters) for topic in SOURCES]
    topics += [Wanted(names.changelog(settings, view), partitions, _COMPACTED) for view in STATEFUL]
    topics += [Wanted(names.leader(settings), 1, {})]
    return topics


def declare(settings: Settings, *, dry_run: bool = False) -> list[Declared]:
    """What was done for each topic; the broker lists them all. Idempotent. Raises DependencyUnavailable, or ConfigurationError
    for a topic that is there with another number of partitions."""
    admin = connect(settings)
    topics = wanted(settings)
    try:
        existing = {name: len(meta.partitions) for name, meta in admin.list_topics(timeout=TIMEOUT_SECONDS).topics.items()}
        _refuse_other_partitions(topics, existing)
        missing = [topic for topic in topics if topic.name not in existing]
        stale = _stale([topic for topic in topics if topic.name in existing], admin)
        if not dry_run:
            _create(admin, missing)
            _wait_until_listed(admin, missing)
            _update(admin, stale)
    except KafkaException as error:
        raise unavailable(settings, "declaring the topics", error) from error
    actions = {topic.name: "created" for topic in missing} | {topic.name: "updated" for topic in stale}
    return [Declared(topic.name, topic.partitions, actions.get(topic.name, "kept")) for topic in topics]


def _config(max_bytes: int) -> dict[str, str]:
    return {
        "message.timestamp.type": "LogAppendTime",
        "retention.ms": str(RETENTION_MS),
        "max.message.bytes": str(max_bytes),
    }


def _refuse_other_partitions(topics: list[Wanted], existing: dict[str, int]) -> None:
    for topic in topics:
        have = existing.get(topic.name, topic.partitions)
        if have != topic.partitions:
            raise ConfigurationError(
                f"Topic {topic.name} has {have} partitions, {topic.partitions} are wanted",
                doing="declaring the topics",
                why="a key's partition follows from their number, and the state of each key lives with its partition",
                hint=f"Set RD360_TOPIC_PARTITIONS={have}, or choose another RD360_TOPIC_PREFIX.",
            )


def _stale(topics: list[Wanted], admin: AdminClient) -> list[Wanted]:
    resources = {topic.name: ConfigResource(ConfigResource.Type.TOPIC, topic.name) for topic in topics}
    if not resources:
        return []
    described = {resource.name: future.result() for resource, future in admin.describe_configs(list(resources.values())).items()}
    return [topic for topic in topics if any(described[topic.name][key].value != value for key, value in topic.config.items())]


def _create(admin: AdminClient, topics: list[Wanted]) -> None:
    # replication -1: the broker's own default, 1 on the local stack
    new = [NewTopic(topic.name, topic.partitions, replication_factor=-1, config=topic.config) for topic in topics]
    if new:
        for future in admin.create_topics(new, operation_timeout=TIMEOUT_SECONDS).values():
            try:
                future.result()
            except KafkaException as error:
                # somebody made it at the same moment, or a broker did not know yet that it is there
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise


def _wait_until_listed(admin: AdminClient, topics: list[Wanted]) -> None:
    # the controller answers before its brokers know: who looks at once would not find what is there
    deadline = time.monotonic() + LISTED_SECONDS
    while unknown := {topic.name for topic in topics} - admin.list_topics(timeout=TIMEOUT_SECONDS).topics.keys():
        if time.monotonic() > deadline:
            raise DependencyUnavailable(
                f"Kafka did not list {min(unknown)} within {LISTED_SECONDS:.0f} s",
                doing="declaring the topics",
                why="its controller said that it was created",
                hint="Run `./rd360 status`; once Kafka has caught up, the same command again finds it.",
            )
        admin.poll(LISTED_POLL_SECONDS)


def _update(admin: AdminClient, topics: list[Wanted]) -> None:
    resources = []
    for topic in topics:
        entries = [ConfigEntry(k, v, incremental_operation=AlterConfigOpType.SET) for k, v in topic.config.items()]
        resources.append(ConfigResource(ConfigResource.Type.TOPIC, topic.name, incremental_configs=entries))
    if resources:
        for future in admin.incremental_alter_configs(resources).values():
            future.result()
