"""`rd360 produce simulate | replay | file`: events onto Kafka, and how many of each."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from contracts.clock import system_clock
from contracts.settings import Settings, load_settings
from infra.cli.console import json_result, note
from infra.cli.options import instant

if TYPE_CHECKING:
    from streams.producers.faults import Message
    from streams.producers.retailer import Retailer

app = typer.Typer(no_args_is_help=True)
DryRun = Annotated[bool, typer.Option("--dry-run", help="Make and count everything, send nothing.")]
Share = Annotated[float, typer.Option(min=0.0, max=0.5, help="Share of the receipts.")]
Sink = Callable[["Message"], None]


@app.command()
def simulate(
    rate: Annotated[float, typer.Option(min=0.01, help="Events a second, at the wall clock's times.")] = 5.0,
    minutes: Annotated[float, typer.Option(min=0.0, help="How long.")] = 10.0,
    days: Annotated[int | None, typer.Option(min=1, help="Instead: so many days of history, at full speed.")] = None,
    end: Annotated[str | None, typer.Option(help="Where the history ends, ISO 8601, UTC without an offset; default now.")] = None,
    seed: Annotated[int, typer.Option(help="The retailer: the same seed is the same retailer.")] = 7,
    stores: Annotated[int, typer.Option(min=1)] = 4,
    products: Annotated[int, typer.Option(min=1)] = 25,
    scale: Annotated[float, typer.Option(min=0.01, help="Of history: 1 is about 70 receipts a store and day.")] = 1.0,
    duplicates: Share = 0.0,
    late: Share = 0.0,
    malformed: Share = 0.0,
    master_data: Annotated[Path | None, typer.Option(help="Also write products.parquet and stores.parquet here.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the messages into this file instead, one a line.")] = None,
    dry_run: DryRun = False,
) -> None:
    """Send what happens in a made-up retailer's stores; print the counts as JSON."""
    from streams.producers.faults import Rates, messages
    from streams.producers.pace import paced
    from streams.producers.retailer import Retailer, draw
    from streams.producers.tally import Tally

    settings = load_settings()
    retailer = Retailer.create(seed, stores, products)
    if master_data is not None:
        _write_master_data(retailer, settings, master_data)
    now = system_clock()
    rates = Rates(duplicates=duplicates, late=late, malformed=malformed)
    rng = draw(seed, "faults", days, end)
    if days is None:
        stream = messages(_live(retailer, settings, now, rate, minutes), rates, rng, repeat_ms=5_000)
        pacing = 0.0 if dry_run or out else 1.0
        stream = paced(stream, lambda message: message.at, pacing, origin=now)
    else:
        stream = messages(_history(retailer, settings, days, instant("--end", end) if end else now, scale), rates, rng)
    tally = Tally()
    try:
        with _sink(settings, out, dry_run) as send:
            for message in stream:
                send(message)
                tally.add(message)
    finally:  # an interrupted run has sent something too
        json_result(tally.as_dict() | {"seconds": round((system_clock() - now) / 1000, 1)})


@app.command()
def replay(
    folder: Annotated[Path, typer.Argument(help="A data set: a folder with lines.parquet.", exists=True, file_okay=False)],
    speed: Annotated[float, typer.Option(min=0.0, help="How many times as fast as it happened; 0: at full speed.")] = 0.0,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many receipts.")] = None,
    dry_run: DryRun = False,
) -> None:
    """Send the receipts of a data set at their own times; print what became of its rows as JSON."""
    import itertools

    from contracts.topics import SALES
    from streams.producers.faults import Message
    from streams.producers.pace import paced
    from streams.producers.replay import ReplayReport
    from streams.producers.replay import replay as receipts_of

    settings, started, report = load_settings(), system_clock(), ReplayReport()
    receipts = itertools.islice(receipts_of(folder, report), limit)
    try:
        with _sink(settings, None, dry_run) as send:
            for receipt in paced(receipts, lambda one: one.event_time, 0.0 if dry_run else speed):
                from contracts.events import encode

                send(Message(receipt.event_time, SALES, receipt.store_id.encode(), encode(receipt), "event", receipt))
    finally:
        json_result(report.as_dict() | {"seconds": round((system_clock() - started) / 1000, 1)})


@app.command()
def file(
    path: Annotated[Path, typer.Argument(help="One message a line.", exists=True, dir_okay=False)],
    topic: Annotated[str | None, typer.Option(help="Where a line is the event alone: sales, inventory, prices.")] = None,
    dry_run: DryRun = False,
) -> None:
    """Send the messages of a file, their bytes as they are; print how many to each topic as JSON."""
    from streams.producers.faults import Message
    from streams.producers.lines_file import read_lines, topic_named

    settings, sent = load_settings(), dict[str, int]()
    chosen = topic_named(topic) if topic else None
    try:
        with path.open("rb") as lines, _sink(settings, None, dry_run) as send:
            for line in read_lines(lines, chosen):
                send(Message(0, line.topic, line.key, line.value, "event", None))
                sent[line.topic.kind] = sent.get(line.topic.kind, 0) + 1
    finally:
        json_result({"messages": sum(sent.values()), "topics": sent})


@contextlib.contextmanager
def _sink(settings: Settings, out: Path | None, dry_run: bool) -> Iterator[Sink]:
    """Where messages go: nowhere, into a file, or to Kafka, whose topics are made where they are missing."""
    if dry_run:
        yield lambda _: None
    elif out is not None:
        from streams.producers.lines_file import write_line

        with out.open("wb") as file:
            yield lambda message: _ignore(file.write(write_line(message) + b"\n"))
    else:
        from streams.declare import declare
        from streams.producers.publish import Publisher

        declare(settings)
        with Publisher(settings) as publisher:
            prefix = settings.topic_prefix
            yield lambda message: publisher.send(message.topic.name(prefix), message.key, message.value)
        note("Next: ./rd360 stream drain, ./rd360 stream dlq list")


def _ignore(_: Any) -> None:
    """A sink returns nothing."""


def _live(retailer: Retailer, settings: Settings, start: int, rate: float, minutes: float) -> Any:
    from streams.producers.simulate import live

    return live(retailer, _calendars(settings), start, rate, round(rate * minutes * 60))


def _history(retailer: Retailer, settings: Settings, days: int, end: int, scale: float) -> Any:
    from streams.producers.simulate import history

    calendars = _calendars(settings)
    chain = calendars.of("")
    return history(retailer, calendars, chain.day_start(chain.day(end) - days), end, scale)


def _calendars(settings: Settings) -> Any:
    from contracts.windows import StoreCalendars

    return StoreCalendars(settings.time_zone, settings.store_time_zones)


def _write_master_data(retailer: Retailer, settings: Settings, folder: Path) -> None:
    from streams.producers.master_data import write_master_data

    write_master_data(retailer, _calendars(settings), folder)
