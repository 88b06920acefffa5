"""`rd360 stream`: the topics, the worker, how far it is, its dead letters, and the schemas of its events."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from contracts.errors import NotFoundError, UsageError
from contracts.settings import CHECKOUT, load_settings
from infra.cli.console import json_result, note, result, table
from infra.cli.options import instant

if TYPE_CHECKING:  # their modules load Kafka's client
    from streams.dead_letters import DeadLetter, Wanted

app = typer.Typer(no_args_is_help=True)
dlq = typer.Typer(no_args_is_help=True, help="Dead letters: events that broke their contract, with their original bytes.")
app.add_typer(dlq, name="dlq")
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, do nothing.")]
TopicName = Annotated[str | None, typer.Option("--topic", help="Of this topic alone: sales, inventory, prices.")]
Reason = Annotated[str | None, typer.Option(help="Of this reason alone, such as contract or misrouted.")]
Offset = Annotated[int | None, typer.Option(help="This letter alone.")]
Source = Annotated[str | None, typer.Option(metavar="PARTITION:OFFSET", help="The letter of this message of the source topic.")]
Key = Annotated[str | None, typer.Option(help="With this message key alone, such as a store.")]
Since = Annotated[str | None, typer.Option(help="Set aside from this instant on, such as 2025-06-30T18:00Z.")]
Until = Annotated[str | None, typer.Option(help="Set aside before this instant.")]
Text = Annotated[str | None, typer.Option("--containing", help="Whose bytes contain this text.")]
Limit = Annotated[int, typer.Option(min=1, help="At most so many.")]


@app.command()
def topics(
    remove_stale: Annotated[
        bool, typer.Option("--remove-stale", help="Delete the states that workers of other versions left, unless one still runs.")
    ] = False,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Create the topics that are missing; refuse those that could not keep the contract; show what other versions left."""
    from streams.declare import declare
    from streams.stale import find_stale, remove

    settings = load_settings()
    declared = declare(settings, dry_run=dry_run)
    stale = find_stale(settings)
    removed = remove(settings, stale) if remove_stale and not dry_run else []
    left = [(one, "removed" if one in removed else "stale, in use" if one.in_use else "stale") for one in stale]
    if as_json:
        shown = [{"name": one.name, "kind": one.kind, "action": action} for one, action in left]
        json_result([dataclasses.asdict(topic) for topic in declared] + shown)
        return
    rows = [(t.name, str(t.partitions), t.action) for t in declared]
    table(("topic", "partitions", "action"), rows + [(one.name, one.kind, action) for one, action in left])
    if any(action == "stale" for _, action in left):
        note("Next: ./rd360 stream topics --remove-stale")


@app.command()
def worker() -> None:
    """Run the worker that keeps the streaming feature views, until SIGTERM or Ctrl-C. Exits 4 when a server fails it."""
    import asyncio

    from featurestore.fill import open_fill_marks
    from featurestore.online import open_online_writer
    from infra import logs
    from streams.worker import Worker

    logs.configure()
    settings = load_settings()
    online = open_online_writer(settings)
    try:
        asyncio.run(Worker(settings, online, open_fill_marks(settings)).run())
    finally:
        online.close()


@app.command()
def drain(
    timeout: Annotated[float, typer.Option(min=0, help="Seconds to wait at most.")] = 120.0,
    as_json: Json = False,
) -> None:
    """Wait until the worker has written all that was sent until now; print the lag of each topic. Exits 4 at the timeout."""
    from streams.lag import PartitionLag
    from streams.lag import drain as wait

    said: list[int] = []

    def report(lags: list[PartitionLag]) -> None:
        behind = sum(lag.behind for lag in lags)
        if behind and (not said or said[-1] != behind):
            note(f"{behind} messages to go")
            said.append(behind)

    lags = wait(load_settings(), timeout, report)
    if as_json:
        json_result([dataclasses.asdict(lag) | {"behind": lag.behind} for lag in lags])
    else:
        rows = [(lag.topic, str(lag.partition), str(lag.committed), str(lag.end), str(lag.behind)) for lag in lags]
        table(("topic", "partition", "committed", "end", "behind"), rows)


@app.command()
def schemas(
    folder: Annotated[Path, typer.Option(help="Where to.")] = CHECKOUT / "docs" / "schemas",
) -> None:
    """Write the JSON Schema of each topic's events."""
    from streams.schemas import STRUCTS, text

    folder.mkdir(parents=True, exist_ok=True)
    for topic in STRUCTS:
        path = folder / f"{topic.kind}.json"
        path.write_text(text(topic), encoding="utf-8")
        result(str(path))


