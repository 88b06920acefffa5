"""The promotion gate: a pure function from measured scores to a decision with its reasons."""

from __future__ import annotations

import math
from dataclasses import dataclass

from training.metrics import Scores


@dataclass(frozen=True, slots=True)
class Rules:
    """What a challenger must hold. Factors multiply the rival's figure."""

    min_rows: int = 200  # fewer judged rows decide nothing
    wape_slack: float = 1.02  # orders come from quantiles: a champion is beaten on pinball, WAPE only must not suffer
    max_bias: float = 0.25  # a forecast that is off by a quarter in sum fills or empties the shelves whatever its WAPE


@dataclass(frozen=True, slots=True)
class Duel:
    """Challenger and champion on the same rows, none of which the champion was trained on."""

    champion: str
    challenger_scores: Scores
    champion_scores: Scores


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether the challenger becomes champion; `reasons` are why, or all that speaks against it."""

    promoted: bool
    reasons: tuple[str, ...]


def decide(challenger: str, scores: Scores, naive: Scores, duel: Duel | None, rules: Rules = Rules()) -> Decision:
    """Beats seasonal naive on WAPE and pinball, is not badly biased, and beats the champion where there is a usable one.

    `scores` and `naive` are on all judged rows; `duel` is None where no champion can be loaded on this feature catalogue.
    """
    checks = [*_sound(scores, rules), *_beats_naive(challenger, scores, naive), *_beats_champion(duel, rules)]
    against = tuple(text for held, text in checks if not held)
    return Decision(not against, against or tuple(text for _, text in checks))


def _sound(scores: Scores, rules: Rules) -> list[tuple[bool, str]]:
    return [
        (scores.rows >= rules.min_rows, f"{scores.rows:,} rows were judged; {rules.min_rows:,} are needed"),
        (
            math.isfinite(scores.bias) and abs(scores.bias) <= rules.max_bias,
            f"bias {scores.bias:+.1%}; at most ±{rules.max_bias:.0%} is allowed",
        ),
        (scores.crossing == 0, f"quantiles cross on {scores.crossing:.1%} of the rows; none may"),
    ]


def _beats_naive(challenger: str, scores: Scores, naive: Scores) -> list[tuple[bool, str]]:
    return [
        (scores.wape < naive.wape, f"WAPE of {challenger} {scores.wape:.4f} against {naive.wape:.4f} of seasonal naive"),
        (
            scores.pinball < naive.pinball,
            f"pinball loss of {challenger} {scores.pinball:.4f} against {naive.pinball:.4f} of seasonal naive",
        ),
    ]


def _beats_champion(duel: Duel | None, rules: Rules) -> list[tuple[bool, str]]:
    if duel is None:
        return [(True, "there is no usable champion to beat")]
    mine, theirs = duel.challenger_scores, duel.champion_scores
    if mine.rows < rules.min_rows:
        why = f"{duel.champion} was trained on all but {mine.rows:,} of the judged rows: too few to compare on"
        return [(False, f"{why} ({rules.min_rows:,} are needed)")]
    return [
        (mine.pinball < theirs.pinball, f"pinball loss {mine.pinball:.4f} against {theirs.pinball:.4f} of {duel.champion}"),
        (
            mine.wape <= theirs.wape * rules.wape_slack,
            f"WAPE {mine.wape:.4f} against {theirs.wape:.4f} of {duel.champion}, with {rules.wape_slack - 1:.0%} of slack",
        ),
    ]
