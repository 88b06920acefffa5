"""Readiness of each server, asked in its own protocol. A probe returns None when the server is ready, else why it is not."""

from __future__ import annotations

import http.client
import json
import socket
import urllib.error
import urllib.request
from collections.abc import Callable

from contracts.settings import Settings

Probe = Callable[[Settings], str | None]
SECONDS = 3.0  # a healthy server answers in milliseconds, one on a busy machine in a second or two


def kafka(settings: Settings) -> str | None:
    """Whether a broker answers a metadata request."""
    # imported here: loading librdkafka is slow and most commands never ask a broker
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    client = AdminClient({"bootstrap.servers": settings.kafka, "log_level": 0, "socket.timeout.ms": int(SECONDS * 1000)})
    try:
        brokers = client.list_topics(timeout=SECONDS).brokers
    except KafkaException as error:
        return str(error.args[0].str())
    return None if brokers else "the broker does not know itself yet"


def redis(settings: Settings) -> str | None:
    """Whether a Redis or Valkey answers PING; one that still loads its data does not count."""
    try:
        with _connect(settings.redis) as connection:
            connection.sendall(b"PING\r\n")
            answer = connection.recv(128)
    except OSError as error:
        return str(error)
    return None if answer.startswith(b"+PONG") else answer.decode(errors="replace").strip()


def postgres(settings: Settings) -> str | None:
    """Whether PostgreSQL takes our user and password and answers a query."""
    import psycopg2  # imported here: most commands never ask PostgreSQL

    host, port = split_address(settings.postgres)
    try:
        connection = psycopg2.connect(
            host=host,
            port=port,
            user=settings.postgres_user,
            password=settings.secret("postgres_password"),
            dbname="postgres",
            connect_timeout=int(SECONDS),
        )
    except psycopg2.OperationalError as error:
        return str(error).strip()
    connection.close()
    return None


def s3(settings: Settings) -> str | None:
    """Whether an S3 endpoint answers HTTP; an unsigned request is refused with 403, and that is an answer."""
    return http_answers(settings.s3, below=500)


def api(settings: Settings) -> str | None:
    """Whether the API is alive."""
    return http_answers(f"{settings.api}/livez")


def worker(settings: Settings) -> str | None:
    """Whether the stream worker has its partitions and its state."""
    return http_answers(f"http://127.0.0.1:{settings.worker_metrics_port}/readyz")


def mlflow(settings: Settings) -> str | None:
    """Whether MLflow answers."""
    return http_answers(f"{settings.mlflow}/health")


def airflow(settings: Settings) -> str | None:
    """Whether Airflow's API answers and says that its database, scheduler and DAG processor are healthy."""
    try:
        health = json.loads(_get(f"{settings.airflow}/api/v2/monitor/health", SECONDS)[1])
    except (OSError, http.client.HTTPException, ValueError) as error:
        return str(error)
    parts = {part: (health.get(part) or {}).get("status") for part in ("metadatabase", "scheduler", "dag_processor")}
    sick = [f"{part} is {state}" for part, state in parts.items() if state != "healthy"]
    return "; ".join(sick) or None


def superset(settings: Settings) -> str | None:
    """Whether Superset answers."""
    return http_answers(f"{settings.superset}/health")


def http_answers(url: str, *, below: int = 400, seconds: float = SECONDS) -> str | None:
    """None when a GET ends with a status under `below`."""
    try:
        status, _ = _get(url, seconds)
    except urllib.error.HTTPError as error:
        status = error.code
    except urllib.error.URLError as error:
        return str(error.reason)
    except (OSError, http.client.HTTPException) as error:
        return str(error) or type(error).__name__
    return None if status < below else f"{url} answers {status}"


def _get(url: str, seconds: float) -> tuple[int, bytes]:
    # no proxy: these are addresses of our own network
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=seconds) as answer:
        return int(answer.status), answer.read()


def split_address(address: str) -> tuple[str, int]:
    """("host", port) of "host:port"; an IPv6 host may stand in brackets."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _connect(address: str) -> socket.socket:
    return socket.create_connection(split_address(address), timeout=SECONDS)
