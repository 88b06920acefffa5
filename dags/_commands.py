"""The one helper of the DAGs: a task is an `rd360` command line, run in the platform's own environment.

Airflow's environment has none of our code. RD360_CLI names the command; the RD360_* settings are inherited.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import CronTriggerTimetable

UNAVAILABLE = 4  # the one exit code that another try can mend; a gate or a wrong setting would only fail again
TRIES, PAUSE_SECONDS = 3, 30


def command(task_id: str, arguments: str, accepted: Mapping[int, str] | None = None) -> BashOperator:
    """A task that runs `rd360 ARGUMENTS`. Its result is "done", or the word for an accepted exit code."""
    words = "".join(f'{code}) echo "{word}"; exit 0;; ' for code, word in ({0: "done"} | dict(accepted or {})).items())
    script = (
        f"for try in $(seq {TRIES}); do "
        f'"$RD360_CLI" {arguments}; code=$?; '
        f"[ $code -eq {UNAVAILABLE} ] && [ $try -lt {TRIES} ] || break; sleep {PAUSE_SECONDS}; done; "
        f"case $code in {words}*) exit $code;; esac"
    )
    return BashOperator(task_id=task_id, bash_command=script, execution_timeout=timedelta(hours=3))


def at(cron: str) -> CronTriggerTimetable:
    """A schedule in the chain's time zone. A new installation waits for the next time instead of making up the last one."""
    zone = os.environ.get("RD360_TIME_ZONE", "Europe/London")  # the settings' own default
    return CronTriggerTimetable(cron, timezone=zone, run_immediately=timedelta(0))
