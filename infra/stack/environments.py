"""Python environments beside the platform's own: Airflow's and Superset's pins fight with everyone's."""

from __future__ import annotations

import fcntl
import hashlib
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from contracts.errors import DependencyUnavailable
from infra.stack.place import Place

STAMP = ".rd360-lock"  # the shell front stamps the platform's environment with the same name


def ensure(place: Place, name: str, progress: Callable[[str], None]) -> None:
    """Makes venvs/<name> from requirements/<name>.txt unless it is there and current. Raises DependencyUnavailable."""
    lock = place.checkout / "requirements" / f"{name}.txt"
    folder = place.home / "venvs" / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{name}.lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if is_current(place, name):
            return
        progress(f"Installing {name}")
        uv = place.home / "venvs" / "uv" / "bin" / "uv"
        if not (folder / "bin" / "python").exists():
            _run([str(uv), "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)], name)
        _run([str(uv), "pip", "sync", "--quiet", "--require-hashes", "--python", str(folder / "bin" / "python"), str(lock)], name)
        (folder / STAMP).write_text(stamp_text([lock], folder), encoding="utf-8")


def stamp_text(locks: Sequence[Path], folder: Path) -> str:
    """What a finished environment is stamped with: each lock's hash, and the path, because its scripts name it."""
    return " ".join([*(hashlib.sha256(lock.read_bytes()).hexdigest() for lock in locks), str(folder.resolve())])


def is_current(place: Place, name: str) -> bool:
    """Whether the environment is there and was finished from its lock as it is now; the platform's may hold the dev tools too."""
    folder = place.home / "venvs" / name
    stamp = folder / STAMP
    if not (folder / "bin" / "python").exists() or not stamp.exists():
        return False
    lock = place.checkout / "requirements" / f"{name}.txt"
    choices = [[lock], [lock, lock.with_name("dev.txt")]] if name == "platform" else [[lock]]
    return stamp.read_text(encoding="utf-8").strip() in [stamp_text(locks, folder) for locks in choices]


def _run(command: list[str], name: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise DependencyUnavailable(
            f"The environment for {name} could not be installed",
            doing=f"running {' '.join(command)}",
            why=done.stderr.strip()[-800:],
            hint="Check the network and the package index, then run the command again: it goes on where it stopped.",
        )
