"""What a bench or a drill stands on: the running Kafka and Valkey, and on them topics, states and rows that it alone has."""

from __future__ import annotations

import contextlib
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from redis import Redis
from redis.exceptions import RedisError

from contracts.errors import DependencyUnavailable
from contracts.settings import Settings, load_settings
from featurestore.project import project_name
from streams.broker import TIMEOUT_SECONDS, connect, unavailable
from streams.declare import declare
from tests.stream_worker import WorkerProcess, worker
from tests.waiting import until

PREFIX = "apart-"
SCAN_COUNT = 1_000
HINT = "`./rd360 up --only kafka --only valkey` starts what benches and drills need."


@contextlib.contextmanager
def ground(settings: Settings) -> Iterator[Settings]:
    """Settings with a topic prefix of their own, the topics declared. All that has the prefix is removed at the end.

    Raises DependencyUnavailable where Kafka or the online store does not answer.
    """
    _require_servers(settings)
    given = settings.model_dump(exclude={"topic_prefix"}, exclude_unset=True)
    own: Settings = load_settings(**given, topic_prefix=f"{PREFIX}{uuid.uuid4().hex[:8]}.")
    try:
        declare(own)
        yield own
    finally:
        remove(own)


@contextlib.contextmanager
def running_worker(settings: Settings) -> Iterator[WorkerProcess]:
    """A stream worker on these settings, started here; killed at the end where it still runs."""
    with worker(settings, log_file(settings)) as process:
        yield process


def log_file(settings: Settings) -> Path:
    """Where the processes on these settings write what they say."""
    folder = settings.home / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{settings.topic_prefix}log"


def redis(settings: Settings) -> Redis:
    """A client of the online store's server."""
    host, port = settings.redis.rsplit(":", 1)
    return Redis(host=host, port=int(port), socket_timeout=30, socket_connect_timeout=5)


def redis_keys(client: Redis, settings: Settings) -> Iterator[list[bytes]]:
    """The keys of all online rows of a Feast project, in batches. Such a project's name is the end of no other's."""
    batch: list[bytes] = []
    for key in client.scan_iter(match=b"*" + project_name(settings).encode(), count=SCAN_COUNT):
        batch.append(key)
        if len(batch) == SCAN_COUNT:
            yield batch
            batch = []
    if batch:
        yield batch


def remove(settings: Settings) -> None:
    """Removes the topics, consumer groups, local states, log and online rows, and nothing without its prefix."""
    prefix = settings.topic_prefix
    if not prefix:
        raise ValueError("without a prefix this would be the user's own data")
    remove_rows(settings)
    admin = connect(settings)
    try:
        # a broker lists a topic for a while after it was deleted, and one that a killed worker made only after a while
        until(lambda: not _remove_topics(admin, prefix), f"no topic of {prefix} is listed")
    except KafkaException as error:
        raise unavailable(settings, "removing topics", error) from error
    _remove_groups(admin, prefix)
    for folder in (settings.home / "data" / "streams").glob(f"*{prefix}*"):
        shutil.rmtree(folder)
    log_file(settings).unlink(missing_ok=True)


def remove_rows(settings: Settings) -> None:
    """Removes all online rows under a prefix."""
    with contextlib.closing(redis(settings)) as client:
        for batch in redis_keys(client, settings):
            client.unlink(*batch)


def _remove_topics(admin: AdminClient, prefix: str) -> list[str]:
    topics = [name for name in admin.list_topics(timeout=TIMEOUT_SECONDS).topics if prefix in name]
    for future in admin.delete_topics(topics, operation_timeout=TIMEOUT_SECONDS).values() if topics else ():
        try:
            future.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise
    return topics


def _remove_groups(admin: AdminClient, prefix: str) -> None:
    listed = admin.list_consumer_groups(request_timeout=TIMEOUT_SECONDS).result().valid
    groups = [group.group_id for group in listed if prefix in group.group_id]
    for future in admin.delete_consumer_groups(groups, request_timeout=TIMEOUT_SECONDS).values() if groups else ():
        # a member that was killed is in its group until its session ends; an empty group is forgotten by Kafka itself
        with contextlib.suppress(KafkaException):
            future.result()


def _require_servers(settings: Settings) -> None:
    try:
        connect(settings)
        with contextlib.closing(redis(settings)) as client:
            client.ping()
    except DependencyUnavailable as error:
        raise DependencyUnavailable(error.what, doing=error.doing, why=error.why, hint=HINT) from error
    except RedisError as error:
        raise DependencyUnavailable(f"Nothing answers at {settings.redis}", why=str(error), hint=HINT) from error
