"""The kill drill: two workers share the partitions and are killed again and again while receipts stream in."""

from __future__ import annotations

import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from contracts.errors import DependencyUnavailable
from contracts.settings import Settings
from contracts.topics import SALES
from streams.lag import drain
from streams.producers.publish import Publisher
from tests.drills.arrival import Sent, lines_of
from tests.drills.evidence import BARS, gather
from tests.drills.ground import Ground, ground
from tests.drills.kill_plan import RANDOM, REBALANCE, START_PLACES, Kill, schedule
from tests.drills.replay import DRAIN_SECONDS, Replay, planned
from tests.drills.workers import POLL_SECONDS, DrillWorker, new_worker
from tests.outcome import Bar, Outcome, median

MOMENT_SECONDS = 3.0  # a random kill comes within so long after its share of the messages was sent
PLACE_SECONDS = 120.0  # how long a place may take to be passed
PIECES = 20  # in which a share of the messages comes while a place is waited for
BUSY_SHARE = 0.25  # of all keys that sell
PIECE_SECONDS = 3.0  # how long a piece may take to be written: it may hold nothing for this worker
ENTRY = "tests.drills.worker"


@dataclass(frozen=True, slots=True)
class KillPlan:
    """What to send, how many kills, and at which named places."""

    replay: Replay
    kills: int
    places: tuple[str, ...]


@dataclass(slots=True)
class Killed:
    """What happened: kills by place, places that were not passed in time, seconds from a start after a kill to ready."""

    by_place: Counter[str] = field(default_factory=Counter)
    not_passed: list[str] = field(default_factory=list)
    ready_seconds: list[float] = field(default_factory=list)


def run(settings: Settings, plan: KillPlan, say: Callable[[str], None]) -> Outcome:
    """What was found. Raises DependencyUnavailable where a server fails, or a worker does not come up again."""
    sent = planned(settings, plan.replay)
    rng = random.Random(plan.replay.seed)
    with ground(settings) as place:
        started = time.monotonic()
        killed = _Drill(place, sent, rng, say).kill_all(schedule(plan.kills, plan.places, rng))
        seconds = time.monotonic() - started
        evidence = gather(place.settings, sent, place.folder, plan.replay.sample)
    figures = {
        "messages": len(sent),
        "lines": sum(lines_of(one.event) for one in sent if one.topic is SALES),
        "kills": killed.by_place.total(),
        **{f"kills_{name}": killed.by_place[name] for name in (RANDOM, *plan.places)},
        **evidence.figures(),
        "ready_seconds_median": round(median(killed.ready_seconds), 1) if killed.ready_seconds else None,
        "ready_seconds_max": round(max(killed.ready_seconds), 1) if killed.ready_seconds else None,
        "seconds": round(seconds, 1),
    }
    bars = (*BARS, Bar("kills", at_least=plan.kills), *(Bar(f"kills_{name}", at_least=1) for name in plan.places))
    notes = [*evidence.notes(), *(f"Not passed within {PLACE_SECONDS:.0f} s: {name}" for name in killed.not_passed)]
    return Outcome("drill kill", figures, bars, notes=notes)


