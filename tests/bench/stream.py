"""`rd360 bench stream`: from Kafka to what Feast's own client reads, beside a bare loop and Quix Streams on the same messages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from contracts.events import Receipt
from contracts.settings import Settings
from infra.stack.environments import ensure
from infra.stack.place import Place
from tests import ground
from tests.bench import contestants
from tests.bench.contestants import Contestant
from tests.bench.pace import concluded
from tests.bench.readable import wrong_rows
from tests.bench.receipts import Filled, fill, of_data_set, simulated
from tests.outcome import Bar, Outcome
from tests.stream_worker import opened

SIMULATED_LINES = 300_000
QUICK_LINES = 120_000  # more than a batch of the worker, which takes 8,000 receipts: the first one is not measured
WRITERS = {"worker", "quix"}  # the same rows are asked of both: an error would make either faster
CORRECT = (Bar("wrong_rows", at_most=0), Bar("rows_checked", at_least=1))
TIMING = (
    Bar("worker_lines_per_second", at_least=30_000),
    Bar("worker_to_bare_loop", at_least=0.5),
    Bar("worker_to_quix", at_least=1.2),
)


def run(
    settings: Settings,
    data: Path | None,
    lines: int | None,
    runs: int,
    say: Callable[[str], None],
    *,
    quick: bool = False,
    with_quix: bool = True,
) -> Outcome:
    """Runs each contestant so many times, in turns. A quick form is held to what it wrote alone, not to its speed."""
    taking_part = _contestants(settings, with_quix)
    found: list[dict[str, Any]] = []
    wrong: list[str] = []
    filled: Filled | None = None
    for number in range(runs):
        with ground.ground(settings) as own:
            filled = fill(own, _receipts(own, data, lines, quick))
            say(f"round {number + 1}: {filled.receipts:,} receipts, {filled.lines:,} lines, {filled.keys:,} keys are on Kafka")
            for name, contestant in turns(taking_part, number):
                ground.remove_rows(own)  # each finds the store as empty as the others
                found.append({"round": number, "contestant": name, **contestant(own, filled).as_run(filled)})
                say(f"round {number + 1}: {name} {found[-1]['lines_per_second']:,.0f} lines/s")
                if name in WRITERS:
                    wrong += [f"{name}: {fault}" for fault in _read_back(own, filled)]
    assert filled is not None
    figures = (
        _input(settings, filled, data)
        | concluded(found)
        | {"rows_checked": len(filled.sample) * runs * len(WRITERS & taking_part.keys())}
    )
    figures["wrong_rows"] = len(wrong)
    return Outcome("bench stream", figures, bars(with_quix=with_quix, quick=quick), found, _notes(settings, wrong))


def bars(*, with_quix: bool, quick: bool) -> Sequence[Bar]:
    """What is held: always what was written, and the speed in the full form."""
    if quick:
        return CORRECT
    return (*CORRECT, *(bar for bar in TIMING if with_quix or bar.figure != "worker_to_quix"))


def turns(taking_part: Mapping[str, Contestant], number: int) -> Iterator[tuple[str, Contestant]]:
    """The contestants in the order of a round: each comes first once in so many rounds as there are."""
    names = list(taking_part)
    for at in range(len(names)):
        name = names[(at + number) % len(names)]
        yield name, taking_part[name]


def _contestants(settings: Settings, with_quix: bool) -> dict[str, Contestant]:
    taking_part: dict[str, Contestant] = {"worker": contestants.worker, "bare_loop": contestants.bare_loop}
    if with_quix:
        ensure(Place(settings), contestants.PEERS)
        taking_part["quix"] = contestants.quix
    return taking_part


def _receipts(settings: Settings, data: Path | None, lines: int | None, quick: bool) -> Iterator[Receipt]:
    if data is not None:
        return of_data_set(data, lines or (QUICK_LINES if quick else None))
    return simulated(settings, lines or (QUICK_LINES if quick else SIMULATED_LINES))


def _read_back(settings: Settings, filled: Filled) -> list[str]:
    with opened(settings) as store:
        return wrong_rows(settings, store, filled)


def _input(settings: Settings, filled: Filled, data: Path | None) -> dict[str, Any]:
    return {
        "data": "simulated" if data is None else data.name,
        "receipts": filled.receipts,
        "lines": filled.lines,
        "keys": filled.keys,
        "partitions": settings.topic_partitions,
    }


def _notes(settings: Settings, wrong: list[str]) -> list[str]:
    return [
        f"One process a contestant, {settings.topic_partitions} partitions; Kafka and the online store share the machine.",
        *wrong[:10],
    ]
