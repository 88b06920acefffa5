"""SBA and TSB over all series at once say of each what statsforecast says of it alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from statsforecast.models import TSB, CrostonSBA

from training.panels.candidates.intermittent import SBA_SMOOTHING, TSB_SMOOTHING, sba, tsb
from training.panels.candidates.routing import gapless
from training.rows import Floats

RULES: list[tuple[Callable[[Floats], Floats], CrostonSBA | TSB]] = [
    (sba, CrostonSBA()),
    (tsb, TSB(alpha_d=TSB_SMOOTHING, alpha_p=TSB_SMOOTHING)),
]
UNITS = st.one_of(st.just(0.0), st.floats(0.01, 1e6), st.just(np.nan), st.floats(-50.0, -0.01))


def alone(model: CrostonSBA | TSB, history: Floats) -> float:
    """What the library says of one series, of which unknown periods are filled one by one."""
    known = np.flatnonzero(~np.isnan(history))
    filled: list[float] = []
    for period in range(known[0], len(history)):
        so_far = history[known[known <= period]]
        filled.append(history[period] if period in known else so_far.mean())
    return float(model.forecast(y=np.array(filled), h=1)["mean"][0])


@pytest.mark.parametrize(("rule", "model"), RULES, ids=["sba", "tsb"])
@given(units=arrays(np.float64, st.tuples(st.integers(1, 5), st.integers(4, 40)), elements=UNITS))
def test_each_series_has_what_the_library_says_of_it(
    rule: Callable[[Floats], Floats], model: CrostonSBA | TSB, units: Floats
) -> None:
    units[:, -1] = np.where((units > 0).any(axis=1), units[:, -1], 3.0)  # of series without a sale the library says nothing
    said = rule(gapless(units))
    assert said.tolist() == pytest.approx([alone(model, history) for history in units], rel=1e-9, abs=1e-9)


def test_by_hand() -> None:
    # sizes 2 and 4 after 2 and 3 periods: 2 + .1 × 2 over 2 + .1 × 1, less a twentieth
    history = np.array([[0.0, 2.0, 0.0, 0.0, 4.0]])
    assert sba(history)[0] == pytest.approx(0.95 * 2.2 / 2.1)
    # of selling: .2 in the second period, two without a sale, .2 more; times 2 + .2 × 2
    assert tsb(history)[0] == pytest.approx((0.2 * 0.8**3 + 0.2) * 2.4)
    assert SBA_SMOOTHING == 0.1


def test_series_that_never_sold_say_nothing_and_those_whose_sales_are_long_ago_fade_in_one_rule_alone() -> None:
    history = np.array([[0.0] * 40, [5.0] * 10 + [0.0] * 30])
    assert tsb(history).tolist() == pytest.approx([0.0, 5.0 * 0.8**30])
    assert sba(history).tolist() == pytest.approx([0.0, 0.95 * 5.0])