class _Drill:
    """Two workers of one group, and the messages of which each kill sends its share."""

    def __init__(self, place: Ground, sent: Sequence[Sent], rng: random.Random, say: Callable[[str], None]) -> None:
        self._place, self._sent, self._rng, self._say = place, sent, rng, say
        self._workers = [new_worker(place.settings, place.folder, number) for number in (1, 2)]
        self._at = 0
        self._publisher: Publisher
        self._found = Killed()

    def kill_all(self, kills: list[Kill]) -> Killed:
        """Makes all kills, then lets the workers read to the end and stop."""
        try:
            for worker in self._workers:
                worker.start()
            for worker in self._workers:
                worker.ready_after()
            with Publisher(self._place.settings, client_id="rd360-drill") as self._publisher:
                for number, kill in enumerate(kills):
                    self._kill(kill, len(self._sent) * (number + 1) // (len(kills) + 1))
                    self._say(f"Kill {number + 1} of {len(kills)}: {kill.place}")
                self._send(len(self._sent))
            drain(self._place.settings, DRAIN_SECONDS, lambda _: None)
            for worker in self._workers:
                worker.stop()
        finally:
            for worker in self._workers:
                if worker.ended() is None:
                    worker.kill()
        return self._found

    def _send(self, up_to: int) -> None:
        for one in self._sent[self._at : up_to]:
            self._publisher.send(one.topic.name(self._place.settings.topic_prefix), one.key, one.value)
        self._publisher.flush()
        self._at = max(self._at, up_to)

    def _kill(self, kill: Kill, up_to: int) -> None:
        """Kills a worker at a random moment; then, for a named place, once more there. It is ready again afterwards."""
        half = (self._at + up_to) // 2
        self._send(up_to if kill.place == RANDOM else half)
        victim = self._rng.choice(self._workers if kill.place == RANDOM else self._busy())
        if kill.place in START_PLACES:
            _wait(victim.rows_written, victim)
        time.sleep(self._rng.uniform(0.0, MOMENT_SECONDS))  # the moment is what is drilled
        victim.kill()
        self._found.by_place[RANDOM] += 1
        if kill.place != RANDOM:
            self._kill_at(victim, kill, up_to)
        self._send(up_to)
        victim.module = DrillWorker.module
        victim.start()
        self._found.ready_seconds.append(victim.ready_after())

    def _kill_at(self, victim: DrillWorker, kill: Kill, up_to: int) -> None:
        if kill.place == "in_recovery":
            shutil.rmtree(victim.settings.home / "data")  # a fresh machine
        victim.module = (ENTRY, kill.place, str(kill.passes))
        victim.start()
        joining = None
        if kill.place == REBALANCE:
            victim.ready_after()
            joining = new_worker(self._place.settings, self._place.folder, 3)
            joining.start()
        try:
            if self._ends(victim, up_to):
                self._found.by_place[kill.place] += 1
            else:
                self._found.not_passed.append(kill.place)
                victim.kill()
        finally:
            if joining is not None:
                joining.kill()

    def _ends(self, victim: DrillWorker, up_to: int) -> bool:
        """Whether it kills itself in time. Messages come in pieces, each once something of the one before is written: a worker
        that is slow would take them all in one batch, and pass a place once. Rows alone tell nothing, for time writes them too.
        Raises DependencyUnavailable where it ends otherwise."""
        piece = max(1, (up_to - self._at) // PIECES)
        now = time.monotonic()
        deadline, next_piece, before = now + PLACE_SECONDS, now, -1.0
        while victim.ended() is None and (now := time.monotonic()) < deadline:
            if victim.is_ready() and ((taken := victim.events_taken()) > before or now > next_piece):
                self._send(min(up_to, self._at + piece))
                before, next_piece = taken, now + PIECE_SECONDS
            time.sleep(POLL_SECONDS)
        if victim.ended() not in (None, -signal.SIGKILL):
            raise DependencyUnavailable(
                f"The drilled worker ended with {victim.ended()}", doing="waiting for its kill", why=victim.last_words()
            )
        return victim.ended() == -signal.SIGKILL

    def _busy(self) -> list[DrillWorker]:
        """The workers with a good share of the sales: of few stores all may be on one of them, and the other passes no place."""
        _wait(lambda: sum(worker.keys() for worker in self._workers), self._workers[0])
        keys = [worker.keys() for worker in self._workers]
        return [worker for worker, own in zip(self._workers, keys, strict=True) if own >= BUSY_SHARE * sum(keys)]


def _wait(condition: Callable[[], float], worker: DrillWorker) -> None:
    """Waits until something is more than nothing. Raises DependencyUnavailable."""
    deadline = time.monotonic() + PLACE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise DependencyUnavailable("The drill's worker takes nothing", doing="waiting for it", why=worker.last_words())
        time.sleep(POLL_SECONDS)
