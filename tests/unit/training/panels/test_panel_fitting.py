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
