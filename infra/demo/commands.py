"""Runs `rd360` commands as a user would, each in a process of its own, and reads their JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contracts.errors import DataGateError, RetailDemandError
from contracts.settings import CHECKOUT


@dataclass
class Commands:
    """One demo's commands. `seconds` collects how long each stage took; what commands say on stderr goes to `log`."""

    log: Path
    say: Callable[[str], None]
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str, title: str) -> Iterator[None]:
        """Announces a stage and notes its seconds under its name."""
        self.say(f"▸ {title}")
        started = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - started, 1)
        self.say(f"  {self.seconds[name]:.1f} s")

    def run(self, *arguments: str, accept: Sequence[int] = (0,)) -> Any:
        """The JSON document that a command prints, None where it prints nothing.

        Raises DataGateError with the command's last lines where it exits with a code that is not accepted.
        """
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            log.write(f"\n$ rd360 {' '.join(arguments)}\n".encode())
            log.flush()
            at = log.tell()
            done = subprocess.run(
                [sys.executable, "-m", "infra.cli", *arguments],
                cwd=CHECKOUT,
                env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
                stdout=subprocess.PIPE,
                stderr=log,
                check=False,
            )
            log.write(done.stdout)
        if done.returncode not in accept:
            raise self._failed(arguments, done.returncode, at)
        return _document(arguments, done.stdout)

    def _failed(self, arguments: Sequence[str], code: int, at: int) -> RetailDemandError:
        last = self.log.read_bytes()[at:].decode(errors="replace").strip().splitlines()[-15:]
        return DataGateError(
            f"`rd360 {' '.join(arguments)}` ended with exit code {code}",
            doing="running the demo",
            why="\n  " + "\n  ".join(last),
            hint=f"All it said is in {self.log}.",
        )


def _document(arguments: Sequence[str], output: bytes) -> Any:
    text = output.decode().strip()
    if not text:
        return None
    try:
        return json.loads(text)
    except ValueError as error:
        raise DataGateError(f"`rd360 {' '.join(arguments)}` printed no JSON", doing="running the demo", why=text[:200]) from error
