"""`rd360 bench train`: seconds to learn and forecast a panel with quantiles, and errors, beside mlforecast + XGBoost."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from contracts.errors import RetailDemandError
from contracts.settings import CHECKOUT, Settings
from infra.stack.environments import ensure
from infra.stack.place import Place
from tests.bench.train_panel import simulated
from tests.outcome import Bar, Outcome, median, spread
from training.panels.backtest import default_origins
from training.panels.engine import Plan, forecast
from training.panels.forecasts import PanelForecast, tidy
from training.panels.panel import Panel
from training.panels.plan import filled
from training.panels.portfolio import quantile_recipe, quick
from training.panels.read import read_panel
from training.panels.scores import measure, pooled
from training.rows import LEVELS, Floats

PEER_SCRIPT = "tests/bench/train_peer.py"
PEERS = "peers-forecast"  # the environment of requirements/peers-forecast.txt
OURS, PEER = "ours", "peer"
THREADS = 2
SERIES, PERIODS, HORIZON = 5_000, 200, 14
QUICK_SERIES = 60
LAST_WORDS = 1_500  # of what the peer says when it fails, characters
CORRECT = (Bar("forecasts_missing", at_most=0),)
HELD = (Bar("times_peer", at_most=1.0), Bar("wape_over_peer", at_most=1.0), Bar("spl_over_peer", at_most=1.0))
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Run:
    """One contestant once: `seconds` are from the panel in memory to the forecast in memory."""

    contestant: str
    seconds: float
    forecast: PanelForecast


def run(settings: Settings, folder: Path | None, rounds: int, say: Say, *, quick: bool) -> Outcome:
    """Both in turns on the same panel, from its last origin. Raises RetailDemandError where the peer fails."""
    say("the peer's environment")
    ensure(Place(settings), PEERS)
    series = QUICK_SERIES if quick else SERIES
    panel = simulated(series, PERIODS, HORIZON) if folder is None else read_panel(folder)
    origin, horizon = panel.column_of(default_origins(panel)[-1]), panel.dataset.horizon
    contestants: list[Callable[[], Run]] = [
        lambda: ours(panel, origin, horizon),
        lambda: peer(Place(settings), panel, origin, horizon),
    ]
    found = []
    for number in range(1 if quick else rounds):
        for contestant in contestants if number % 2 == 0 else contestants[::-1]:
            found.append(contestant())
            say(f"{found[-1].contestant}: {found[-1].seconds:.1f} s")
    return conclude(panel, origin, found, quick=quick)


def ours(panel: Panel, origin: int, horizon: int) -> Run:
    """The engine as `rd360 forecast --panel` runs it: five candidates, three past origins, quantiles of both kinds."""
    started = perf_counter()
    made = forecast(panel, origin, horizon, Plan(quick(), quantile_recipe(), threads=THREADS))
    return Run(OURS, perf_counter() - started, made.chosen)


def peer(place: Place, panel: Panel, origin: int, horizon: int) -> Run:
    """The peer in a process of its own; what it says below 0 counts as 0, and its quantiles are put in order."""
    with tempfile.TemporaryDirectory(prefix="rd360-bench-train-") as scratch:
        source, target = Path(scratch) / "panel.npz", Path(scratch) / "forecast.npz"
        np.savez(source, **given(panel, origin, horizon))
        environment = {"PATH": os.environ["PATH"], "OMP_NUM_THREADS": str(THREADS)}
        # by its path: a library there has a package called tests too
        command = [str(place.venv_bin(PEERS, "python")), str(CHECKOUT / PEER_SCRIPT), str(source), str(target)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=CHECKOUT, check=False)
        if done.returncode != 0:
            raise RetailDemandError("mlforecast failed", doing="measuring it", why=done.stderr[-LAST_WORDS:])
        with np.load(target) as made:
            return Run(f"mlforecast {made['version']}", float(made["seconds"]), tidy(made["mean"], made["quantiles"]))


def given(panel: Panel, origin: int, horizon: int) -> dict[str, Any]:
    """What the peer may read: units up to the origin, covariates and prices up to the horizon's end, and attributes."""
    view = panel.at(origin, horizon)
    plan: dict[str, Floats] = dict(view.known)
    if view.price is not None:
        plan["price"] = filled(view.price)
    codes = {"store": np.unique(view.stores, return_inverse=True)[1], "product": np.unique(view.products, return_inverse=True)[1]}
    return {
        "units": view.units[:, : origin + 1],
        **{f"planned_{name}": np.nan_to_num(values) for name, values in plan.items()},
        **{f"static_{name}": values for name, values in {**codes, **view.codes}.items()},
        "first": view.first.isoformat(),
        "step_days": view.dataset.step_days,
        "freq": view.dataset.freq,
        "origin": origin,
        "horizon": horizon,
        "levels": np.array(LEVELS),
        "threads": THREADS,
    }


def conclude(panel: Panel, origin: int, found: list[Run], *, quick: bool) -> Outcome:
    """Seconds per 1,000 series and errors of both, and their ratios."""
    ours_of = [run for run in found if run.contestant == OURS]
    peers_of = [run for run in found if run.contestant != OURS]
    horizon = panel.dataset.horizon
    figures: dict[str, Any] = {"series": panel.series, "periods": origin + 1, "horizon": horizon, "threads": THREADS}
    for side, runs in ((OURS, ours_of), (PEER, peers_of)):
        seconds = [run.seconds for run in runs]
        scores = pooled([measure(panel, origin, runs[0].forecast)])
        figures |= {
            f"{side}_seconds_per_1000_series": median(seconds) / panel.series * 1_000,
            f"{side}_spread": spread(seconds),
            **{f"{side}_{name}": scores[name] for name in ("wape", "bias", "rmsse", "spl")},
        }
    figures["times_peer"] = median([a.seconds / b.seconds for a, b in zip(ours_of, peers_of, strict=True)])
    for name in ("wape", "rmsse", "spl"):
        figures[f"{name}_over_peer"] = figures[f"ours_{name}"] / figures[f"peer_{name}"]
    shape = (panel.series, horizon)
    figures["forecasts_missing"] = sum(run.forecast.mean.shape != shape for run in found)
    each = [{"contestant": run.contestant, "seconds": round(run.seconds, 2)} for run in found]
    return Outcome("bench train", figures, CORRECT if quick else (*CORRECT, *HELD), each)
