"""The public holidays of a country, and the country of a time zone."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from importlib.resources import files


def feasts(place: str, days: Sequence[dt.date]) -> dict[dt.date, str]:
    """Day -> name of those of the days that are public holidays of a country or one of its parts; none of no country."""
    if not place or not days:
        return {}
    from holidays import country_holidays  # half a second that only this needs

    country, _, part = place.partition("-")
    known = country_holidays(country, subdiv=part or None, years=range(days[0].year, days[-1].year + 1))
    return {day: known[day] for day in days if day in known}


def is_known(place: str) -> bool:
    """Whether there are holidays of the country or part, by its ISO 3166 code such as `US` or `GB-ENG`."""
    from holidays import list_supported_countries  # half a second that only this needs

    country, _, part = place.partition("-")
    parts = list_supported_countries(include_aliases=True).get(country)
    return parts is not None and (not part or part in parts)


def country_of(timezone: str) -> str:
    """ISO 3166 code of the country of a time zone such as `America/New_York`; empty for `UTC` and for what no table names."""
    table = (files("tzdata") / "zoneinfo" / "zone.tab").read_text(encoding="utf-8")
    rows = (line.split("\t") for line in table.splitlines() if not line.startswith("#"))
    return next((row[0] for row in rows if row[2] == timezone), "")
