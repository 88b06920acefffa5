"""What tests share. Tests marked `stack` get `settings`: those of the stack that `./rd360 test` started for them."""

from __future__ import annotations

import gc
import os

import prometheus_client  # noqa: F401  # before any test imports Feast: see featurestore/__init__.py
import pytest

from contracts.settings import Settings, load_settings

gc.disable()  # while tests are collected: imports leave nothing behind, and passes over it took a quarter of their time


def pytest_collection_finish() -> None:
    """The libraries stay: passes of the garbage collector go over what tests make, and no longer over them."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def settings() -> Settings:
    """Settings of a running stack: Kafka, Valkey, PostgreSQL and S3 answer. Fails, and does not skip, when they do not.

    To run a single test on a stack of your own: `RD360_HOME=... RD360_PORT_OFFSET=... ./rd360 up`, and pytest with the same two.
    """
    from infra.stack import probes

    settings = load_settings()
    asked = {"kafka": probes.kafka, "valkey": probes.redis, "postgres": probes.postgres, "s3": probes.s3}
    problems = {name: why for name, probe in asked.items() if (why := probe(settings))}
    if problems:
        pytest.fail(f"no stack for tests at RD360_HOME={settings.home}, RD360_PORT_OFFSET={settings.port_offset}: {problems}")
    return settings


@pytest.fixture(autouse=True)
def _no_settings_of_the_caller(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test without a stack sees the defaults, whatever stack the caller's environment names."""
    if request.node.get_closest_marker("stack") is None:
        for variable in [name for name in os.environ if name.startswith("RD360_")]:
            monkeypatch.delenv(variable)
