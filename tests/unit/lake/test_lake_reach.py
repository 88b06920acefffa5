"""What is not there is said within seconds, in words, before Spark starts."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from contracts.errors import ConfigurationError, DependencyUnavailable
from contracts.settings import CHECKOUT, Settings
from contracts.spark_conf import spark_conf, spark_secrets
from lake import brokers, cluster, object_store, session
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
        (object_store.require_bucket, "S3"),
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


def test_a_cluster_gets_jars_from_the_driver_and_what_is_set_for_its_executors(nowhere: Settings) -> None:
    of_cluster = {"spark_master": "spark://host:7077", "spark_executor_memory": "3g", "spark_executor_cores": 2}
    conf = spark_conf(nowhere.model_copy(update=of_cluster))

    assert conf["spark.jars"].count(".jar") == 7
    assert (conf["spark.executor.memory"], conf["spark.executor.cores"]) == ("3g", "2")
    assert not [key for key in conf if "PYTHONPATH" in key]  # this checkout is on this machine alone


def test_a_master_that_is_down_is_named_with_every_address_of_it() -> None:
    with pytest.raises(DependencyUnavailable, match=f"No Spark master answers at spark://{NOBODY},{NOBODY}") as caught:
        cluster.require_master(f"spark://{NOBODY},{NOBODY}")

    assert caught.value.why.count(NOBODY) == 2


def test_what_a_cluster_is_sent_is_all_that_our_transforms_import_of_ours(tmp_path: Path) -> None:
    sent = cluster.zipped(CHECKOUT, tmp_path / "sent.zip")
    imports = "import lake.decode, lake.rolling; print(lake.decode.__file__, lake.rolling.__file__)"
    alone = {"PATH": os.environ["PATH"], "PYTHONPATH": str(sent)}
    done = subprocess.run([sys.executable, "-c", imports], cwd=tmp_path, env=alone, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert done.stdout.count(str(sent)) == 2
