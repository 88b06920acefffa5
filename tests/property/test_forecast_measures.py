"""The measures against a second, slow implementation; quantiles that never cross whatever goes in."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from contracts.vector import MODEL_INPUTS
from training import metrics
from training.quantiles import GROUP_STARTS, adjust, conformal_offsets, horizon_group
from training.rows import LEVELS, Rows

UNITS = st.floats(0, 1e4, allow_nan=False)
ANY = st.floats(-1e4, 1e4, allow_nan=False)
COUNTS = st.integers(1, 30)


@given(st.data())
def test_measures_equal_their_definitions_one_number_at_a_time(data: st.DataObject) -> None:
    count = data.draw(COUNTS)
    target, mean = data.draw(arrays(float, count, elements=UNITS)), data.draw(arrays(float, count, elements=UNITS))
    quantiles = data.draw(arrays(float, (count, len(LEVELS)), elements=UNITS))
    total = sum(target)
    if total > 1e-6:  # below it, ratios leave the range of doubles
        assert np.isclose(metrics.wape(target, mean), sum(abs(y - f) for y, f in zip(target, mean, strict=True)) / total)
        assert np.isclose(metrics.bias(target, mean), sum(f - y for y, f in zip(target, mean, strict=True)) / total)
    losses = [
        level * (y - q) if y >= q else (1 - level) * (q - y)
        for y, row in zip(target, quantiles, strict=True)
        for level, q in zip(LEVELS, row, strict=True)
    ]
    assert np.isclose(metrics.mean_pinball(target, quantiles), sum(losses) / len(losses))
    crossed = [any(a > b + 1e-9 for a, b in itertools.pairwise(row)) for row in quantiles]
    assert np.isclose(metrics.crossing(quantiles), sum(crossed) / count)
    for at, level in enumerate(LEVELS):
        covered = sum(1 for y, q in zip(target, quantiles[:, at], strict=True) if y <= q)
        assert np.isclose(metrics.coverage(target, quantiles)[level], covered / count)


@given(st.lists(st.tuples(st.sampled_from("ab"), UNITS, UNITS), min_size=1, max_size=20), st.floats(0.1, 100))
def test_rmsse_is_the_mean_of_the_series_errors_in_their_own_scale(rows: list[tuple[str, float, float]], scale: float) -> None:
    count = len(rows)
    x = np.zeros((count, len(MODEL_INPUTS)), dtype=np.float32)
    x[:, MODEL_INPUTS.index("share_of_day_left")] = 1.0
    store = np.array([row[0] for row in rows])
    target, mean = np.array([row[1] for row in rows]), np.array([row[2] for row in rows])
    numbers = np.zeros(count, dtype=np.int64)
    asked = Rows(store, np.full(count, "p"), numbers, numbers, numbers, x, target)
    scales = {("a", "p"): scale, ("b", "p"): 2 * scale}
    errors = []
    for name in sorted(set(store.tolist())):
        squares = [(y - f) ** 2 for s, y, f in rows if s == name]
        errors.append((sum(squares) / len(squares) / scales[name, "p"]) ** 0.5)
    assert np.isclose(metrics.rmsse(asked, mean, scales), sum(errors) / len(errors))


@given(st.data())
def test_corrected_quantiles_never_cross_and_are_never_negative(data: st.DataObject) -> None:
    count = data.draw(COUNTS)
    mean = data.draw(arrays(float, count, elements=UNITS))
    quantiles = data.draw(arrays(float, (count, len(LEVELS)), elements=ANY))
    offsets = data.draw(arrays(float, (len(GROUP_STARTS), len(LEVELS)), elements=st.floats(-50, 50, allow_nan=False)))
    groups = horizon_group(data.draw(arrays(np.int64, count, elements=st.integers(0, 13))))
    corrected = adjust(mean, quantiles, groups, offsets)
    assert metrics.crossing(corrected) == 0
    assert (corrected >= 0).all()


@given(st.integers(0, 2**32 - 1), st.floats(0.5, 40))
def test_conformal_offsets_cover_the_rows_they_were_learnt_on_and_rows_like_them(seed: int, level: float) -> None:
    random = np.random.default_rng(seed)
    target = random.gamma(2.0, level / 2, 4000)
    mean = np.full(4000, level)
    wrong = np.full((4000, len(LEVELS)), level * 3)  # far too high at every level
    learnt, new = slice(0, 2000), slice(2000, 4000)
    groups = np.zeros(4000, dtype=np.int64)
    offsets = conformal_offsets(target[learnt], mean[learnt], wrong[learnt], groups[learnt])
    corrected = adjust(mean, wrong, groups, offsets)
    for which, slack in ((learnt, 0.002), (new, 0.06)):
        for at, share in metrics.coverage(target[which], corrected[which]).items():
            assert abs(share - at) < slack + 1 / 1000
