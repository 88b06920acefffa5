"""Feast is configured as the settings say, and as `feature_store.yaml` tells Feast's own command."""

from __future__ import annotations

import pytest
from feast.repo_config import load_repo_config

from contracts.settings import Settings
from featurestore.project import project_name
from featurestore.repo import REPO, feast_environment, repo_config


@pytest.fixture
def settings() -> Settings:
    return Settings(postgres_password="p", redis_address="redis.example:6380", topic_prefix="shop-a.")


def test_the_feast_command_sees_the_platforms_configuration(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in feast_environment(settings).items():
        monkeypatch.setenv(name, value)

    by_file = load_repo_config(REPO, REPO / "feature_store.yaml")
    ours = repo_config(settings)

    assert by_file.offline_store.type == ours.offline_store.type
    for what in ("project", "provider", "registry", "online_store", "materialization_config", "entity_key_serialization_version"):
        assert getattr(by_file, what) == getattr(ours, what), what


def test_feast_imports_the_definitions_and_no_other_module_of_the_folder() -> None:
    ignored = (REPO / ".feastignore").read_text(encoding="utf-8").splitlines()

    assert {path.name for path in REPO.glob("*.py")} - set(ignored) == {"__init__.py", "definitions.py"}


@pytest.mark.parametrize("one", ["", "shop-a.", "shop_a.", "Shop-a.", "rd360"])
@pytest.mark.parametrize("other", ["", "shop-a.", "shop_a.", "Shop-a.", "rd360"])
def test_each_topic_prefix_has_a_project_of_its_own(one: str, other: str) -> None:
    same = project_name(Settings(topic_prefix=one)) == project_name(Settings(topic_prefix=other))

    assert same == (one == other)


def test_an_online_read_is_bounded_and_not_tried_again(settings: Settings) -> None:
    assert "socket_timeout=0.25,retry=null" in repo_config(settings, online_timeout_ms=250).online_store.connection_string


def test_latest_rows_alone_are_materialized(settings: Settings) -> None:
    # Feast's default writes all rows of the span in no order; with `skip_dedup` an old one would stay
    assert repo_config(settings).materialization_config.pull_latest_features
    assert repo_config(settings).online_store.skip_dedup
