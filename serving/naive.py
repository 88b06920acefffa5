"""The answer without a model: the usual demand of the weekday, spread as baskets arrive by chance.

Mean of a day: `weekday_mean_4w` of its weekday, else `demand_mean_28d`, else `units_28d` / 28; for the rest of today the share of
the day that is left. Spread: baskets arrive as a Poisson process and hold `units_28d` / `receipts_28d` units each, so that goods
weighed in grams are not mistaken for thousands of independent pieces. No trend, no price, no promotion: it is what is left when
the model is not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any

from contracts.request_features import share_of_day_left, weekday
from contracts.windows import Calendar

NAME, VERSION = "naive", "1"
LEVELS = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975)
_EXACT_BELOW = 500  # baskets; above, the normal approximation is within half a basket


def usual_demand(day: int, rolling: Mapping[str, Any], daily: Mapping[str, Any]) -> float | None:
    """The mean demand of a whole local day in units, None where nothing is known of the product."""
    means = daily.get("weekday_mean_4w")
    units = rolling.get("units_28d")
    candidates = (means[weekday(day)] if means else None, daily.get("demand_mean_28d"), None if units is None else units / 28)
    return next((float(mean) for mean in candidates if mean is not None and math.isfinite(mean)), None)


def naive_days(
    as_of: int, days: Sequence[int], calendar: Calendar, rolling: Mapping[str, Any], daily: Mapping[str, Any]
) -> list[tuple[float, tuple[float, ...]]]:
    """(mean, quantiles at LEVELS) per local day in units; empty where nothing is known. Empty mappings stand for missing rows."""
    today = calendar.day(as_of)
    basket = units_per_basket(rolling)
    answers = []
    for day in days:
        mean = usual_demand(day, rolling, daily)
        if mean is None:
            return []
        mean = max(mean, 0.0) * (share_of_day_left(calendar, as_of) if day == today else 1.0)
        answers.append((mean, tuple(basket * poisson_quantile(mean / basket, level) for level in LEVELS)))
    return answers


def units_per_basket(rolling: Mapping[str, Any]) -> float:
    """Units that a basket with the product holds, by the last 28 days; 1 where none was sold."""
    receipts = rolling.get("receipts_28d")
    return max(rolling["units_28d"] / receipts, 1.0) if receipts else 1.0


def poisson_quantile(mean: float, level: float) -> float:
    """The smallest count whose probability not to be exceeded is at least `level`."""
    if mean >= _EXACT_BELOW:
        z = NormalDist().inv_cdf(level)
        return max(math.floor(mean + z * math.sqrt(mean) + (z * z - 1) / 6 + 0.5), 0)  # Cornish-Fisher, first term
    count, mass = 0, math.exp(-mean)
    below = mass
    while below < level:
        count += 1
        mass *= mean / count
        below += mass
    return float(count)
