"""The containers are the local stack in another wrapping: whatever the two both say, they say alike."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from contracts.settings import SECRET_FIELDS, Settings, load_settings
from infra.compose import prepare
from infra.stack import airflow, kafka, mlflow, objectstore, oneshot, postgres, superset
from infra.stack.place import Place
from infra.stack.services import Service, closure, services
from tests.compose_file import (
    COMPOSE,
    SECRETS,
    MissingVariable,
    is_oneshot,
    load_compose,
    load_services,
)

HOME, APP = "/opt/rd360", "/app"
PLATFORM_PYTHON = f"{HOME}/venvs/platform/bin/python"
# what listens for its own process alone: the controller for the broker, and the worker's health for its health check
INSIDE = {("kafka", "controller"), ("worker", "metrics")}
ANSWERS_ON = {"airflow": "airflow-api-server"}  # the container that has a service's port, where it is not named like the service


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Place:
    """The place that a container's own folders are, with the addresses and secrets that compose.yaml gives it."""
    monkeypatch.setattr(sys, "executable", PLATFORM_PYTHON)
    monkeypatch.setattr(Place, "on_path", lambda _self, program: Path(program))
    environment = load_services()["airflow-scheduler"]["environment"] | dict(SECRETS)
    fields = {key.removeprefix("RD360_").lower(): value for key, value in environment.items() if key.startswith("RD360_")}
    known = {name: value for name, value in fields.items() if name in Settings.model_fields}
    return Place(Settings(home=Path(HOME), **known), checkout=Path(APP))


@pytest.fixture
def local(place: Place) -> Mapping[str, Service]:
    """The local stack's services with the containers' settings: MinIO is the store."""
    return services(place.settings)


def containers_of(service: Service) -> dict[str, str]:
    """Container name -> process name: one container for each process of a service."""
    names = list(service.commands)
    return {service.name if len(names) == 1 else f"{service.name}-{name}": name for name in names}


# --- the file itself ---


def test_it_is_valid_against_the_compose_schema() -> None:
    package = importlib.util.find_spec("check_jsonschema")
    assert package is not None
    assert package.submodule_search_locations
    folder = Path(package.submodule_search_locations[0]) / "builtin_schemas" / "vendor"
    schema = json.loads((folder / "compose-spec.json").read_text(encoding="utf-8"))
    validator = jsonschema.validators.validator_for(schema)(schema)

    problems = [f"{error.json_path}: {error.message}" for error in validator.iter_errors(yaml.safe_load(COMPOSE.read_text()))]

    assert problems == []


@pytest.mark.parametrize("field", SECRET_FIELDS)
def test_no_secret_has_a_default(field: str) -> None:
    variable = f"RD360_{field.upper()}"

    with pytest.raises(MissingVariable, match=f"{variable} .*make-env.sh"):
        load_compose({name: value for name, value in SECRETS.items() if name != variable})


def test_make_env_gives_every_secret_a_value_of_its_own_that_only_the_owner_reads(tmp_path: Path) -> None:
    for name in ("make-env.sh", ".env.example"):
        shutil.copy(COMPOSE.with_name(name), tmp_path)

    first = subprocess.run([tmp_path / "make-env.sh"], check=False, capture_output=True)
    written = (tmp_path / ".env").read_text(encoding="utf-8")
    second = subprocess.run([tmp_path / "make-env.sh"], check=False, capture_output=True)

    values = dict(line.split("=", 1) for line in written.splitlines() if line and not line.startswith("#"))
    assert first.returncode == 0
    assert set(values) == set(SECRETS)
    assert len(set(values.values())) == len(values)
    assert all(re.fullmatch(r"[0-9a-f]{20,}", value) for value in values.values())
    assert stat.S_IMODE((tmp_path / ".env").stat().st_mode) == 0o600
    assert second.returncode == 3, "a second run must not change what the servers' data depend on"
    assert (tmp_path / ".env").read_text(encoding="utf-8") == written


# --- the same services, ports, commands, settings, order and patience ---


def test_the_services_are_those_of_the_local_stack(local: Mapping[str, Service]) -> None:
    serving = {name for name, service in load_services().items() if not is_oneshot(service)}

    assert serving == {container for service in local.values() for container in containers_of(service)}


def test_ports_are_the_local_ones_and_published_on_loopback_only(local: Mapping[str, Service]) -> None:
    published = {name: [str(port).split(":") for port in s.get("ports", [])] for name, s in load_services().items()}
    wanted = {
        ANSWERS_ON.get(name, name): {port for what, port in service.ports.items() if (name, what) not in INSIDE}
        for name, service in local.items()
    }

    assert {host for ports in published.values() for host, *_ in ports} == {"127.0.0.1"}
    assert {name: {int(outside) for _, outside, _ in ports} for name, ports in published.items() if ports} == {
        name: ports for name, ports in wanted.items() if ports
    }
    # Kafka has a listener for the host alone, because the broker must answer it with the host's address
    assert {name for name, ports in published.items() for _, outside, inside in ports if outside != inside} == {"kafka"}


