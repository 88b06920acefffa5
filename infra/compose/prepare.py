"""What must be done before services start, for one-shot containers: `python -m infra.compose.prepare STEP`.

Each step is the local stack's own function, so that a database, a bucket or a migration is made in one way only. All can be
repeated.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping

from contracts.errors import RetailDemandError, UsageError
from contracts.settings import load_settings
from infra.stack import airflow, fetch, objectstore, postgres
from infra.stack.daemon import log_tail
from infra.stack.place import Place

LOG_LINES = 20


def migrate_airflow(place: Place) -> None:
    """Migrates Airflow's database and writes its password file; shows the log of a migration that fails."""
    try:
        airflow.prepare(place)
    except RetailDemandError:
        sys.stderr.write("".join(f"  {line}\n" for line in log_tail(place.log("airflow"), LOG_LINES)))
        raise


def fetch_spark_jars(place: Place) -> None:
    """Fetches the jars that a Spark session needs, checked against the lock; images are built with them."""
    fetch.ensure_jars(place, ("spark",))


STEPS: Mapping[str, Callable[[Place], None]] = {
    "databases": postgres.create_databases,
    "buckets": objectstore.create_buckets,
    "airflow": migrate_airflow,
    "spark-jars": fetch_spark_jars,
}


def run(arguments: list[str]) -> None:
    """Runs the one step that is named. Raises UsageError for another, and what the step raises."""
    name = arguments[0] if len(arguments) == 1 else ""
    if name not in STEPS:
        raise UsageError(f"There is no step {name!r}", doing="preparing", hint=f"They are: {', '.join(STEPS)}.")
    STEPS[name](Place(load_settings()))


if __name__ == "__main__":
    try:
        run(sys.argv[1:])
    except RetailDemandError as error:
        sys.exit(f"{error.title}: {error}\n  try:   {error.hint}")
