"""Names that the worker has on the broker: its consumer group, which is its Faust app id, and the topics of its state."""

from __future__ import annotations

from contracts.features import View
from contracts.settings import Settings
from contracts.stream_states import state_table, worker_group


def group(settings: Settings) -> str:
    """The consumer group of the worker: its committed offsets say what the online rows hold."""
    return worker_group(settings)


def member(settings: Settings) -> str | None:
    """What Kafka knows one of several workers by over its restarts; None: each start is a new member."""
    return f"{group(settings)}-{settings.worker_id}" if settings.worker_id else None


def table(view: View) -> str:
    """The Faust table of a view's states."""
    return state_table(view)


def changelog(settings: Settings, view: View) -> str:
    """The compacted topic that a view's states are restored from, as Faust names it."""
    return f"{group(settings)}-{table(view)}-changelog"


def leader(settings: Settings) -> str:
    """The topic by which Faust elects a leader, as Faust names it."""
    return f"{group(settings)}-__assignor-__leader"
