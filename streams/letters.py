"""Letters: messages set aside, with their original bytes and key, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from contracts.errors import InvalidEvent
from contracts.letters import CLASS, LATE_KEYS, MESSAGE, OFFSET, PARTITION, REASON, STAGE, TOPIC, LateReason

MESSAGE_CHARACTERS = 1000  # of an error's text; it can quote the event


class Original(Protocol):
    """The message that is set aside."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> tuple[tuple[str, bytes], ...]: ...


@dataclass(frozen=True, slots=True)
class Letter:
    """One message for a side topic: the original's key, bytes and headers, and ours after them."""

    kind: Literal["dead", "late"]
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


def dead_letter(original: Original, refused: InvalidEvent) -> Letter:
    """The dead letter of an event that breaks its contract."""
    stage = "VALUE_CONVERTER" if refused.reason in ("empty", "too_large", "not_json", "contract") else "TRANSFORMATION"
    headers = _from(original)
    headers += _header(CLASS, f"{InvalidEvent.__module__}.{InvalidEvent.__qualname__}")
    headers += _header(MESSAGE, refused.detail[:MESSAGE_CHARACTERS])
    headers += _header(STAGE, stage)
    headers += _header(REASON, refused.reason)
    return Letter("dead", original.key, original.value, original.headers + headers)


def late_letter(original: Original, late_keys: bytes) -> Letter:
    """The letter of an event that came after the allowed lateness of some of its keys."""
    headers = _from(original) + _header(REASON, "late") + ((LATE_KEYS, late_keys),)
    return Letter("late", original.key, original.value, original.headers + headers)


def outcome_letter(original: Original, reason: LateReason, late_key: bytes, fence: int) -> Letter:
    """What became of a rebuilt state that held all events of a key up to the offset `fence`."""
    place = _header(PARTITION, str(original.partition)) + _header(OFFSET, str(fence))
    return Letter("late", original.key, b"", place + _header(REASON, reason) + ((LATE_KEYS, late_key),))


def _from(original: Original) -> tuple[tuple[str, bytes], ...]:
    return _header(TOPIC, original.topic) + _header(PARTITION, str(original.partition)) + _header(OFFSET, str(original.offset))


def _header(name: str, value: str) -> tuple[tuple[str, bytes], ...]:
    return ((name, value.encode(errors="replace")),)
