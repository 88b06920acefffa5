"""Airflow with the LocalExecutor on PostgreSQL: API server, scheduler and DAG processor, each a process of its own.

`standalone` would start a triggerer too, which no DAG here needs, and serve logs on all interfaces.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from infra.stack import oneshot
from infra.stack.place import Place
from infra.stack.postgres import has_table

USER = "admin"


def api_server(place: Place) -> list[str]:
    """The web interface and the API."""
    return _airflow(place, "api-server", "--host", "127.0.0.1", "--port", str(place.settings.port(8080)), "--workers", "1")


def scheduler(place: Place) -> list[str]:
    """The scheduler and its local task processes; the API server reads their logs from the disk."""
    return _airflow(place, "scheduler", "--skip-serve-logs")


def dag_processor(place: Place) -> list[str]:
    """The process that reads the dags folder."""
    return _airflow(place, "dag-processor")


def environment(place: Place) -> dict[str, str]:
    """Airflow's whole configuration. RD360_CLI is the command that DAGs call; their tasks inherit the RD360_* settings."""
    settings = place.settings
    address = f"http://127.0.0.1:{settings.port(8080)}"
    options = {
        "CORE__DAGS_FOLDER": place.checkout / "dags",
        "CORE__LOAD_EXAMPLES": False,
        "CORE__EXECUTOR": "LocalExecutor",
        "CORE__PARALLELISM": 4,  # a task here is a whole Spark job; more at once would only wait for the processor
        "CORE__AUTH_MANAGER": "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager",
        "CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": _passwords(place),
        "CORE__EXECUTION_API_SERVER_URL": f"{address}/execution/",
        "CORE__FERNET_KEY": "",  # no connection is stored in Airflow
        "API__BASE_URL": address,
        "API__SECRET_KEY": settings.secret("airflow_jwt_secret"),
        "API_AUTH__JWT_SECRET": settings.secret("airflow_jwt_secret"),
        "DATABASE__SQL_ALCHEMY_CONN": settings.postgres_url("airflow", "postgresql+psycopg2"),
        "DATABASE__SQL_ALCHEMY_POOL_SIZE": 5,
        "LOGGING__BASE_LOG_FOLDER": place.home / "logs" / "airflow",
        "SCHEDULER__ENABLE_HEALTH_CHECK": False,  # it would listen on one more port; the API tells the scheduler's health
        "SCHEDULER__CATCHUP_BY_DEFAULT": False,
        "DAG_PROCESSOR__PARSING_PROCESSES": 1,
        "DAG_PROCESSOR__REFRESH_INTERVAL": 30,
    }
    variables = {f"AIRFLOW__{key}": str(value) for key, value in options.items()}
    return variables | {
        "AIRFLOW_HOME": str(place.data("airflow")),
        "RD360_CLI": str(place.checkout / "rd360"),
        "SCARF_ANALYTICS": "false",
        "PATH": f"{place.venv_bin('airflow', 'airflow').parent}:{place.environment('airflow', ours=False).get('PATH', '')}",
    }


def prepare(place: Place) -> None:
    """Writes the password file and migrates the database when this version has not yet."""
    place.data("airflow").mkdir(parents=True, exist_ok=True)
    path = _passwords(place)
    path.touch(mode=0o600)
    path.write_text(json.dumps({USER: place.settings.secret("airflow_password")}), encoding="utf-8")
    stamp = place.data("airflow") / ".migrated"
    wanted = lock_hash(place, "airflow")
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted and has_table(place, "airflow", "dag_run"):
        return
    oneshot.run(place, "airflow", _airflow(place, "db", "migrate"), _whole_environment(place), place.data("airflow"))
    stamp.write_text(wanted, encoding="utf-8")


def lock_hash(place: Place, name: str) -> str:
    """The hash of an environment's lock: a new one may bring new migrations."""
    return hashlib.sha256((place.checkout / "requirements" / f"{name}.txt").read_bytes()).hexdigest()


def _airflow(place: Place, *arguments: str) -> list[str]:
    return [str(place.venv_bin("airflow", "python")), "-m", "airflow", *arguments]


def _passwords(place: Place) -> Path:
    return place.data("airflow") / "passwords.json"


def _whole_environment(place: Place) -> dict[str, str]:
    return place.environment("airflow", ours=False) | environment(place)
