"""Origins, histories and the snapshot grid."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest

from contracts.errors import DataGateError
from contracts.windows import Calendar
from training.frame import Frame
from training.split import (
    CALIBRATION_DAYS,
    MIN_TRAINING_DAYS,
    Plan,
    calibration_split,
    day_numbers,
    history_at,
    iso_day,
    plan_origins,
    snapshot_instants,
)


@pytest.mark.parametrize(
    ("days", "count", "plan"),
    [
        (120, 2, Plan((92, 106), 14)),
        (120, 3, Plan((78, 92, 106), 14)),
        (35, 3, Plan((21,), 14)),
        (30, 2, Plan((21,), 9)),
        (22, 2, Plan((21,), 1)),
    ],
)
def test_origins_are_a_horizon_apart_and_the_last_one_is_known_to_its_end(days: int, count: int, plan: Plan) -> None:
    assert plan_origins(0, days - 1, count) == plan


def test_a_history_that_is_too_short_is_said_to_be() -> None:
    with pytest.raises(DataGateError, match="21 complete days"):
        plan_origins(0, MIN_TRAINING_DAYS - 1)


def test_a_history_knows_nothing_of_its_origin_or_later(frame: Frame) -> None:
    origin = frame.plan.origins[0]
    history = history_at(frame.sampled, frame.daily, origin)
    assert history.rows.target_day.max() == origin - 1
    assert history.rows.as_of_day.max() <= origin - 1
    assert history.daily.day.max() == origin - 1
    assert not np.isnan(history.rows.target).any()


def test_rows_that_calibrate_were_not_fitted_on(frame: Frame) -> None:
    history = history_at(frame.sampled, frame.daily, frame.plan.origins[-1])
    early, calibration = calibration_split(history)
    assert early.origin_day == history.origin_day - CALIBRATION_DAYS
    assert early.rows.target_day.max() < calibration.as_of_day.min()
    assert early.daily.day.max() < calibration.as_of_day.min()
    assert len(calibration) > 0


def test_the_grid_follows_the_clocks_of_the_store() -> None:
    london = Calendar("Europe/London")
    day = day_numbers([dt.date(2026, 3, 29)])[0]  # clocks go from 01:00 to 02:00
    instants = [dt.datetime.fromtimestamp(ms / 1000, dt.UTC).isoformat() for ms in snapshot_instants(london, day, (0, 1, 10))]
    assert instants == ["2026-03-29T00:00:00+00:00", "2026-03-29T01:00:00+00:00", "2026-03-29T09:00:00+00:00"]
    assert iso_day(day) == "2026-03-29"
