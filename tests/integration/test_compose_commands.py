"""What compose.yaml runs in our own images, run here without containers: the same commands, settings, order and health checks.

Names of containers become addresses of real servers, an image's folders become folders of this machine, and ports move.
PostgreSQL is a fresh one, so that nothing but the one-shots prepares it; Kafka, Valkey and S3 are the tests' own, by other names.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from contracts.settings import CHECKOUT, SECRET_FIELDS, Settings, load_settings
from infra.cli.test import free_offset
from infra.stack import supervisor
from tests.compose_file import is_oneshot, load_services

pytestmark = pytest.mark.stack

OURS = ("mlflow", "worker", "api", "airflow-api-server", "airflow-scheduler", "airflow-dag-processor", "superset")
# that Superset's one-shots are the local stack's steps is tested in tests/architecture; they take a minute and are not run twice
SKIPPED = ("superset-migrate", "superset-roles", "superset-admin")
LISTENING = ("5000", "8000", "8080", "8088", "9808")


@dataclass
class Engine:
    """Starts services in the order of their conditions, as Compose does, each as a process of this machine."""

    services: Mapping[str, dict[str, Any]]
    folder: Path
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _futures: dict[str, Future[None]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def up(self) -> None:
        """Returns when every service is healthy or has completed. Raises AssertionError with the log of one that did not."""
        with ThreadPoolExecutor(max_workers=len(self.services)) as pool:
            self._futures |= {name: pool.submit(self._start, name) for name in _in_order(self.services)}
        for future in self._futures.values():
            future.result()

    def down(self) -> None:
        """Ends whatever still runs."""
        for process in self.processes.values():
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def health(self, name: str) -> str:
        """What the health check says; empty when it passes."""
        test = self.services[name]["healthcheck"]["test"]
        assert test[0] == "CMD"
        asked = subprocess.run(
            [sys.executable if test[1] == "python3" else test[1], *test[2:]],
            env=self._environment(name),
            capture_output=True,
            text=True,
            check=False,
        )
        return "" if asked.returncode == 0 else asked.stderr[-300:] or f"exit code {asked.returncode}"

    def log(self, name: str) -> str:
        """The end of what a service said."""
        return (self.folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")[-2500:]

    def _start(self, name: str) -> None:
        service = self.services[name]
        for other in service.get("depends_on", {}):
            if other in self.services:  # else it is a server of the tests' stack
                while other not in self._futures:
                    time.sleep(0.01)
                self._futures[other].result()
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                service["command"],
                env=self._environment(name),
                cwd=self.folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        with self._lock:
            self.processes[name] = process
        if is_oneshot(service):
            assert process.wait(timeout=120) == 0, f"{name} failed:\n{self.log(name)}"
        else:
            self._wait_until_healthy(name, process)

    def _wait_until_healthy(self, name: str, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + float(self.services[name]["healthcheck"]["start_period"].removesuffix("s"))
        while (problem := self.health(name)) or process.poll() is not None:
            assert process.poll() is None, f"{name} ended with {process.returncode}:\n{self.log(name)}"
            assert time.monotonic() < deadline, f"{name} is not healthy: {problem}\n{self.log(name)}"
            time.sleep(1)

    def _environment(self, name: str) -> dict[str, str]:
        """As in a container: nothing of the caller's but where programs are."""
        mine = {key: os.environ[key] for key in ("PATH", "JAVA_HOME", "LD_LIBRARY_PATH") if key in os.environ}
        given = {key: str(value) for key, value in self.services[name]["environment"].items()}
        of_the_image = {"RD360_HOME": str(self.folder), "HOME": str(self.folder), "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
        return mine | of_the_image | given


@pytest.fixture(scope="module")
def engine(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Every service of our own images, healthy, on a fresh PostgreSQL. Its home has no secrets.json: all come by variable."""
    home = tmp_path_factory.mktemp("containers")
    (home / "data" / "superset").mkdir(parents=True)
    fresh = tmp_path_factory.mktemp("postgres")
    for shared in ("venvs", "jars"):
        for folder in (home, fresh):
            (folder / shared).symlink_to(settings.home.resolve() / shared)
    shutil.copy2(settings.home / "secrets.json", fresh)
    own = load_settings(home=fresh, port_offset=free_offset(settings))
    engine = Engine(_services(settings, own, home), home)
    try:
        supervisor.up(own, ["postgres"])
        engine.up()
        yield engine
    finally:
        engine.down()
        supervisor.down(own)


def test_every_container_of_ours_is_healthy_and_stays_so(engine: Engine) -> None:
    assert {name: engine.health(name) for name in OURS} == dict.fromkeys(OURS, "")
    assert {name: engine.processes[name].poll() for name in OURS} == dict.fromkeys(OURS)


def test_a_health_check_fails_when_nobody_answers(engine: Engine) -> None:
    services = _renamed(engine.services, lambda text: re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:9", text))
    nobody = Engine(services, engine.folder)

    assert [name for name in OURS if not nobody.health(name)] == []


def test_mlflow_answers_clients_that_call_it_by_its_container_name(engine: Engine) -> None:
    url = f"http://127.0.0.1:{_port(engine, 'mlflow')}/api/2.0/mlflow/experiments/search?max_results=1"

    assert _status(url, {"Host": f"mlflow:{_port(engine, 'mlflow')}"}) == 200
    assert _status(url, {"Host": "elsewhere.example"}) == 403


def test_airflow_has_read_the_dags_and_lets_the_administrator_in(engine: Engine) -> None:
    port = _port(engine, "airflow-api-server")
    password = json.loads((engine.folder / "data" / "airflow" / "passwords.json").read_text(encoding="utf-8"))["admin"]
    body = json.dumps({"username": "admin", "password": password}).encode()
    token = json.loads(_get(f"http://127.0.0.1:{port}/auth/token", {"Content-Type": "application/json"}, body))["access_token"]

    sources = [path.read_text(encoding="utf-8") for path in (CHECKOUT / "dags").glob("*.py")]
    wanted = {dag_id for source in sources for dag_id in re.findall(r'dag_id="(\w+)"', source)}

    deadline = time.monotonic() + 60
    found: set[str] = set()
    while not wanted <= found and time.monotonic() < deadline:
        listed = json.loads(_get(f"http://127.0.0.1:{port}/api/v2/dags", {"Authorization": f"Bearer {token}"}))
        found = {dag["dag_id"] for dag in listed["dags"]}
        time.sleep(0 if wanted <= found else 1)

    assert wanted
    assert wanted <= found


def test_the_api_wants_its_token(engine: Engine) -> None:
    url = f"http://127.0.0.1:{_port(engine, 'api')}/v1/forecasts"
    body, kind = json.dumps({"store_id": "s-01", "product_ids": ["p-001"]}).encode(), {"Content-Type": "application/json"}
    token = engine.services["api"]["environment"]["RD360_API_TOKEN"]

    assert _status(url, kind, body) == 401
    assert _status(url, kind | {"Authorization": f"Bearer {token}"}, body) != 401


def test_a_container_ends_within_its_grace_when_it_is_told_to(engine: Engine) -> None:
    """The last test: an engine sends SIGTERM to a container's first process, and kills what is left after the grace."""
    for name in OURS:
        engine.processes[name].terminate()
    began = time.monotonic()

    late = [
        name for name in OURS if not _ends(engine.processes[name], began + _seconds(engine.services[name]["stop_grace_period"]))
    ]

    assert late == []


def _services(settings: Settings, own: Settings, home: Path) -> dict[str, dict[str, Any]]:
    """The services of our own images, with the addresses, folders and ports of this machine."""
    prefix = f"compose-{own.port_offset}-"
    variables = {f"RD360_{name.upper()}": value for name, value in _secrets(settings).items()}
    variables |= {
        "RD360_TOPIC_PREFIX": prefix,
        "RD360_LAKE_BUCKET": f"{prefix}lake",
        "RD360_MLFLOW_BUCKET": f"{prefix}mlflow",
        "RD360_SPARK_MASTER": "local[1]",
    }
    moved = "|".join(LISTENING)
    servers = {
        "kafka:9092": settings.kafka,
        "valkey:6379": settings.redis,
        "postgres:5432": own.postgres,
        "http://s3:9000": settings.s3,
    }

    def change(text: str) -> str:
        for name, address in servers.items():
            text = text.replace(name, address)
        if "mlflow:5000" not in text or text.startswith("http"):  # the list of hosts that MLflow answers to stays
            text = re.sub(r"\b(mlflow|api|airflow-api-server|superset)(?=:\d)", "127.0.0.1", text)
        text = re.sub(rf"(?<=:)({moved})\b|^({moved})$", lambda match: str(int(match[0]) + own.port_offset), text)
        text = text.replace("0.0.0.0", "127.0.0.1").replace("/opt/rd360/venvs/platform/bin/python", sys.executable)
        return re.sub(r"^/app\b", str(CHECKOUT), text.replace("/opt/rd360", str(home)))

    services = {
        name: s for name, s in load_services(variables, change).items() if "build" in s and name != "s3" and name not in SKIPPED
    }
    services["worker"]["environment"]["RD360_PORT_OFFSET"] = str(own.port_offset)  # where its metrics are
    return services


def _secrets(settings: Settings) -> dict[str, str]:
    return {name: settings.secret(name) for name in SECRET_FIELDS}


def _renamed(services: Mapping[str, dict[str, Any]], change: Any) -> dict[str, dict[str, Any]]:
    checks = {name: s.get("healthcheck", {}) for name, s in services.items()}
    return {
        name: s | {"healthcheck": checks[name] | {"test": [change(part) for part in checks[name].get("test", [])]}}
        for name, s in services.items()
    }


def _in_order(services: Mapping[str, dict[str, Any]]) -> list[str]:
    """Names such that what a service waits for comes before it."""
    done: list[str] = []
    while len(done) < len(services):
        done += [
            name
            for name, s in services.items()
            if name not in done and all(other in done or other not in services for other in s.get("depends_on", {}))
        ]
    return done


def _port(engine: Engine, name: str) -> str:
    """The port of this machine that a container's service listens on."""
    found = re.search(r"http://127\.0\.0\.1:(\d+)", engine.services[name]["healthcheck"]["test"][-1])
    assert found is not None
    return found[1]


def _get(url: str, headers: Mapping[str, str], body: bytes | None = None) -> bytes:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(urllib.request.Request(url, data=body, headers=dict(headers)), timeout=20) as answer:
        return bytes(answer.read())


def _status(url: str, headers: Mapping[str, str], body: bytes | None = None) -> int:
    try:
        _get(url, headers, body)
    except urllib.error.HTTPError as error:
        return error.code
    return 200


def _ends(process: subprocess.Popen[bytes], deadline: float) -> bool:
    try:
        process.wait(timeout=max(0.1, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return False
    return True


def _seconds(text: str) -> float:
    return float(text.removesuffix("s"))
