"""Quantiles cover what they say, whatever the size and the unit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from training.panels.spread import FLOOR, MAX_FACTOR, Seen, constant, learn, towards
from training.rows import LEVELS, Floats, Ints


def one_origin(rows: Floats) -> Ints:
    return np.zeros(len(rows), np.int64)


@pytest.mark.parametrize("unit", [0.001, 1.0, 1000.0])
def test_quantiles_cover_their_share_at_every_size_of_mean(unit: float) -> None:
    random = np.random.default_rng(7)
    level = np.repeat(np.geomspace(0.5, 200.0, 20), 1000)
    past, later = random.poisson(level) * unit, random.poisson(level) * unit
    mean, scale = level * unit, level * unit
    offsets = learn(Seen(past, mean, scale, one_origin(mean)), constant(mean))
    quantiles = offsets.add(mean, scale, constant(mean))
    assert (np.diff(quantiles, axis=1) >= 0).all()
    large = level > 5
    for at, name in enumerate(LEVELS):
        assert np.mean(later[large] <= quantiles[large, at]) == pytest.approx(name, abs=0.05)  # whole numbers
        assert np.mean(later <= quantiles[:, at]) > name - 0.02  # whole numbers and zeros push it above


def test_a_mean_of_zero_has_errors_too() -> None:
    truth = np.concatenate([np.zeros(900), np.full(100, 2.0)])
    offsets = learn(Seen(truth, np.zeros(1000), np.full(1000, 1.0), one_origin(truth)), constant(np.zeros(1000)))
    quantiles = offsets.add(np.zeros(1), np.ones(1), constant(np.zeros(1)))[0]
    assert quantiles[LEVELS.index(0.5)] == 0.0
    assert quantiles[LEVELS.index(0.975)] == pytest.approx(2.0)
    assert FLOOR > 0


def test_nothing_seen_changes_nothing() -> None:
    nothing = learn(Seen(np.empty(0), np.empty(0), np.empty(0), np.empty(0, int)), np.empty((0, len(LEVELS))))
    assert (nothing.add(np.ones(2), np.ones(2), constant(np.ones(2))) == 1.0).all()


def test_older_quantiles_go_halfway_to_a_newer_mean_in_any_unit() -> None:
    flat, scale = np.full((1, len(LEVELS)), 8.0), np.array([10.0])
    assert towards(np.array([8.0]), scale, flat) == pytest.approx(flat), "they agree"
    doubled = towards(np.array([17.0]), scale, flat)  # 17 + 1 is twice 8 + 1, of which 1 is a tenth of the scale
    assert doubled == pytest.approx(flat * 2**0.5)
    assert towards(np.array([17e3]), scale * 1e3, flat * 1e3) == pytest.approx(doubled * 1e3)
    assert towards(np.array([1e9]), scale, flat) == pytest.approx(flat * MAX_FACTOR**0.5), "two that are of different things"


def test_stretched_quantiles_keep_their_order_and_what_is_zero() -> None:
    quantiles = np.sort(np.random.default_rng(5).poisson(2.0, (50, len(LEVELS))).astype(float), axis=1)
    moved = towards(np.linspace(0.0, 9.0, 50), np.full(50, 2.0), quantiles)
    assert (np.diff(moved, axis=1) >= 0).all()
    assert ((moved == 0) == (quantiles == 0)).all()


@pytest.mark.parametrize("unit", [0.001, 1.0, 1000.0])
def test_dead_series_do_not_narrow_the_quantiles_of_live_ones(unit: float) -> None:
    """Two segments of as many rows each would put some of the live ones beside all of the dead."""
    random = np.random.default_rng(7)
    live, dead = 400, 300
    mean = np.concatenate([random.uniform(4.9, 5.1, live), random.uniform(0.0, 0.04, dead)]) * unit
    truth = np.concatenate([random.gamma(4.0, 5.0 / 4.0, live), np.zeros(dead)]) * unit
    seen = Seen(truth, mean, np.maximum(mean, 0.01 * unit), one_origin(mean))

    offsets = learn(seen, constant(mean))
    covered = (truth[:, None] <= offsets.add(mean, seen.scale, constant(mean)))[:live].mean(axis=0)
    np.testing.assert_allclose(covered, LEVELS, atol=0.02)


def by_origin(shifts: Floats, rows: int, noise: float, random: np.random.Generator) -> tuple[Seen, Floats]:
    """Forecasts of 10 whose truths at each origin are shifted together, and the truths of an origin to come."""
    mean = np.full(len(shifts) * rows, 10.0)
    truth = mean + np.repeat(shifts, rows) + random.normal(0.0, noise, len(mean))
    return Seen(truth, mean, mean, np.repeat(np.arange(len(shifts)), rows)), random.normal(10.0, noise, rows)


def test_what_few_origins_share_is_expected_to_differ_at_the_next() -> None:
    """Over many histories of three origins; without the stretch an origin to come is covered by less than the level."""
    random, at = np.random.default_rng(11), LEVELS.index(0.9)
    covered, plain = [], []
    for _ in range(400):
        *shifts, next_shift = random.normal(0.0, 1.0, 4)
        seen, later = by_origin(np.array(shifts), 100, 1.0, random)
        offsets = learn(seen, constant(seen.mean))
        for stretch, found in ((offsets.stretch, covered), (np.ones(1), plain)):
            quantiles = replace(offsets, stretch=stretch).add(np.array([10.0]), np.array([10.0]), constant(np.array([10.0])))
            found.append(np.mean(later + next_shift <= quantiles[0, at]))
    assert np.mean(plain) < 0.86
    assert np.mean(plain) + 0.015 < np.mean(covered) < 0.9


@pytest.mark.parametrize("unit", [0.001, 1.0, 1000.0])
def test_the_stretch_is_the_ratio_of_two_variances_in_any_unit(unit: float) -> None:
    """Two origins, at +1 and -1, whose rows err by 1 beside that: 2 within the pool, of which 1 is within an origin."""
    truth = np.array([12.0, 10.0, 10.0, 8.0] * 500) * unit
    mean, origin = np.full(2000, 10.0) * unit, np.array([0, 0, 1, 1] * 500)
    (stretch,) = learn(Seen(truth, mean, mean, origin), constant(mean), segments=1).stretch
    assert stretch == pytest.approx(((1 + 2 * 1.5) / (1 + 2 * 0.5)) ** 0.5, rel=0.001)


def test_one_origin_or_none_that_differs_stretches_nothing() -> None:
    random = np.random.default_rng(3)
    alike, _ = by_origin(np.zeros(3), 1000, 1.0, random)
    assert learn(alike, constant(alike.mean), segments=1).stretch == pytest.approx(1.0, abs=0.001)
    shifted, _ = by_origin(np.array([3.0]), 1000, 1.0, random)
    assert learn(shifted, constant(shifted.mean), segments=1).stretch == 1.0
    flat = replace(alike, truth=alike.mean)
    assert learn(flat, constant(flat.mean)).stretch == pytest.approx(1.0)


def test_a_few_rows_beyond_a_gap_are_no_segment() -> None:
    mean = np.concatenate([np.linspace(5.0, 9.0, 1000), np.full(20, 500.0)])
    offsets = learn(Seen(mean, mean, mean, one_origin(mean)), constant(mean))
    assert len(np.unique(offsets.segment(np.array([9.0, 500.0])))) == 1
