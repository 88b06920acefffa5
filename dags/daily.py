"""`rd360_daily`: the day into the lake, features of the new one, the night's forecasts, the marts, the proof that all agree."""

from __future__ import annotations

from _commands import at, command
from airflow.sdk import DAG, chain

with DAG(
    dag_id="rd360_daily",
    description="lake → features → forecasts → marts → parity",
    schedule=at("0 2 * * *"),  # the day is over in every store and its last receipts are in
    catchup=False,  # one run brings everything up to date, however many nights were missed
    max_active_runs=1,
    is_paused_upon_creation=False,
    tags=["rd360"],
):
    chain(
        command("lake", "lake run"),
        command("materialize", "features materialize"),
        command("score", "forecast score"),
        command("marts", "lake marts"),
        command("parity", "features parity"),
    )
