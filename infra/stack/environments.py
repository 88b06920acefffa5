"""Python environments beside the platform's own: Airflow's and Superset's pins fight with everyone's."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from contracts.errors import DependencyUnavailable
from infra.stack.place import Place

STAMP = ".rd360-lock"  # the shell front stamps the platform's environment with the same name


def ensure(place: Place, name: str) -> None:
    """Makes venvs/<name> from requirements/<name>.txt unless it is there and current. Raises DependencyUnavailable.

    The shell front does the work: it holds the lock, has uv, and knows pip's and uv's configuration.
    """
    if is_current(place, name):
        return
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        [place.checkout / "rd360", "--install", name], env=environment | {"RD360_HOME": str(place.home)}, check=False
    )
    if done.returncode != 0:
        raise DependencyUnavailable(
            f"The environment of {name} could not be installed",
            doing=f"running `rd360 --install {name}`",
            why="its output is above",
            hint="Check the network and the package index, then run the command again: it goes on where it stopped.",
        )


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
