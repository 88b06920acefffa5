"""Every setting of the platform, read once at the composition root and passed on as a value.

Variables are named RD360_<FIELD>. Secrets come from the same variables or from `secrets.json` in the home folder, which the
first `rd360 up` writes with random values. Nothing else in the code reads the environment.
"""

from __future__ import annotations

import functools
import json
import zoneinfo
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from contracts.errors import ConfigurationError
from contracts.windows import HOUR_MS

CHECKOUT = Path(__file__).resolve().parent.parent
SECRET_FIELDS = (
    "postgres_password",
    "s3_access_key",
    "s3_secret_key",
    "airflow_password",
    "superset_password",
    "superset_secret_key",
    "airflow_jwt_secret",
    "api_token",
)

# ISO 3166: a country, and where its holidays differ from part to part, which; the calendar asks whether they are known
Place = Annotated[str, Field(pattern=r"^([A-Z]{2}(-[A-Za-z0-9]{1,3})?)?$")]


class Settings(BaseSettings):
    """All settings, validated. Addresses that are None belong to the local stack and follow `port_offset`."""

    model_config = SettingsConfigDict(env_prefix="RD360_", extra="ignore", frozen=True)

    home: Path = CHECKOUT / ".rd360"
    port_offset: Annotated[int, Field(ge=0, le=40_000)] = 0
    object_store: Literal["seaweedfs", "minio"] = "seaweedfs"

    kafka_bootstrap: str | None = None
    redis_address: str | None = None  # host:port; set to use somebody else's Redis or Valkey
    postgres_address: str | None = None  # host:port; set to use somebody else's PostgreSQL
    s3_endpoint: str | None = None  # http(s)://host:port; set to use AWS or another S3 store
    mlflow_url: str | None = None
    airflow_url: str | None = None
    superset_url: str | None = None
    api_url: str | None = None

    postgres_user: str = "rd360"
    s3_region: str = "us-east-1"
    lake_bucket: str = "rd360-lake"
    mlflow_bucket: str = "rd360-mlflow"

    topic_prefix: str = ""  # lets several platforms, or tests, share one Kafka
    topic_partitions: Annotated[int, Field(ge=1, le=256)] = 4
    time_zone: str = "Europe/London"  # the chain's zone; see store_time_zones
    store_time_zones: dict[str, str] = {}  # stores in another zone, as JSON: {"s-07": "America/New_York"}
    holidays: Place = "GB-ENG"  # the country or part of one whose public holidays the chain keeps; empty: none
    store_holidays: dict[str, Place] = {}  # stores that keep others, as JSON: {"s-07": "US-NY"}
    snapshot_hours: Annotated[tuple[int, ...], NoDecode] = (0, 10, 14, 18)  # local hours; RD360_SNAPSHOT_HOURS=0,12
    allowed_lateness_ms: Annotated[int, Field(ge=0)] = 24 * HOUR_MS
    max_event_lead_ms: Annotated[int, Field(ge=0)] = HOUR_MS  # an event further ahead of Kafka's clock is refused

    spark_master: str = "local[*]"
    spark_driver_memory: str = "2g"
    spark_executor_memory: str = "2g"  # of each executor of a cluster; a local master has none
    spark_executor_cores: Annotated[int | None, Field(ge=1)] = None  # None: as the cluster gives
    quality_rules: Path | None = None  # a TOML file of rules of the user's own, beside the built-in ones
    freshness_limit_seconds: Annotated[int, Field(ge=1)] = 48 * 3600  # older online rows make a forecast a fallback
    online_read_timeout_ms: Annotated[int, Field(ge=1)] = 250
    parity_threshold: Annotated[float, Field(ge=0, le=1)] = 0.0  # the share of any one feature's values that may differ

    # The worker stops where more than this share of a topic's latest events is refused; 1: never
    dead_letter_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    dead_letter_window: Annotated[int, Field(ge=10)] = 10_000

    # One of several stream workers: a name that outlives its restarts, and a port of its own where they share a machine
    worker_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{0,32}$")] = ""
    worker_port: Annotated[int | None, Field(ge=1, le=65_535)] = None

    postgres_password: SecretStr | None = None
    s3_access_key: SecretStr | None = None
    s3_secret_key: SecretStr | None = None
    airflow_password: SecretStr | None = None
    superset_password: SecretStr | None = None
    superset_secret_key: SecretStr | None = None
    airflow_jwt_secret: SecretStr | None = None
    api_token: SecretStr | None = None

    @field_validator("snapshot_hours", mode="before")
    @classmethod
    def _hours_from_text(cls, value: Any) -> Any:
        return tuple(int(part) for part in value.split(",")) if isinstance(value, str) else value

    @field_validator("snapshot_hours")
    @classmethod
    def _hours_of_a_day(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if not value or any(not 0 <= hour <= 23 for hour in value) or sorted(set(value)) != list(value):
            raise ValueError("snapshot hours are ascending whole hours from 0 to 23, such as 0,10,14,18")
        return value

    @field_validator("time_zone", "store_time_zones")
    @classmethod
    def _known_zones(cls, value: str | dict[str, str]) -> str | dict[str, str]:
        unknown = {value} if isinstance(value, str) else set(value.values())
        if unknown := unknown - _zones():
            raise ValueError(f"{', '.join(sorted(unknown))} is not an IANA time zone, such as Europe/London")
        return value

    def port(self, default: int) -> int:
        """The local stack's port for a tool whose own default is `default`."""
        return default + self.port_offset

    @property
    def kafka(self) -> str:
        """Kafka's bootstrap servers, host:port[,host:port]."""
        return self.kafka_bootstrap or f"127.0.0.1:{self.port(9092)}"

    @property
    def redis(self) -> str:
        """host:port of the online store."""
        return self.redis_address or f"127.0.0.1:{self.port(6379)}"

    @property
    def postgres(self) -> str:
        """host:port of PostgreSQL."""
        return self.postgres_address or f"127.0.0.1:{self.port(5432)}"

    @property
    def s3(self) -> str:
        """URL of the S3 endpoint."""
        return self.s3_endpoint or f"http://127.0.0.1:{self.port(8333 if self.object_store == 'seaweedfs' else 9000)}"

    @property
    def mlflow(self) -> str:
        """URL of the MLflow server."""
        return self.mlflow_url or f"http://127.0.0.1:{self.port(5000)}"

    @property
    def airflow(self) -> str:
        """URL of Airflow's API server."""
        return self.airflow_url or f"http://127.0.0.1:{self.port(8080)}"

    @property
    def superset(self) -> str:
        """URL of Superset."""
        return self.superset_url or f"http://127.0.0.1:{self.port(8088)}"

    @property
    def api(self) -> str:
        """URL of the forecast API."""
        return self.api_url or f"http://127.0.0.1:{self.port(8000)}"

    @property
    def worker_metrics_port(self) -> int:
        """Port of the Faust worker's /metrics, /livez and /readyz."""
        return self.worker_port or self.port(9808)

    def secret(self, field: str) -> str:
        """The value of a secret. Raises ConfigurationError when it was never set nor generated."""
        value = getattr(self, field)
        if value is None:
            raise ConfigurationError(
                f"The secret RD360_{field.upper()} is missing",
                doing="reading the settings",
                why=f"neither the environment nor {self.home / 'secrets.json'} has it",
                hint="The first `./rd360 up` generates it.",
            )
        return str(value.get_secret_value())

    def postgres_url(self, database: str, driver: str = "postgresql") -> str:
        """A SQLAlchemy URL of one of our databases, such as `rd360` or `feast`, with the password in it: never log it."""
        return f"{driver}://{self.postgres_user}:{self.secret('postgres_password')}@{self.postgres}/{database}"


def load_settings(**overrides: Any) -> Settings:
    """The settings from the environment, then secrets.json, then defaults. Raises ConfigurationError naming the variable."""
    try:
        settings = Settings(**overrides)
        from_file = _secrets_file(settings.home / "secrets.json")
        missing: dict[str, Any] = {k: v for k, v in from_file.items() if k in SECRET_FIELDS and getattr(settings, k) is None}
        return Settings(**overrides, **missing) if missing else settings
    except ValidationError as error:
        first = error.errors()[0]
        field = "_".join(str(part) for part in first["loc"][:1])
        raise ConfigurationError(
            f"RD360_{field.upper()}={first['input']!r} is not valid",
            doing="reading the settings",
            why=str(first["msg"]),
            hint="The settings are listed in docs/settings.md.",
        ) from error


@functools.cache
def _zones() -> frozenset[str]:
    """The time zones that this machine knows. Kept, because to find them means to open 600 files."""
    return frozenset(zoneinfo.available_timezones())


def _secrets_file(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"{path} cannot be read",
            doing="reading the secrets",
            why=str(error),
            hint="Restore it or, before the first `up`, remove it.",
        ) from error
