"""The choice among candidates would rather not choose."""

from __future__ import annotations

import numpy as np
import pytest

from training.panels.candidates.naive import MOVING_AVERAGE
from training.panels.choice import PULL, Seen, blends, choose, label, mixed, pulled, segments_of, volume_edges
from training.rows import Floats, Ints

ORIGINS, SERIES, LEADS = 3, 200, 7


def seen(noise: dict[str, Floats | float], seed: int = 7) -> Seen:
    """Two segments; each candidate is the truth plus noise of its own size per series."""
    random = np.random.default_rng(seed)
    truth = random.gamma(4.0, 3.0, (ORIGINS, SERIES, LEADS))
    means = {
        name: truth + random.normal(0, 1, truth.shape) * np.broadcast_to(size, (SERIES,))[None, :, None]
        for name, size in noise.items()
    }
    return Seen(truth, means, np.full(SERIES, 9.0), at_all_origins(np.arange(SERIES) % 2))


def at_all_origins(segment: Ints) -> Ints:
    """Segments that no series leaves."""
    return np.broadcast_to(segment, (ORIGINS, SERIES))


def test_equal_candidates_leave_the_default() -> None:
    one = seen({"trees": 2.0, "rule": 2.0})
    same = Seen(one.truth, {"trees": one.means["trees"], "rule": one.means["trees"]}, one.squared_scale, one.segment)
    assert choose(same, "trees").pooled == (("trees", 1.0),)


def test_the_better_candidate_wins_everywhere() -> None:
    made = choose(seen({"trees": 6.0, "rule": 0.5}), "trees")
    assert label(made.pooled) == "rule"
    assert set(made.of_segment) == {made.pooled}


def test_a_segment_has_its_own_blend_only_where_it_is_better_at_every_origin() -> None:
    better_in_one = np.where(np.arange(SERIES) % 2 == 0, 1.0, 8.0)
    case = seen({"trees": 3.0, "rule": better_in_one})
    made = choose(case, "trees")
    assert made.of_segment[0] != made.pooled
    assert dict(made.of_segment[0])["rule"] >= 0.5
    assert made.of_segment[1] == made.pooled
    once = case.means["rule"].copy()
    once[1] = case.truth[1] + 50.0  # lucky twice, far off once
    unlucky = Seen(case.truth, {**case.means, "rule": once}, case.squared_scale, case.segment)
    assert set(choose(unlucky, "trees").of_segment) == {(("trees", 1.0),)}


@pytest.mark.parametrize(
    ("average", "chosen"),
    [(9.0, "trees"), (1.0, "0.5 trees + 0.5 moving_average")],
    ids=["a season that the average lacks", "little to learn from"],
)
def test_a_single_past_origin_only_tells_whether_caution_pays(average: float, chosen: str) -> None:
    case = seen({"trees": 3.0, "rule": 0.5, MOVING_AVERAGE: average})
    once = Seen(case.truth[:1], {n: m[:1] for n, m in case.means.items()}, case.squared_scale, case.segment[:1])
    made = choose(once, "trees")
    assert label(made.pooled) == chosen
    assert set(made.of_segment) == {made.pooled}


def test_a_series_counts_at_each_origin_where_it_stood_then() -> None:
    moved = np.arange(SERIES) % 2 == np.arange(ORIGINS)[:, None] % 2  # each series changes its segment at every origin
    case = seen({"trees": 3.0, "rule": 1.0})
    rule = np.where(moved[:, :, None], case.means["rule"], case.truth + 9.0)
    made = choose(Seen(case.truth, {**case.means, "rule": rule}, case.squared_scale, moved.astype(np.int64)), "trees")
    assert made.of_segment[0] == (("trees", 1.0),)
    assert dict(made.of_segment[1])["rule"] >= 0.5


def test_a_segment_of_few_series_follows_all() -> None:
    case = seen({"trees": 3.0, "rule": np.where(np.arange(SERIES) < 10, 0.1, 8.0)})
    few = Seen(case.truth, case.means, case.squared_scale, at_all_origins((np.arange(SERIES) < 10).astype(np.int64)))
    made = choose(few, "trees")
    assert set(made.of_segment) == {made.pooled}


def test_a_blend_is_a_weighted_mean() -> None:
    means = {"a": np.array([4.0]), "b": np.array([8.0])}
    assert mixed((("a", 0.75), ("b", 0.25)), means) == pytest.approx([5.0])
    assert all(sum(part for _, part in blend) == pytest.approx(1.0) for blend in blends(["a", "b", "c"], "a"))


def test_segments_tell_volume_and_intermittency_apart() -> None:
    scale = np.array([1.0, 2.0, 5.0, 6.0, 50.0, 60.0])
    segment = segments_of(scale, np.array([0.9, 0.1, 0.9, 0.9, 0.9, 0.9]), volume_edges(scale))
    assert segment[0] < segment[2] < segment[4]
    assert segment[1] == segment[0] + 1


def test_rare_bursts_pull_the_point_to_the_median_where_the_bias_is_worth_it_and_symmetric_errors_do_not() -> None:
    random = np.random.default_rng(7)
    shape = (ORIGINS, SERIES, LEADS)
    burst = random.choice([0.0, 0.0, 1.0, 1.0, 1.0, 8.0], shape)
    scale = np.full(SERIES, burst.var())
    assert pulled(burst, np.full(shape, burst.mean()), np.full(shape, 1.0), scale) == PULL
    rare = random.choice([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 2.0, 4.0], shape)  # 2 % less error would bias it by 25 %
    assert pulled(rare, np.full(shape, rare.mean()), np.zeros(shape), np.full(SERIES, rare.var())) == 0.0
    even = random.normal(10.0, 2.0, shape)
    assert pulled(even, np.full(shape, 10.0), np.full(shape, 9.0), scale) == 0.0