@pytest.mark.parametrize("name", ["valkey", "s3", "mlflow", "worker", "api", "airflow", "superset"])
def test_commands_are_the_local_ones_but_listen_to_other_containers(
    name: str, place: Place, local: Mapping[str, Service]
) -> None:
    containers = load_services()
    for container, process in containers_of(local[name]).items():
        program, *arguments = local[name].commands[process](place)
        expected = [part.replace("127.0.0.1", "0.0.0.0") for part in arguments]
        if name == "valkey":  # its folder is the image's, and its protected mode would refuse other containers
            expected = _with(expected, {"--dir": "/data", "--protected-mode": "no"})

        given_program, *given = containers[container]["command"]

        assert given == expected
        assert given_program in (program, Path(program).name)


def test_postgres_has_the_local_options(place: Place) -> None:
    program, *flags = load_services()["postgres"]["command"]
    addresses = {"listen_addresses", "unix_socket_directories"}  # the image's own: all of the container's, and its socket

    assert program == "postgres"
    assert flags[::2] == ["-c"] * len(flags[1::2])
    assert dict(flag.split("=") for flag in flags[1::2]) == {k: v for k, v in postgres.OPTIONS.items() if k not in addresses}


def test_kafka_has_the_local_properties(place: Place) -> None:
    environment = load_services()["kafka"]["environment"]
    tool_options = ("KAFKA_HEAP_OPTS", "KAFKA_OPTS", "KAFKA_LOG4J_ROOT_LOGLEVEL")
    given = {
        key.removeprefix("KAFKA_").lower().replace("_", "."): value
        for key, value in environment.items()
        if key not in tool_options
    }
    local = dict(line.split("=", 1) for line in kafka.server_properties(place).splitlines())
    of_the_container = {"listeners", "advertised.listeners", "listener.security.protocol.map", "log.dirs"}

    assert {k: v for k, v in given.items() if k not in of_the_container} == {
        k: v for k, v in local.items() if k not in of_the_container
    }
    assert f"PLAINTEXT://{load_services()['topics']['environment']['RD360_KAFKA_BOOTSTRAP']}" in given["advertised.listeners"]


def test_kafka_has_the_local_heap(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka, "java", lambda: Path("java"))

    heap = {flag for flag in kafka.command(place) if flag.startswith("-Xm")}

    assert heap == set(load_services()["kafka"]["environment"]["KAFKA_HEAP_OPTS"].split())


def test_mlflow_superset_and_minio_have_the_local_settings(place: Place) -> None:
    containers = load_services()
    own = {"HOME"}  # a container's user has a home of its own

    for container, local in (("mlflow", mlflow), ("superset", superset)):
        given, expected = containers[container]["environment"], local.environment(place)
        assert {k: v for k, v in given.items() if k != "MLFLOW_SERVER_ALLOWED_HOSTS"} == {
            k: v for k, v in expected.items() if k not in own
        }
    assert containers["s3"]["environment"] == objectstore.minio_environment(place)


def test_mlflow_answers_to_every_name_that_it_is_called_by() -> None:
    containers = load_services()
    called = {str(s["environment"].get("RD360_MLFLOW_URL", "")).removeprefix("http://") for s in containers.values()} - {""}

    allowed = containers["mlflow"]["environment"]["MLFLOW_SERVER_ALLOWED_HOSTS"].split(",")

    assert called | {"127.0.0.1:5000", "localhost:5000"} == set(allowed)


@pytest.mark.parametrize("container", ["airflow-api-server", "airflow-scheduler", "airflow-dag-processor"])
def test_airflow_has_the_local_settings(container: str, place: Place) -> None:
    given = load_services()[container]["environment"]
    asked_by_tasks = {"AIRFLOW__CORE__EXECUTION_API_SERVER_URL": "http://airflow-api-server:8080/execution/"}
    expected = airflow.environment(place) | asked_by_tasks

    assert {k: v for k, v in given.items() if not k.startswith("RD360_") or k == "RD360_CLI"} == {
        k: v for k, v in expected.items() if k not in ("PATH", "HOME")
    }


def test_every_setting_reaches_our_containers() -> None:
    """A new setting that compose.yaml does not name would silently keep its default in containers."""
    some_value = {f"RD360_{field.upper()}": "something" for field in Settings.model_fields}
    # the image has its home, ports are the containers' own, and two containers of a service may not have one name
    here = {"home", "port_offset", "worker_id", "worker_port"}
    containers = load_services(some_value)

    for name in ("topics", "features", "databases", "buckets", "airflow-migrate", "worker", "api", "airflow-scheduler"):
        passed = {key.removeprefix("RD360_").lower() for key in containers[name]["environment"] if key.startswith("RD360_")}
        assert passed >= set(Settings.model_fields) - set(SECRET_FIELDS) - here, name


