"""`rd360_retrain`: train the candidates and let the gate choose. That none beats the champion is a result, not a failure."""

from __future__ import annotations

from _commands import at, command
from airflow.sdk import DAG

with DAG(
    dag_id="rd360_retrain",
    description="candidates → backtest → gate → champion",
    schedule=at("0 4 * * 0"),  # Sundays, after the daily run; what a week adds to a year changes little before
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    tags=["rd360"],
):
    command("train", "train", accepted={6: "kept"})
