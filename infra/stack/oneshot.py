"""Commands that run once before a service starts; their output goes to the service's log."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from contracts.errors import ConfigurationError, DependencyUnavailable
from infra.stack.place import Place

SECONDS = 300.0  # a database migration on a busy machine takes one of the five minutes


def run(place: Place, service: str, command: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
    """Runs a command to its end. Raises DependencyUnavailable with its last line when it does not end with 0."""
    path = place.log(service)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as log:
        log.write(f"--- rd360 runs {' '.join([Path(command[0]).name, *command[1:]])}\n".encode())
        log.flush()
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=folder,
                timeout=SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise DependencyUnavailable(
                f"{Path(command[0]).name} does not end",
                doing=f"preparing {service}",
                why=str(error),
                hint=f"./rd360 logs {service}",
            ) from error
    if done.returncode != 0:
        raise ConfigurationError(
            f"`{' '.join([Path(command[0]).name, *command[1:]])}` ended with {done.returncode}",
            doing=f"preparing {service}",
            why=_last_line(path),
            hint=f"./rd360 logs {service}",
        )


def _last_line(path: Path) -> str:
    said = [line for line in path.read_text(encoding="utf-8", errors="replace")[-4000:].splitlines() if line.strip()]
    return said[-1].strip()
