"""Conformal corrections by horizon group."""

from __future__ import annotations

import numpy as np

from training.metrics import coverage
from training.quantiles import GROUP_STARTS, MIN_CALIBRATION, adjust, conformal_offsets, horizon_group
from training.rows import LEVELS


def test_today_the_week_and_the_week_after_are_told_apart() -> None:
    assert horizon_group(np.array([0, 1, 6, 7, 13])).tolist() == [0, 1, 1, 2, 2]


def test_each_horizon_gets_the_spread_of_its_own_errors() -> None:
    random = np.random.default_rng(7)
    groups = np.repeat(np.arange(3), 1000)
    mean = np.full(3000, 100.0)
    target = mean + random.normal(0, 1, 3000) * np.array([1.0, 5.0, 20.0])[groups]
    start = np.repeat(mean[:, None], len(LEVELS), axis=1)
    corrected = adjust(mean, start, groups, conformal_offsets(target, mean, start, groups))
    width = (corrected[:, -1] - corrected[:, 0]).reshape(3, 1000).mean(axis=1)
    assert width[0] < width[1] / 3 < width[2] / 9
    for group in range(3):
        of_group = coverage(target[groups == group], corrected[groups == group])
        assert all(abs(share - level) < 0.01 for level, share in of_group.items())


def test_a_horizon_with_few_rows_borrows_from_all() -> None:
    groups = np.array([0] * 500 + [1] * (MIN_CALIBRATION - 1))
    target = np.where(groups == 0, 5.0, 50.0)
    mean = np.full(len(groups), 5.0)
    start = np.repeat(mean[:, None], len(LEVELS), axis=1)
    offsets = conformal_offsets(target, mean, start, groups)
    pooled = conformal_offsets(target, mean, start, np.full(len(groups), 2))[2]
    assert (offsets[1] == pooled).all()
    assert (offsets[2] == pooled).all()
    assert (offsets[0] == 0).all()


def test_nothing_to_learn_from_changes_nothing() -> None:
    nothing = conformal_offsets(np.array([]), np.array([]), np.zeros((0, len(LEVELS))), np.array([], dtype=np.int64))
    assert nothing.shape == (len(GROUP_STARTS), len(LEVELS))
    assert (nothing == 0).all()
