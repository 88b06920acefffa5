"""`rd360_maintain`: merge what streaming and the day have written in small files, expire old snapshots, remove orphan files."""

from __future__ import annotations

from _commands import at, command
from airflow.sdk import DAG

with DAG(
    dag_id="rd360_maintain",
    description="small files → large ones, old snapshots and orphans → gone",
    schedule=at("0 6 * * *"),  # long after the daily run: who writes what is merged here waits for maintenance, or it for them
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    tags=["rd360"],
):
    command("maintain", "lake maintain")
