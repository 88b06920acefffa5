"""Secrets: random, private, and never changed once servers depend on them."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from contracts.errors import ConfigurationError
from contracts.settings import SECRET_FIELDS
from infra.stack.secrets import check_mode, ensure_secrets, secrets_path


def test_the_first_call_writes_every_secret_for_its_owner_alone(tmp_path: Path) -> None:
    assert ensure_secrets(tmp_path)
    values = json.loads(secrets_path(tmp_path).read_text())
    assert tuple(values) == SECRET_FIELDS
    assert len(set(values.values())) == len(SECRET_FIELDS)
    assert stat.S_IMODE(secrets_path(tmp_path).stat().st_mode) == 0o600


def test_two_homes_do_not_share_a_secret(tmp_path: Path) -> None:
    for name in ("a", "b"):
        ensure_secrets(tmp_path / name)
    first, second = (json.loads(secrets_path(tmp_path / name).read_text()) for name in ("a", "b"))
    assert not set(first.values()) & set(second.values())


def test_a_later_call_adds_what_is_missing_and_keeps_the_rest(tmp_path: Path) -> None:
    ensure_secrets(tmp_path)
    values = json.loads(secrets_path(tmp_path).read_text())
    kept = {field: value for field, value in values.items() if field != "api_token"}
    secrets_path(tmp_path).write_text(json.dumps(kept))
    assert ensure_secrets(tmp_path)
    after = json.loads(secrets_path(tmp_path).read_text())
    assert {field: after[field] for field in kept} == kept
    assert after["api_token"]
    assert not ensure_secrets(tmp_path)


def test_a_file_that_others_can_read_is_refused_with_the_command_that_mends_it(tmp_path: Path) -> None:
    ensure_secrets(tmp_path)
    check_mode(tmp_path)
    secrets_path(tmp_path).chmod(0o644)
    with pytest.raises(ConfigurationError) as caught:
        check_mode(tmp_path)
    assert caught.value.hint == f"chmod 600 {secrets_path(tmp_path)}"