@dlq.command("list")
def dlq_list(
    topic: TopicName = None,
    reason: Reason = None,
    source: Source = None,
    key: Key = None,
    since: Since = None,
    until: Until = None,
    containing: Text = None,
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """List dead letters, the latest last, and how many of each reason there are."""
    from collections import Counter, deque

    wanted = _wanted(topic, reason, None, source, key, since, until, containing)
    counts: Counter[tuple[str, str]] = Counter()
    last: deque[Any] = deque(maxlen=limit)
    for letter in _find(wanted):
        counts[letter.topic.kind, letter.reason] += 1
        last.append(letter)
    if as_json:
        summary = [{"topic": kind, "reason": why, "count": count} for (kind, why), count in sorted(counts.items())]
        json_result({"total": sum(counts.values()), "by_reason": summary, "letters": [_shown(letter) for letter in last]})
        return
    rows = [(x.topic.kind, str(x.offset), f"{x.source_partition}:{x.source_offset}", x.reason, x.detail[:90]) for x in last]
    table(("topic", "offset", "source", "reason", "detail"), rows)
    for (kind, why), count in sorted(counts.items()):
        note(f"{count} of {kind}: {why}")
    note("Next: ./rd360 stream dlq show TOPIC OFFSET, ./rd360 stream dlq replay --dry-run")


@dlq.command("show")
def dlq_show(topic: Annotated[str, typer.Argument(help="sales, inventory or prices.")], offset: int) -> None:
    """Show one dead letter whole: its headers, its key and its bytes."""
    from streams.dead_letters import Wanted
    from streams.producers.lines_file import topic_named

    letter = next(_find(Wanted(topic_named(topic), offset=offset)), None)
    if letter is None:
        raise NotFoundError(f"There is no dead letter {offset} of {topic}", hint="`./rd360 stream dlq list` shows them.")
    headers = {name: value.decode(errors="replace") for name, value in letter.headers}
    json_result(_shown(letter) | {"headers": headers})


@dlq.command("replay")
def dlq_replay(
    topic: TopicName = None,
    reason: Reason = None,
    offset: Offset = None,
    source: Source = None,
    key: Key = None,
    since: Since = None,
    until: Until = None,
    containing: Text = None,
    limit: Limit = 1_000_000,
    dry_run: DryRun = False,
) -> None:
    """Send dead letters again, bytes as they were, under the contract's key, where the contract accepts them now."""
    import itertools

    from streams.dead_letters import replay

    wanted = _wanted(topic, reason, offset, source, key, since, until, containing)
    json_result(replay(load_settings(), itertools.islice(_find(wanted), limit), dry_run=dry_run))


def _wanted(
    topic: str | None,
    reason: str | None,
    offset: int | None,
    source: str | None,
    key: str | None,
    since: str | None,
    until: str | None,
    containing: str | None,
) -> Wanted:
    """The filter that the options ask for. Raises UsageError."""
    from streams.dead_letters import Wanted
    from streams.producers.lines_file import topic_named

    return Wanted(
        topic=topic_named(topic) if topic else None,
        reason=reason,
        offset=offset,
        source=_place(source) if source else None,
        key=key.encode() if key else None,
        since=instant("--since", since) if since else None,
        until=instant("--until", until) if until else None,
        text=containing.encode() if containing else None,
    )


def _place(text: str) -> tuple[int, int]:
    partition, colon, offset = text.partition(":")
    if not (colon and partition.isdecimal() and offset.isdecimal()):
        raise UsageError(f"--source {text} is no PARTITION:OFFSET", doing="reading the options", hint="Such as 3:1204.")
    return int(partition), int(offset)


def _find(wanted: Wanted) -> Iterator[DeadLetter]:
    from streams.dead_letters import find

    return find(load_settings(), wanted)


def _shown(letter: DeadLetter) -> dict[str, Any]:
    """A letter as JSON can hold it."""
    value = (letter.value or b"").decode(errors="backslashreplace")
    try:
        shown: Any = json.loads(value)
    except ValueError:
        shown = value
    return {
        "topic": letter.topic.kind,
        "offset": letter.offset,
        "reason": letter.reason,
        "detail": letter.detail,
        "source_partition": letter.source_partition,
        "source_offset": letter.source_offset,
        "key": None if letter.key is None else letter.key.decode(errors="backslashreplace"),
        "value": shown,
    }
