"""What the demo claims of itself, as checks on its figures. Pure: figures in, broken claims out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Figures = Mapping[str, Any]


def broken_claims(figures: Figures) -> list[str]:
    """Every claim that the figures do not bear out, in words; empty when all hold."""
    return [
        *_accounting(figures["produced"], figures["lake"]),
        *_dead_letters(figures["produced"], figures["dead_letters"], figures["lake"]),
        *_parity(figures["parity"]),
        *_models(figures["models"]),
        *_reaction(figures["reaction"]),
        *_orders(figures["order"]),
        *_orchestration(figures["airflow"]),
        *_dashboards(figures["superset"]),
        *_services(figures["services"]),
    ]


def _accounting(produced: Figures, lake: Figures) -> list[str]:
    """Lines in = silver + quarantined + duplicates, topic by topic; a malformed message counts as one line."""
    broken = []
    for topic, sent in produced["lines"].items():
        kept, quarantined, repeated = (lake[part].get(topic, 0) for part in ("silver", "quarantined", "duplicates"))
        if sent != kept + quarantined + repeated:
            broken.append(f"{topic}: {sent} lines in, but {kept} silver + {quarantined} quarantined + {repeated} duplicates")
    for topic, sent in produced["messages"].items():
        if sent != lake["bronze"].get(topic, 0):
            broken.append(f"{topic}: {sent} messages produced, {lake['bronze'].get(topic, 0)} in bronze")
    if not lake["gold_rows"]:
        broken.append("gold has no rows")
    if not lake["served_forecasts"]:
        broken.append("no served forecast has reached the lake")
    return broken


def _dead_letters(produced: Figures, dead_letters: Mapping[str, int], lake: Figures) -> list[str]:
    """What the stream refused is what the lake refused, and what the producer knows to be malformed."""
    broken = []
    for topic in produced["messages"]:
        refused, quarantined = dead_letters.get(topic, 0), lake["quarantined"].get(topic, 0)
        if refused != quarantined:
            broken.append(f"{topic}: {refused} dead letters, but {quarantined} quarantined")
    if sum(dead_letters.values()) != produced["malformed"]:
        broken.append(f"{produced['malformed']} malformed events produced, {sum(dead_letters.values())} dead letters")
    return broken


def _parity(parity: Figures) -> list[str]:
    broken = [
        f"parity: {parity[what]} {what.removeprefix('feature_')}"
        for what in ("feature_mismatches", "missing", "extra")
        if parity[what]
    ]
    if not parity["features_compared"]:
        broken.append("parity compared nothing")
    return broken


def _models(models: Figures) -> list[str]:
    broken = []
    if not models["champion"]:
        return ["there is no champion"]
    champion, naive = models["wape"].get(models["champion"]["candidate"]), models["wape"].get("seasonal_naive")
    for candidate in ("seasonal_naive", "xgboost", "prophet"):
        if candidate not in models["wape"]:
            broken.append(f"{candidate} was not evaluated")
    if champion is None or naive is None or champion > naive:
        broken.append(f"the champion's WAPE {champion} does not beat seasonal naive's {naive}")
    return broken


def _reaction(reaction: Figures) -> list[str]:
    before, after = reaction["before_units"], reaction["after_units"]
    broken = [] if after > before else [f"the forecast did not rise after a burst of sales: {before} before, {after} after"]
    if reaction["fallback"] is not None:
        broken.append(f"the forecast was a fallback: {reaction['fallback']}")
    return broken


def _orders(order: Figures) -> list[str]:
    if order["order_units"] is None:
        return [f"no order could be proposed: {order['blocked']}"]
    whole = order["order_units"] >= 0 and order["order_units"] % order["pack_size"] == 0
    return [] if whole else ["the order is not in whole packs"]


def _orchestration(airflow: Figures) -> list[str]:
    return [] if airflow["state"] == "success" else [f"the Airflow run {airflow['run_id']} ended as {airflow['state']}"]


def _dashboards(superset: Figures) -> list[str]:
    empty = [chart for chart, rows in superset["charts"].items() if not rows]
    return [f"chart {chart!r} returns no rows" for chart in empty] or ([] if superset["charts"] else ["there are no charts"])


def _services(services: Mapping[str, Figures]) -> list[str]:
    return [f"service {name} is {service['state']}" for name, service in services.items() if service["state"] != "ready"]
