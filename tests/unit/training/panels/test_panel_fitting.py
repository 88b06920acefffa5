"""What trees are given to learn from."""

from __future__ import annotations

import numpy as np
import pytest

from training.panels.block import Block
from training.panels.candidates.fitting import EDGE_ROWS, Recipe, fit_mean
from training.panels.sample import Sample


@pytest.mark.parametrize("horizon", [3, 4, 8])
def test_every_lead_is_told_apart_however_many_rows_say_where_bins_end(horizon: int) -> None:
    lead = np.tile(np.arange(1, horizon + 1), 4 * EDGE_ROWS // horizon)
    scale = np.ones(len(lead))
    x = np.stack([lead, np.random.default_rng(3).random(len(lead))], axis=1).astype(np.float32)
    made = fit_mean(Sample(("lead", "noise"), x, lead.astype(float), scale), Recipe(rounds=30, eta=0.3, columns=1.0))
    asked = Block(("lead", "noise"), x[:horizon], scale[:horizon])
    assert made.mean(asked) == pytest.approx(np.arange(1, horizon + 1), rel=0.02)


def test_where_rows_are_few_the_trees_of_a_round_say_together_what_is_no_chance() -> None:
    random = np.random.default_rng(3)
    x = random.random((400, 6)).astype(np.float32)
    rows = Sample(tuple("abcdef"), x, random.poisson(1.0 + 4.0 * x[:, 0]).astype(float), np.ones(400))
    asked = Block(rows.names, random.random((200, 6)).astype(np.float32), np.ones(200))

    def apart(forest: int) -> float:
        """How far two seeds are from each other."""
        one, other = (fit_mean(rows, Recipe(rounds=30, forest=forest, seed=seed)).mean(asked) for seed in (1, 2))
        return float(np.abs(one - other).mean())

    assert apart(forest=4) < 0.7 * apart(forest=1)
