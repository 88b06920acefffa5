"""Where things of one local stack live: its home folder, the checkout, and the settings they belong to."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from contracts.errors import ConfigurationError
from contracts.settings import CHECKOUT, SECRET_FIELDS, Settings


@dataclass(frozen=True, slots=True)
class Place:
    """One home folder and the settings it runs with. Everything the stack writes is below `home`."""

    settings: Settings
    checkout: Path = CHECKOUT

    @property
    def home(self) -> Path:
        """The home folder, absolute: child processes carry it as a marker, so it must read the same everywhere."""
        return self.settings.home.resolve()

    @property
    def jars(self) -> Path:
        """Jars by set: jars/kafka, jars/spark."""
        return self.home / "jars"

    @property
    def run(self) -> Path:
        """State of the running stack and generated configuration files."""
        return self.home / "run"

    def data(self, service: str) -> Path:
        """The folder that a server keeps its data in."""
        return self.home / "data" / service

    def log(self, service: str) -> Path:
        """The file that takes a service's output."""
        return self.home / "logs" / f"{service}.log"

    def venv_bin(self, environment: str, program: str) -> Path:
        """A program of one of the Python environments; the platform's own is the one that runs this."""
        if environment == "platform":
            return Path(sys.executable).parent / program
        return self.home / "venvs" / environment / "bin" / program

    def package_folder(self, package: str) -> Path:
        """Where a package of the platform environment is installed, found without importing it."""
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise ConfigurationError(
                f"The package {package} is not installed",
                doing="looking for a server's program",
                why=f"{sys.prefix} does not have it",
                hint="Run `./rd360 doctor`: it puts the platform environment right.",
            )
        return Path(next(iter(spec.submodule_search_locations)))

    def on_path(self, program: str) -> Path | None:
        """A program on the PATH, or None."""
        found = shutil.which(program)
        return Path(found) if found else None

    def environment(self, service: str, *, ours: bool) -> dict[str, str]:
        """The environment of a child: what this process has, every setting that is not a default, and the marker of the stack.

        `ours` says whether the child runs this checkout's code; the others must not find it on their import path.
        """
        env = {
            key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME") and not _is_setting(key)
        }
        env |= settings_environment(self.settings)
        env |= {"RD360_HOME": str(self.home), "RD360_SERVICE": service, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
        if ours:
            env["PYTHONPATH"] = str(self.checkout)
        return env


def settings_environment(settings: Settings) -> dict[str, str]:
    """RD360_* variables that make a child read the same settings. Secrets stay in secrets.json and are not among them."""
    changed = settings.model_dump(mode="python", exclude=set(SECRET_FIELDS), exclude_defaults=True)
    return {f"RD360_{field.upper()}": _text(value) for field, value in changed.items() if value is not None}


def _is_setting(variable: str) -> bool:
    """Whether a variable is one of ours that the settings replace; secrets given by variable must reach the children."""
    return variable.startswith("RD360_") and variable.removeprefix("RD360_").lower() not in SECRET_FIELDS


def _text(value: object) -> str:
    return ",".join(str(part) for part in value) if isinstance(value, tuple) else str(value)
