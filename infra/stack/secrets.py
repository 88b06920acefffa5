"""The secrets of a home folder: random, made once, readable by their owner alone."""

from __future__ import annotations

import json
import os
import secrets
import stat
from pathlib import Path

from contracts.errors import ConfigurationError
from contracts.settings import SECRET_FIELDS

MODE = 0o600


def secrets_path(home: Path) -> Path:
    """The file that holds the secrets of a home folder."""
    return home / "secrets.json"


def ensure_secrets(home: Path) -> bool:
    """True when secrets.json was written or completed. Those that are there never change: the servers' data depend on them."""
    path = secrets_path(home)
    known: dict[str, str] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    missing = [field for field in SECRET_FIELDS if not known.get(field)]
    if not missing:
        return False
    _write_private(path, known | {field: _random(field) for field in missing})
    return True


def check_mode(home: Path) -> None:
    """Raises ConfigurationError when anyone but the owner may read the secrets."""
    path = secrets_path(home)
    mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else MODE
    if mode & 0o077:
        raise ConfigurationError(
            f"{path} has mode {mode:o}",
            doing="checking the secrets",
            why="others than its owner can read it",
            hint=f"chmod 600 {path}",
        )


def _random(field: str) -> str:
    # S3 access keys are limited to 20 characters by MinIO; the rest is hexadecimal so that no URL or shell needs quoting
    return secrets.token_hex(10) if field == "s3_access_key" else secrets.token_hex(24)


def _write_private(path: Path, values: dict[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(values, file, indent=2)
        file.write("\n")
    part.replace(path)
