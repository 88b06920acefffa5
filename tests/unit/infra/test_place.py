"""What a child process of the stack is told, and what it is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.settings import Settings, load_settings
from infra.stack.place import Place, settings_environment


def test_settings_given_to_a_child_are_read_back_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path, port_offset=700, snapshot_hours=(0, 12), topic_prefix="t.", object_store="minio")
    for variable, value in settings_environment(settings).items():
        monkeypatch.setenv(variable, value)
    assert load_settings() == settings


def test_secrets_are_not_copied_into_the_settings_of_a_child(tmp_path: Path) -> None:
    variables = settings_environment(Settings(home=tmp_path, postgres_password="hidden", api_token="hidden"))
    assert "hidden" not in " ".join(variables.values())


def test_a_callers_setting_does_not_leak_past_the_settings_that_were_given(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given = Settings(home=tmp_path)
    monkeypatch.setenv("RD360_PORT_OFFSET", "9000")
    assert "RD360_PORT_OFFSET" not in Place(given).environment("kafka", ours=False)


def test_only_our_own_code_finds_this_checkout_on_its_import_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    place = Place(Settings(home=tmp_path))
    assert "PYTHONPATH" not in place.environment("airflow", ours=False)
    assert place.environment("worker", ours=True)["PYTHONPATH"] == str(place.checkout)


def test_every_child_carries_the_marker_of_its_home(tmp_path: Path) -> None:
    env = Place(Settings(home=tmp_path)).environment("kafka", ours=False)
    assert (env["RD360_HOME"], env["RD360_SERVICE"]) == (str(tmp_path), "kafka")
