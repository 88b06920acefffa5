"""Order-up-to: from the demand distribution of each day to the packs to order, with the numbers that explain it.

The target level is a quantile of the demand summed over the protection days. Quantiles do not add: the sum of independent days is
narrower than the sum of their quantiles, and days of one product are not independent, since a level that is misjudged today is
misjudged tomorrow. The level taken lies between the two.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from training.replenish.terms import DayDemand, Position, Terms

# 0: days independent, 1: all at the same quantile at once. A prudent guess until the policy simulation measures it.
DAY_DEPENDENCE = 0.25
WEEK = 7
_SAMPLES = 1024  # equally likely values that stand for one day
_CELLS = 2048  # of the grid that days are summed on
_NOTHING = 1e-9  # units: less than this over all days is no demand, and would not divide a grid
_EDGE = 1 / (2 * _SAMPLES)

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Order:
    """One order of one product and why. Units except `packs`; `capped_by` says what lowered the target or raised the order."""

    units: int
    packs: int
    target_level: float
    position: int
    protection_days: int
    demand_mean: float
    capped_by: Literal["shelf_life", "minimum_order"] | None


def order_up_to(forecast: Sequence[DayDemand], terms: Terms, position: Position) -> Order:
    """The order that lifts the position to the target level, in whole packs. `forecast[0]` is the rest of the running day.

    Where the forecast ends before the protection days do, its last week repeats.
    """
    days = stretch(forecast, terms.protection_days)
    wanted = demand_quantile(days, terms.service_level)
    target = min(wanted, _sells_before_it_spoils(forecast, terms))
    needed = target - position.units
    packs = max(math.ceil(needed / terms.pack_size - 1e-9), 0)  # a hair above a whole pack is rounding, not demand
    ordered = max(packs, terms.minimum_packs) if packs else 0
    return Order(
        units=ordered * terms.pack_size,
        packs=ordered,
        target_level=target,
        position=position.units,
        protection_days=terms.protection_days,
        demand_mean=sum(day.mean for day in days),
        capped_by="minimum_order" if ordered > packs else "shelf_life" if target < wanted else None,
    )


def stretch(forecast: Sequence[DayDemand], days: int) -> list[DayDemand]:
    """`days` days: the forecast cut, or lengthened by repeating its last whole week (its last day, where it is shorter)."""
    period = WEEK if len(forecast) > WEEK else 1  # day 0 is a part of a day and never repeated, unless it is all there is
    stretched = list(forecast[:days])
    while len(stretched) < days:
        stretched.append(stretched[-period])
    return stretched


def demand_quantile(days: Sequence[DayDemand], level: float, dependence: float = DAY_DEPENDENCE) -> float:
    """The quantile of the demand summed over `days`, in units: between the independent and the dependent one."""
    at = np.array([level])
    together = sum(float(quantile_function(day, at)[0]) for day in days)
    return dependence * together + (1 - dependence) * _independent_quantile(days, level)


def quantile_function(day: DayDemand, at: Floats) -> Floats:
    """The day's demand at each probability of `at`: linear between quantiles, not below 0, an exponential tail above."""
    levels, values = np.array(day.levels), np.array(day.quantiles)
    foot = max(values[0] - (values[1] - values[0]) / (levels[1] - levels[0]) * levels[0], 0.0)
    inside = np.interp(at, np.concatenate(([0.0], levels)), np.concatenate(([foot], values)))
    # An exponential tail through the last two quantiles: its mean excess is (q_n - q_m) / ln((1 - p_m) / (1 - p_n))
    excess = (values[-1] - values[-2]) / math.log((1 - levels[-2]) / (1 - levels[-1]))
    tail = values[-1] + excess * np.log((1 - levels[-1]) / (1 - np.clip(at, levels[-1], 1 - _EDGE)))
    return np.asarray(np.where(at > levels[-1], tail, inside), dtype=np.float64)


def _independent_quantile(days: Sequence[DayDemand], level: float) -> float:
    midpoints = (np.arange(_SAMPLES) + 0.5) / _SAMPLES
    samples = [quantile_function(day, midpoints) for day in days]
    most = float(sum(sample[-1] for sample in samples))
    if most < _NOTHING:
        return 0.0
    cell = most / (_CELLS - 1)
    spectrum = np.ones(_CELLS + 1, dtype=np.complex128)
    for sample in samples:  # the distribution of a sum is the convolution of the distributions
        mass = np.bincount(np.rint(sample / cell).astype(np.int64), minlength=2 * _CELLS) / _SAMPLES
        spectrum *= np.fft.rfft(mass)
    cumulative = np.cumsum(np.fft.irfft(spectrum, 2 * _CELLS))
    return float(np.searchsorted(cumulative, level - 1e-12)) * cell  # the transform's own noise is about 1e-15


def _sells_before_it_spoils(forecast: Sequence[DayDemand], terms: Terms) -> float:
    if terms.shelf_life_days is None:
        return math.inf
    return sum(day.mean for day in stretch(forecast, terms.lead_time_days + terms.shelf_life_days))
