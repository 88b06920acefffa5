"""What must be installed before services can start: Java, jars, and servers with a build or an environment of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from infra.stack import environments, fetch, objectstore
from infra.stack.java import java
from infra.stack.place import Place
from infra.stack.services import Need


def ensure(place: Place, needs: Iterable[Need], progress: Callable[[str], None]) -> None:
    """Installs what is missing of it. Raises ConfigurationError or DependencyUnavailable naming what could not be had."""
    wanted = set(needs)
    if "java" in wanted:
        java()
    fetch.ensure_jars(place, [name for name in fetch.SETS if f"{name} jars" in wanted], progress)
    if "minio" in wanted:
        objectstore.ensure_minio(place, progress)
    for name in ("airflow", "superset"):
        if f"{name} environment" in wanted:
            environments.ensure(place, name)