@pytest.mark.parametrize(
    ("container", "secrets"),
    [
        ("worker", {"postgres_password"}),
        ("api", {"postgres_password", "api_token"}),
        ("features", {"postgres_password"}),
        ("buckets", {"s3_access_key", "s3_secret_key"}),
        ("airflow-migrate", {"postgres_password", "airflow_password", "airflow_jwt_secret"}),
        (
            "airflow-scheduler",
            {"postgres_password", "s3_access_key", "s3_secret_key", "api_token", "airflow_password", "superset_password"},
        ),
    ],
)
def test_our_containers_can_read_their_settings(
    container: str, secrets: set[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for key, value in load_services()[container]["environment"].items():
        monkeypatch.setenv(key, str(value))
    monkeypatch.setenv("RD360_HOME", str(tmp_path))  # where no secrets.json is

    settings = load_settings()

    assert all(settings.secret(field) for field in secrets)
    assert settings.kafka == "kafka:9092"
    assert settings.s3 == "http://s3:9000"


def test_addresses_are_names_of_containers_and_their_ports() -> None:
    containers = load_services()
    listening = {f"{name}:{port.split(':')[-1]}" for name, s in containers.items() for port in s.get("ports", [])} | {
        "kafka:9092"
    }
    addresses = {
        key: str(value).removeprefix("http://")
        for key, value in containers["worker"]["environment"].items()
        if key.endswith(("_URL", "_ADDRESS", "_ENDPOINT", "_BOOTSTRAP"))
    }

    assert len(addresses) == 8
    assert set(addresses.values()) <= listening


@pytest.mark.parametrize("name", ["mlflow", "worker", "api", "airflow", "superset"])
def test_a_container_waits_for_what_its_service_needs(name: str, local: Mapping[str, Service]) -> None:
    containers = load_services()
    needed = {ANSWERS_ON.get(need, need) for need in closure([name], local)} - {ANSWERS_ON.get(name, name)}

    for container in containers_of(local[name]):
        assert needed <= _waits_for(container, containers)


def test_containers_wait_for_health_or_for_the_end_of_a_oneshot() -> None:
    containers = load_services()

    for name, service in containers.items():
        for other, how in service.get("depends_on", {}).items():
            wanted = "service_completed_successfully" if is_oneshot(containers[other]) else "service_healthy"
            assert how == {"condition": wanted}, f"{name} -> {other}"


def test_every_oneshot_is_waited_for() -> None:
    containers = load_services()
    waited_for = {other for service in containers.values() for other in service.get("depends_on", {})}

    assert {name for name, service in containers.items() if is_oneshot(service)} <= waited_for


def test_health_is_asked_with_the_local_patience(local: Mapping[str, Service]) -> None:
    containers = load_services()
    for service in local.values():
        for container in containers_of(service):
            given = containers[container]
            assert given["healthcheck"]["test"], container
            assert given["healthcheck"]["start_period"] == f"{service.start_seconds:.0f}s", container
            assert given["stop_grace_period"] == f"{service.stop.grace:.0f}s", container


def test_oneshots_do_what_the_local_stack_does_before_a_start(
    place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ran: list[list[str]] = []
    monkeypatch.setattr(oneshot, "run", lambda _place, _service, command, _environment, _folder: ran.append(list(command)))
    monkeypatch.setattr(superset, "lock_hash", lambda _place, _name: "")
    here = Place(place.settings.model_copy(update={"home": tmp_path}), checkout=place.checkout)
    containers = load_services()

    for step in (*services(here.settings)["worker"].before, *services(here.settings)["api"].before, superset.prepare):
        step(here)

    as_in_a_container = [[part.replace(str(tmp_path), HOME) for part in command] for command in ran]
    assert as_in_a_container == [
        containers[name]["command"] for name in ("topics", "features", "superset-migrate", "superset-roles", "superset-admin")
    ]


def test_preparing_oneshots_name_known_steps() -> None:
    commands = [s["command"] for s in load_services().values() if "infra.compose.prepare" in s.get("command", [])]

    assert len(commands) == 3
    for command in commands:
        assert command[:3] == [PLATFORM_PYTHON, "-m", "infra.compose.prepare"]
        assert command[3] in prepare.STEPS


def _with(arguments: list[str], values: Mapping[str, str]) -> list[str]:
    """The arguments with other values for some flags."""
    return [values.get(before, part) for before, part in zip(["", *arguments], arguments, strict=False)]


def _waits_for(name: str, containers: Mapping[str, Any]) -> set[str]:
    """Everything that is ready before a container starts."""
    direct = set(containers[name].get("depends_on", {}))
    return direct.union(*(_waits_for(other, containers) for other in direct)) if direct else set()
