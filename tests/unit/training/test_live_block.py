"""The live model's rows as the engine's blocks: free of units, by a level that no sale of the day moves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from contracts.vector import MODEL_INPUTS
from training.frame import Frame
from training.live_block import DIVIDED, LOG_LEVEL, NAMES, SPREAD_NAMES, block_of, known_level
from training.models.xgboost import MEAN_RECIPE, SPREAD_RECIPE, XGBoostQuantiles, monotone, typical_level
from training.rows import History, Matrix, Rows
from training.split import history_at

AMOUNTS = [at for at, name in enumerate(MODEL_INPUTS) if name in DIVIDED]


def row(**known: float) -> Matrix:
    """One row of the vector with nothing known but this."""
    return np.array([[known.get(name, np.nan) for name in MODEL_INPUTS]], dtype=np.float32)


@pytest.fixture(scope="module")
def history(frame: Frame) -> History:
    return history_at(frame.sampled, frame.daily, frame.plan.origins[-1])


@pytest.mark.parametrize(
    ("known", "level"),
    [
        ({"demand_mean_28d": 10.0}, 10.0),
        ({"demand_mean_28d": 10.0, "demand_mean_364d": 5.0}, 9.0),
        ({"demand_mean_28d": 0.0, "demand_mean_364d": 5.0}, 1.0),
        ({"demand_mean_7d": 3.0}, 3.0),
        ({"units_28d": 80.0}, np.nan),
    ],
)
def test_the_level_is_of_whole_days_the_recent_ones_before_the_long_ones(known: dict[str, float], level: float) -> None:
    np.testing.assert_allclose(known_level(row(**known)), [level])


def test_a_series_of_which_no_day_is_known_stands_at_the_typical_level_and_a_dead_one_above_nothing() -> None:
    assert block_of(row(units_today=6.0), typical=4.0).scale == [4.0]
    assert block_of(row(demand_mean_28d=0.0, demand_mean_364d=0.0), typical=4.0).scale == pytest.approx([0.04])


def test_amounts_are_multiples_of_the_level_and_the_rest_is_as_it_was() -> None:
    given = {"demand_mean_28d": 10.0, "units_today": 5.0, "receipts_7d": 20.0, "sales_24h": 900.0, "planned_price": 99.0}
    block = block_of(row(**given), typical=1.0)
    found = dict(zip(block.names, block.x[0].tolist(), strict=True))
    assert block.names == NAMES
    assert found[LOG_LEVEL] == pytest.approx(np.log(10.0))
    assert (found["units_today"], found["receipts_7d"], found["sales_24h"], found["planned_price"]) == (0.5, 2.0, 90.0, 99.0)


def test_no_sale_of_today_moves_what_a_row_is_divided_by_or_its_spread(history: History) -> None:
    rows = history.rows
    burst = rows.x.copy()
    for at, name in enumerate(MODEL_INPUTS):
        if monotone(name):
            burst[:, at] = 0 if monotone(name) < 0 else burst[:, at] + 50
    before, after = block_of(rows.x, 1.0), block_of(burst, 1.0)
    np.testing.assert_array_equal(before.scale, after.scale)
    np.testing.assert_array_equal(before.of(SPREAD_NAMES), after.of(SPREAD_NAMES))


def test_a_thousand_times_the_units_are_a_thousand_times_the_mean(history: History) -> None:
    trees = XGBoostQuantiles(replace(MEAN_RECIPE, rounds=30), replace(SPREAD_RECIPE, rounds=5))
    rows = history.rows
    larger = thousandfold(rows)
    assert typical_level(larger) == pytest.approx(1000 * typical_level(rows))
    np.testing.assert_allclose(
        trees.fit(replace(history, rows=larger)).predict(larger).mean,
        1000 * trees.fit(history).predict(rows).mean,
        rtol=0.01,  # floats of another size fall on other sides of a cut
    )


def thousandfold(rows: Rows) -> Rows:
    """The same sales in a unit of a thousandth."""
    x = rows.x.copy()
    x[:, AMOUNTS] *= 1000
    return replace(rows, x=x, target=rows.target * 1000)
