"""The promotion gate as a table: what is measured, what is decided, what is said."""

from __future__ import annotations

from dataclasses import replace

import pytest

from training.gate import Duel, decide
from training.metrics import Scores

NAIVE = Scores(rows=5_000, wape=0.50, bias=0.0, pinball=1.0, rmsse=0.8, coverage={}, crossing=0.0)
GOOD = replace(NAIVE, wape=0.40, pinball=0.8)


def duel(mine: Scores, theirs: Scores) -> Duel:
    return Duel("champion version 3", mine, theirs)


@pytest.mark.parametrize(
    ("scores", "against", "reason"),
    [
        (GOOD, None, None),
        (replace(GOOD, wape=0.50), None, "WAPE of xgboost 0.5000 against 0.5000 of seasonal naive"),
        (replace(GOOD, pinball=1.1), None, "pinball loss of xgboost 1.1000 against 1.0000 of seasonal naive"),
        (replace(GOOD, wape=float("nan")), None, "WAPE of xgboost nan against 0.5000 of seasonal naive"),
        (replace(GOOD, rows=199), None, "199 rows were judged; 200 are needed"),
        (replace(GOOD, bias=0.26), None, "bias +26.0%; at most ±25% is allowed"),
        (replace(GOOD, bias=-0.26), None, "bias -26.0%; at most ±25% is allowed"),
        (replace(GOOD, bias=float("nan")), None, "bias +nan%; at most ±25% is allowed"),
        (replace(GOOD, crossing=0.01), None, "quantiles cross on 1.0% of the rows; none may"),
        (GOOD, duel(GOOD, replace(GOOD, pinball=0.9)), None),
        (GOOD, duel(GOOD, GOOD), "pinball loss 0.8000 against 0.8000 of champion version 3"),
        (GOOD, duel(replace(GOOD, pinball=0.7, wape=0.409), GOOD), "WAPE 0.4090 against 0.4000 of champion version 3"),
        (GOOD, duel(replace(GOOD, pinball=0.7, wape=0.407), GOOD), None),
        (GOOD, duel(replace(GOOD, rows=0), GOOD), "was trained on all but 0 of the judged rows: too few to compare on"),
    ],
)
def test_the_gate(scores: Scores, against: Duel | None, reason: str | None) -> None:
    decision = decide("xgboost", scores, NAIVE, against)
    assert decision.promoted == (reason is None)
    if reason is not None:
        assert len(decision.reasons) == 1, "only what speaks against it is said"
        assert reason in decision.reasons[0]


def test_the_seasonal_naive_never_beats_itself() -> None:
    assert not decide("seasonal_naive", NAIVE, NAIVE, None).promoted


def test_a_promotion_says_what_held() -> None:
    reasons = " / ".join(decide("xgboost", GOOD, NAIVE, None).reasons)
    assert "WAPE of xgboost 0.4000 against 0.5000" in reasons
    assert "no usable champion" in reasons


def test_all_that_speaks_against_a_challenger_is_said() -> None:
    bad = replace(GOOD, wape=0.6, bias=0.5, crossing=0.5)
    assert len(decide("xgboost", bad, NAIVE, None).reasons) == 3
