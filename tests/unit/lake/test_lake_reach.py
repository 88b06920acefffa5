"""What is not there is said within seconds, in words, before Spark starts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from contracts.errors import ConfigurationError, DependencyUnavailable
from contracts.settings import Settings
from contracts.spark_conf import spark_conf, spark_secrets
from lake import brokers, session
from lake.database import connect

Ask = Callable[[Settings], Any]
NOBODY = "127.0.0.1:9"  # the discard port: nothing listens there


@pytest.fixture
def nowhere(tmp_path: Path) -> Settings:
    """Settings whose servers do not exist."""
    return Settings(
        home=tmp_path,
        kafka_bootstrap=NOBODY,
        postgres_address=NOBODY,
        s3_endpoint=f"http://{NOBODY}",
        postgres_password=SecretStr("secret-pg"),
        s3_access_key=SecretStr("secret-key"),
        s3_secret_key=SecretStr("secret-s3"),
    )


@pytest.mark.parametrize(
    ("ask", "named"),
    [
        (session.require_catalog, "PostgreSQL"),
        (session.require_bucket, "S3"),
        (lambda settings: brokers.offsets(settings, ["sales"]), "Kafka"),
    ],
)
def test_a_server_that_is_down_is_named(
    nowhere: Settings, ask: Callable[[Settings], Any], named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(brokers, "ANSWER_SECONDS", 0.5)
    with pytest.raises(DependencyUnavailable, match=named) as caught:
        ask(nowhere)

    assert caught.value.why
    assert "secret" not in str(caught.value)


def test_missing_jars_are_named_with_the_command_that_fetches_them(nowhere: Settings) -> None:
    with pytest.raises(ConfigurationError, match=r"\.jar is missing") as caught:
        session.open_session(nowhere, "test")

    assert "./rd360 up" in caught.value.hint


def test_a_connection_error_names_the_database(nowhere: Settings) -> None:
    with pytest.raises(DependencyUnavailable, match="rd360"), connect(nowhere, "rd360", doing="testing"):
        pass


def test_no_secret_stands_on_the_command_line_of_the_jvm(nowhere: Settings) -> None:
    assert not [value for value in spark_conf(nowhere).values() if "secret-" in value]
    assert sorted(spark_secrets(nowhere).values()) == ["secret-key", "secret-pg", "secret-s3"]


def test_local_sessions_listen_on_the_loopback_alone(nowhere: Settings) -> None:
    conf = spark_conf(nowhere.model_copy(update={"spark_master": "local[2]"}))

    assert conf["spark.driver.bindAddress"] == "127.0.0.1"
    assert conf["spark.ui.enabled"] == "false"
    assert spark_conf(nowhere.model_copy(update={"spark_master": "spark://host:7077"}))["spark.jars"].count(".jar") == 7
