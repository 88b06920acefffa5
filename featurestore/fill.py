"""Which partitions of the streaming views are completely online: the online store is a copy, and may lose what it was given.

A mark names the server, by the id of its run, and the catalogue under which a partition's rows were last all written. A server
that was emptied or replaced has no mark; one that was restarted, and may have lost its last writes, has another id; and rows of
another catalogue say so, though their states may have stayed the same. Marks live beside the rows.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, WatchError
from redis.retry import Retry

from contracts.errors import DependencyUnavailable
from contracts.features import CATALOGUE_FINGERPRINT
from contracts.settings import Settings
from featurestore.project import project_name
from featurestore.redis_format import ROW

TIMEOUT_SECONDS = 5.0

Answer = TypeVar("Answer")
Place = tuple[str, int]  # view, partition


@dataclass(frozen=True, slots=True)
class Mark:
    """A partition whose rows were all written: under which run of the server and which catalogue, and how many they were."""

    run_id: str
    rows: int


@dataclass(frozen=True, slots=True)
class Filled:
    """The run of the server that answered, with the catalogue, and its marks. A partition that is being filled has none."""

    run_id: str
    marks: dict[Place, Mark]

    def lacks(self, place: Place) -> bool:
        """Whether rows of a partition may be missing."""
        mark = self.marks.get(place)
        return mark is None or mark.run_id != self.run_id


class FillMarks(Protocol):
    """The marks of one platform. All methods raise DependencyUnavailable when the store does not answer."""

    def read(self) -> Filled:
        """The server's run and all marks."""
        ...

    def begin(self, place: Place) -> str:
        """Notes that a partition is being filled; the token that `finish` wants. Whoever begins last may finish."""
        ...

    def finish(self, place: Place, token: str, rows: int) -> bool:
        """Marks a partition as filled. False, and no mark, where the store was emptied, replaced or restarted since `begin`."""
        ...

    def clear(self) -> None:
        """Forgets all marks: every partition is filled again."""
        ...


def open_fill_marks(settings: Settings) -> FillMarks:
    """The marks in Redis or Valkey. Does not connect yet."""
    return RedisFillMarks(settings)


class RedisFillMarks:
    """The marks as one hash: field `view:partition`, value `filled:<run id>:<rows>` or `filling:<run id>:<token>`."""

    def __init__(self, settings: Settings) -> None:
        self._address = settings.redis
        self._key = f"{project_name(settings)}:rd360:filled"
        host, port = settings.redis.rsplit(":", 1)
        self._redis: Any = Redis(
            host=host,
            port=int(port),
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
            decode_responses=True,
            retry=Retry(NoBackoff(), 1),  # redis-py's own default sleeps for seconds in between
        )

    def read(self) -> Filled:
        """See FillMarks."""
        return self._answered(self._read, "reading the marks of what is filled")

    def begin(self, place: Place) -> str:
        """See FillMarks."""
        token = uuid.uuid4().hex

        def note() -> str:
            value = f"filling:{self._run_id()}:{token}"
            self._redis.hset(self._key, _field(place), value)
            return value

        return self._answered(note, "marking a partition as being filled")

    def finish(self, place: Place, token: str, rows: int) -> bool:
        """See FillMarks."""
        return self._answered(lambda: self._swap(place, token, rows), "marking a partition as filled")

    def clear(self) -> None:
        """See FillMarks."""
        self._answered(lambda: self._redis.delete(self._key), "forgetting what is filled")

    def _read(self) -> Filled:
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.info("server")
            pipe.hgetall(self._key)
            server, fields = pipe.execute()
        marks = {}
        for field, value in fields.items():
            view, _, partition = field.rpartition(":")
            what, run_id, rest = value.split(":")
            if what == "filled":
                marks[view, int(partition)] = Mark(run_id, int(rest))
        return Filled(_run_of(server), marks)

    def _swap(self, place: Place, token: str, rows: int) -> bool:
        run_id = self._run_id()
        while True:
            with self._redis.pipeline() as pipe:
                pipe.watch(self._key)
                if pipe.hget(self._key, _field(place)) != token or token.split(":")[1] != run_id:
                    return False
                pipe.multi()
                pipe.hset(self._key, _field(place), f"filled:{run_id}:{rows}")
                try:
                    pipe.execute()
                except WatchError:  # another partition's mark was written at this moment, or the store was emptied
                    continue
                return True

    def _run_id(self) -> str:
        return _run_of(self._redis.info("server"))

    def _answered(self, ask: Callable[[], Answer], doing: str) -> Answer:
        try:
            return ask()
        except RedisError as error:
            raise DependencyUnavailable(
                f"The online store at {self._address} does not answer", doing=doing, why=str(error)
            ) from error


def _run_of(server: Any) -> str:
    return f"{server['run_id']}-{CATALOGUE_FINGERPRINT}-{ROW}"


def _field(place: Place) -> str:
    return f"{place[0]}:{place[1]}"
