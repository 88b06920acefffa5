"""`rd360_maintain`: prove that the lake has every message once, then merge what streaming and the day have written in small
files, expire old snapshots, remove orphan files. A lake with a fault keeps its old snapshots until somebody has looked.
"""

from __future__ import annotations

from _commands import at, command
from airflow.sdk import DAG, chain

with DAG(
    dag_id="rd360_maintain",
    description="audit → small files become large ones, old snapshots and orphans go",
    schedule=at("0 6 * * *"),  # long after the daily run: who writes what is merged here waits for maintenance, or it for them
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    tags=["rd360"],
):
    chain(
        command("audit", "lake audit"),
        command("maintain", "lake maintain"),
    )
