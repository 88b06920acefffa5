"""Events in a text file, one message a line, so that what was simulated can be kept, read, changed and sent again.

A line is `{"topic": "sales", "key": "s-01", "event": {…}}`; bytes that are not JSON stand as `"raw_base64"` instead of `event`.
With a topic given, a line is the event alone.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import msgspec

from contracts.errors import UsageError
from contracts.topics import TOPICS, Topic
from streams.producers.faults import Message

BY_KIND = {topic.kind: topic for topic in TOPICS}


@dataclass(frozen=True, slots=True)
class FileLine:
    """One message of a file."""

    topic: Topic
    key: bytes | None
    value: bytes


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    topic: str
    key: str | msgspec.UnsetType | None = msgspec.UNSET
    event: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    raw_base64: str | msgspec.UnsetType = msgspec.UNSET


def write_line(message: Message) -> bytes:
    """The line of one message, without its end."""
    head = {"topic": message.topic.kind, "key": None if message.key is None else message.key.decode()}
    value = message.value or b""
    if _is_json(value):
        return json.dumps(head).encode()[:-1] + b', "event": ' + value + b"}"
    return json.dumps(head | {"raw_base64": base64.b64encode(value).decode()}).encode()


def read_lines(lines: Iterable[bytes], topic: Topic | None) -> Iterator[FileLine]:
    """The messages of a file, bytes as they are. Raises UsageError naming the line that is none."""
    for number, line in enumerate(lines, start=1):
        text = line.rstrip(b"\r\n")
        if text.strip():
            yield FileLine(topic, key_in(topic, text), text) if topic else _parse(number, text)


def key_in(topic: Topic, value: bytes) -> bytes | None:
    """The contract's key as far as it can be read in a value, else None: the reader then says what is wrong with it."""
    try:
        event = json.loads(value)
    except (ValueError, RecursionError):
        return None
    key = event.get(topic.key_field) if isinstance(event, dict) else None
    return key.encode(errors="replace") if isinstance(key, str) else None


def topic_named(kind: str) -> Topic:
    """The topic of a name, such as `sales`. Raises UsageError."""
    if kind not in BY_KIND:
        raise UsageError(f"There is no topic {kind!r}", doing="reading events", hint=f"They are: {', '.join(BY_KIND)}.")
    return BY_KIND[kind]


def _parse(number: int, text: bytes) -> FileLine:
    try:
        line = msgspec.json.decode(text, type=_Line)
        topic = topic_named(line.topic)
        if isinstance(line.event, msgspec.Raw):
            value = bytes(line.event)
        elif isinstance(line.raw_base64, str):
            value = base64.b64decode(line.raw_base64, validate=True)
        else:
            raise ValueError("it has neither event nor raw_base64")
    except (msgspec.MsgspecError, ValueError, binascii.Error) as error:
        raise UsageError(
            f"Line {number} is not a message",
            doing="reading the file",
            why=str(error),
            hint='A line is {"topic": "sales", "event": {...}}; where it is the event alone, say --topic.',
        ) from error
    if isinstance(line.key, msgspec.UnsetType):
        return FileLine(topic, key_in(topic, value), value)
    return FileLine(topic, None if line.key is None else line.key.encode(), value)


def _is_json(value: bytes) -> bool:
    try:
        msgspec.json.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return False
    return b"\n" not in value
