"""Feast's configuration, built from the settings."""

from __future__ import annotations

import warnings
from pathlib import Path

from feast.infra.offline_stores.contrib.spark_offline_store.spark import SparkOfflineStoreConfig
from feast.repo_config import RepoConfig

from contracts.settings import Settings
from contracts.spark_conf import spark_conf
from featurestore.project import project_name
from featurestore.row_writer import WRITE_TIMEOUT_MS

# Feast's Spark parts call themselves experimental on every construction, hundreds of times a run. Their import, above, resets
# the filters, so this cannot come earlier.
warnings.filterwarnings("ignore", message="The spark .* is an experimental feature", category=RuntimeWarning)

REPO = Path(__file__).parent
REGISTRY_DATABASE = "feast"


def repo_config(settings: Settings, online_timeout_ms: int = WRITE_TIMEOUT_MS) -> RepoConfig:
    """The configuration that `feature_store.yaml` describes, with Redis timeouts. Holds the registry's password: never log it."""
    return RepoConfig(
        project=project_name(settings),
        provider="local",
        registry={
            "registry_type": "sql",
            "path": settings.postgres_url(REGISTRY_DATABASE, driver="postgresql+psycopg"),
            "cache_ttl_seconds": 60,
            "serve_features_while_materializing": True,
        },
        online_store={
            "type": "featurestore.row_store.RowOnlineStore",
            "connection_string": redis_string(settings, online_timeout_ms),
            # Feast would drop a row whose timestamp is not newer than the stored one, silently. Each key has one writer.
            "skip_dedup": True,
        },
        offline_store=SparkOfflineStoreConfig(spark_conf=spark_conf(settings)),
        # Without `pull_latest_features` Feast writes every row of the span in any order, and the last one written stays.
        materialization={"pull_latest_features": True, "online_write_batch_size": 1000},
        entity_key_serialization_version=3,
        repo_path=REPO,
    )


def redis_string(settings: Settings, timeout_ms: int) -> str:
    """Feast's connection string. Feast has no timeout of its own; redis-py's apply to connecting and to each reply.

    `retry=null` turns redis-py's three retries with back-off off: they would multiply the time that a read may take.
    """
    seconds = timeout_ms / 1000
    return f"{settings.redis},socket_connect_timeout={seconds},socket_timeout={seconds},retry=null"


def feast_environment(settings: Settings) -> dict[str, str]:
    """The variables that `feature_store.yaml` names. Holds the registry's password."""
    return {
        "RD360_FEAST_PROJECT": project_name(settings),
        "RD360_FEAST_REGISTRY": settings.postgres_url(REGISTRY_DATABASE, driver="postgresql+psycopg"),
        "RD360_FEAST_REDIS": redis_string(settings, WRITE_TIMEOUT_MS),
    }
