"""`rd360 bench recovery`: how long a killed worker needs until it has all its states again and goes on."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from typing import Any

from contracts.clock import system_clock
from contracts.features import SALES_ROLLING
from contracts.settings import Settings
from contracts.windows import HOUR_MS
from streams import names
from streams.stale import state_folder
from tests import ground
from tests.bench.contestants import wait_committed
from tests.bench.receipts import each_key_once, send, store_grid
from tests.outcome import Bar, Outcome, median, spread
from tests.stream_worker import WorkerProcess
from tests.waiting import until

QUICK_KEYS = 2_000
READY_SECONDS = 600.0
CORRECT = (Bar("keys_missing", at_most=0),)
TIMING = (Bar("with_local_state_seconds", at_most=60),)


def run(settings: Settings, keys: int, runs: int, say: Callable[[str], None], *, quick: bool = False) -> Outcome:
    """Kills a worker with so many keys and starts it again: with its local states, and with those taken away."""
    stores, products = store_grid(QUICK_KEYS if quick else keys)
    found: list[dict[str, Any]] = []
    with ground.ground(settings) as own:
        send(own, each_key_once(stores * products, system_clock() - HOUR_MS))
        with ground.running_worker(own) as process:
            wait_committed(process)
            say(f"{keys_of(process):,} keys have a state")
            for number in range(runs):
                for wiped in (False, True):
                    seconds = restarted(process, wiped=wiped)
                    found.append({"round": number, "wiped": wiped, "seconds": seconds, "keys": keys_of(process)})
                    say(f"{'without' if wiped else 'with'} local states: ready after {seconds:.1f} s")
            process.stop()
    kept, wiped_away = ([one["seconds"] for one in found if one["wiped"] == wiped] for wiped in (False, True))
    figures = {
        "keys": stores * products,
        "with_local_state_seconds": median(kept),
        "with_local_state_seconds_spread": round(spread(kept), 3),
        "without_local_state_seconds": median(wiped_away),
        "without_local_state_seconds_spread": round(spread(wiped_away), 3),
        "keys_missing": max(stores * products - one["keys"] for one in found),
    }
    return Outcome("bench recovery", figures, CORRECT if quick else (*CORRECT, *TIMING), found, [_note(settings)])


def restarted(process: WorkerProcess, *, wiped: bool) -> float:
    """Seconds from the start of the process to ready, after a kill; `wiped` takes its local states away in between."""
    process.kill()
    if wiped:
        shutil.rmtree(state_folder(process.settings, names.group(process.settings)))
    started = time.monotonic()
    process.start()
    until(lambda: process.get("/readyz")[0] == 200, "the worker is ready again", READY_SECONDS)
    return round(time.monotonic() - started, 2)


def keys_of(process: WorkerProcess) -> int:
    """How many keys of sales have a state on a worker that is ready."""
    return int(json.loads(process.get("/readyz")[1])["views"][SALES_ROLLING.name]["keys"])


def _note(settings: Settings) -> str:
    return f"{settings.topic_partitions} partitions; a killed worker keeps them until its session times out, and that is in it."
