"""What is known of a running stack, as files in run/: what should run (desired), and what does (state).

`up` writes the first and the daemon the second; both are replaced whole, so a reader never sees half of one.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from infra.stack.processes import Identity

Phase = Literal["waiting", "preparing", "starting", "ready", "restarting", "failed", "died", "stopping", "stopped"]
RUNNING: tuple[Phase, ...] = ("waiting", "preparing", "starting", "ready", "restarting", "stopping")
BROKEN: tuple[Phase, ...] = ("failed", "died")


@dataclass(frozen=True, slots=True)
class ServiceState:
    """One service: its phase, since when (seconds since the epoch), its processes by name, and why when something is wrong."""

    phase: Phase
    since: float
    processes: dict[str, Identity] = field(default_factory=dict)
    why: str = ""
    log_tail: tuple[str, ...] = ()
    restarts: int = 0
    generation: int = 0


@dataclass(frozen=True, slots=True)
class Desired:
    """The services that should run. A new generation asks for those that failed to be tried again."""

    names: tuple[str, ...] = ()
    generation: int = 0

    def plus(self, names: list[str]) -> Desired:
        """These services too, tried anew."""
        return replace(self, names=tuple(dict.fromkeys([*self.names, *names])), generation=self.generation + 1)


def read_desired(run: Path) -> Desired:
    """What should run; nothing when `up` was never called or `down` was."""
    raw = _read(run / "desired.json")
    return Desired(tuple(raw["names"]), raw["generation"]) if raw else Desired()


def write_desired(run: Path, desired: Desired) -> None:
    """Replaces what should run."""
    _write(run / "desired.json", asdict(desired))


def read_state(run: Path) -> dict[str, ServiceState]:
    """The state of each service that was started since the last `down`, by name."""
    raw = _read(run / "state.json") or {}
    return {name: _service_state(entry) for name, entry in raw.items()}


def write_state(run: Path, state: dict[str, ServiceState]) -> None:
    """Replaces the state."""
    _write(run / "state.json", {name: asdict(entry) for name, entry in state.items()})


def read_supervisor(run: Path) -> Identity | None:
    """The daemon that owns the services, when it lives."""
    raw = _read(run / "supervisor.json")
    identity = Identity(raw["pid"], raw["started"]) if raw else None
    return identity if identity and identity.alive() else None


def write_supervisor(run: Path, identity: Identity) -> None:
    """Says who the daemon is."""
    _write(run / "supervisor.json", asdict(identity))


def read_settings(run: Path) -> dict[str, str]:
    """The settings that the running stack was started with, as RD360_* variables."""
    return _read(run / "settings.json") or {}


def write_settings(run: Path, variables: dict[str, str]) -> None:
    """Keeps the settings of the running stack, so that `down` finds its ports whatever the caller's environment says."""
    _write(run / "settings.json", variables)


def clear(run: Path) -> None:
    """Forgets everything: after `down`."""
    for name in ("desired.json", "state.json", "supervisor.json", "settings.json"):
        (run / name).unlink(missing_ok=True)


def _service_state(raw: dict[str, Any]) -> ServiceState:
    processes = {name: Identity(**identity) for name, identity in raw.pop("processes").items()}
    return ServiceState(**{**raw, "log_tail": tuple(raw["log_tail"])}, processes=processes)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return content


def _write(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_text(json.dumps(content), encoding="utf-8")
    part.replace(path)
