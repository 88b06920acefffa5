"""What must hold of the lake's rows, as data: the rules of the code, and those of a file that a user brings."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from string import Formatter
from typing import Any

from contracts import tables
from contracts.errors import ConfigurationError
from contracts.events import EARLIEST_EVENT_MS, LATEST_EVENT_MS, MAX_CENTS, MAX_QUANTITY
from contracts.settings import Settings
from lake import schemas

STOP, WARN = "stop", "warn"
_HINT = "docs/lake.md shows the shape of a rule."
QUERY_NAMES = {name.removeprefix("lake.").replace(".", "_"): name for name in schemas.BY_NAME}  # what queries call the tables
# Where a failed rule keeps rows back: from the table itself, or, of silver, from what gold makes of them
JUDGED_SOURCES = (tables.SILVER_SALES, tables.SILVER_INVENTORY)
_STOPPABLE = {table.name for table in schemas.PUBLISHED} | set(JUDGED_SOURCES)
# Of every other table, by the beginning of its name: why nothing is kept back, and where it can be
_ACCEPTED = "what the contract accepts is in silver, and nothing is taken out of it or kept from it"
_NEVER_STOPPED = (
    ("lake.bronze.", "bronze keeps every message as it came, whatever it says", "a rule about a gold table that is made of it"),
    (tables.SILVER_PRICES, _ACCEPTED, f"a rule about {tables.GOLD_DAILY}, which has the price of each day"),
    (tables.SILVER_FORECASTS, _ACCEPTED, f"a rule about {tables.GOLD_FORECAST_ACTUAL}, which has each forecast"),
    ("lake.silver.", "it holds what silver did not take, and is not published", "a rule about a gold table"),
    (tables.GOLD_FORECASTS, "the nightly scoring writes it, without Spark", f"a rule about {tables.GOLD_FORECAST_ACTUAL}"),
    ("lake.gold.", "it is a job's note of what it has seen", "a rule about the table that the job makes"),
)


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule about one table, with either `holds` or `faults`.

    `holds` is a SQL predicate that is true of every row; null is not true. `faults` is a SQL query whose rows are the faults:
    `{rows}` is the table, `{silver_sales}`, `{gold_daily}` and so on are others. A row belongs to the month by which its table is
    partitioned, where the query gives that column.
    """

    name: str
    table: str
    why: str
    holds: str = ""
    faults: str = ""
    severity: str = STOP

    @property
    def compares_with_silver(self) -> bool:
        """Whether it holds only of a gold that has seen all of silver."""
        return self.table.startswith("lake.gold.") and any(name.startswith("lake.silver.") for name in self.others)

    @property
    def others(self) -> list[str]:
        """The other tables of the lake that its query names."""
        return sorted(QUERY_NAMES[name] for name in _named(self.faults) if name in QUERY_NAMES)


BUILT_IN = (
    Rule(
        "sales_quantity",
        tables.SILVER_SALES,
        "a line sells or gives back something, within what a receipt can say",
        holds=f"quantity <> 0 AND abs(quantity) <= {MAX_QUANTITY}",
    ),
    Rule(
        "sales_price",
        tables.SILVER_SALES,
        "a price is cents from nothing to the contract's limit",
        holds=f"unit_price BETWEEN 0 AND {MAX_CENTS}",
    ),
    Rule(
        "sales_time",
        tables.SILVER_SALES,
        "an event's two times are one instant, of a clock that is not broken",
        holds=f"event_time_ms >= {EARLIEST_EVENT_MS} AND event_time_ms < {LATEST_EVENT_MS}"
        " AND event_time = timestamp_millis(event_time_ms)",
    ),
    Rule(
        "sales_near_local_day",
        tables.SILVER_SALES,
        "no zone's day is further than one from the day in UTC",
        holds="abs(datediff(local_day, to_date(event_time))) <= 1",
    ),
    Rule(
        "sales_local_day",
        tables.SILVER_SALES,
        "the local day is the one of the store's zone as it is set now; days of before a change of zone keep the old one",
        holds="local_day = to_date(from_utc_timestamp(event_time, zone))",
        severity=WARN,
    ),
    Rule(
        "daily_not_negative",
        tables.GOLD_DAILY,
        "sums, demand and the share of time in stock are not negative",
        holds="least(units, returned_units, sales_cents, refund_cents, receipts, promotion_units) >= 0"
        " AND demand >= 0 AND coalesce(in_stock, 0) BETWEEN 0 AND 1",
    ),
    Rule(
        "daily_sums_agree",
        tables.GOLD_DAILY,
        "there is no money without units, no more receipts or promoted units than units, and no less demand",
        holds="(units > 0 OR sales_cents = 0) AND (returned_units > 0 OR refund_cents = 0)"
        " AND receipts <= units AND promotion_units <= units AND demand >= units",
    ),
    Rule(
        "daily_once",
        tables.GOLD_DAILY,
        "a store × product × day is one row",
        faults="SELECT store_id, product_id, local_day, count(*) AS rows FROM {rows}"
        " GROUP BY store_id, product_id, local_day HAVING count(*) > 1",
    ),
    Rule(
        "daily_no_gap",
        tables.GOLD_DAILY,
        "a series has every day from its first to its last",
        faults="SELECT * FROM (SELECT store_id, product_id, local_day, lag(local_day) OVER"
        " (PARTITION BY store_id, product_id ORDER BY local_day) AS day_before FROM {rows})"
        " WHERE datediff(local_day, day_before) > 1",
    ),
    Rule(
        "daily_revenue",
        tables.GOLD_DAILY,
        "a store's day has the revenue after refunds that its receipt lines have, to the cent",
        faults="SELECT * FROM (SELECT store_id, local_day, sum(sales_cents - refund_cents) AS gold_cents FROM {rows}"
        " GROUP BY store_id, local_day) FULL OUTER JOIN"
        " (SELECT store_id, local_day, sum(quantity * unit_price) AS silver_cents FROM {silver_sales}"
        " GROUP BY store_id, local_day) USING (store_id, local_day)"
        " WHERE coalesce(gold_cents, 0) <> coalesce(silver_cents, 0)",
    ),
    Rule(
        "returns_agree",
        tables.GOLD_RETURNS,
        "a return has units and their money, and a sale before it exactly where it says so",
        holds="units > 0 AND refund_cents = units * unit_price AND coalesce(hours, 0) >= 0"
        " AND (link = 'unmatched') = (sale_event_id IS NULL)",
    ),
    Rule(
        "returns_complete",
        tables.GOLD_RETURNS,
        "a series gives back on a day the units that its day has as given back",
        faults="SELECT * FROM (SELECT store_id, product_id, local_day, sum(units) AS linked_units FROM {rows}"
        " GROUP BY store_id, product_id, local_day) FULL OUTER JOIN"
        " (SELECT store_id, product_id, local_day, returned_units FROM {gold_daily} WHERE returned_units <> 0)"
        " USING (store_id, product_id, local_day)"
        " WHERE coalesce(linked_units, 0) <> coalesce(returned_units, 0)",
    ),
)


def rules_of(settings: Settings) -> tuple[Rule, ...]:
    """The rules of the code and those of the user's file. Raises ConfigurationError naming what is wrong with the file."""
    path = settings.quality_rules
    return BUILT_IN if path is None else (*BUILT_IN, *read(path))


def read(path: Path) -> tuple[Rule, ...]:
    """The rules of a TOML file of `[[rule]]` tables. Raises ConfigurationError."""
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _refused(path, str(error)) from error
    entries = given.get("rule")
    if set(given) != {"rule"} or not isinstance(entries, list):
        raise _refused(path, "it has to consist of [[rule]] tables")
    rules = tuple(_rule(path, entry) for entry in entries)
    names = [rule.name for rule in (*BUILT_IN, *rules)]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise _refused(path, f"two rules are named {twice[0]}")
    return rules


def _rule(path: Path, entry: Any) -> Rule:
    known = {field.name for field in fields(Rule)}
    if not isinstance(entry, dict) or set(entry) - known or not all(isinstance(value, str) for value in entry.values()):
        raise _refused(path, f"a rule has texts named {', '.join(sorted(known))}, not {entry}")
    if missing := [name for name in ("name", "table", "why") if not entry.get(name)]:
        raise _refused(path, f"the rule {entry.get('name', entry)} has no {missing[0]}")
    rule = Rule(**entry)
    if bool(rule.holds) == bool(rule.faults):
        raise _refused(path, f"the rule {rule.name} needs one of holds and faults")
    if rule.severity not in (STOP, WARN):
        raise _refused(path, f"the severity of {rule.name} is {rule.severity}, neither {STOP} nor {WARN}")
    _require_askable(path, rule)
    return rule


def _require_askable(path: Path, rule: Rule) -> None:
    """Raises ConfigurationError for a rule that is well written and of which nothing would come."""
    if rule.table not in schemas.BY_NAME:
        raise _refused(path, f"the rule {rule.name} is about {rule.table}, which is no table of the lake")
    if rule.severity == STOP and rule.table not in _STOPPABLE:
        why, instead = next(reason for name, *reason in _NEVER_STOPPED if rule.table.startswith(name))
        hint = f'Give {rule.name} severity = "{WARN}", by which `./rd360 lake quality` tells of it, or write {instead}.'
        raise _refused(path, f"the rule {rule.name} cannot stop {rule.table}: {why}", hint)
    try:
        unknown = _named(rule.faults) - {"rows", *QUERY_NAMES}
    except ValueError as error:
        raise _refused(path, f"the query of {rule.name} has a brace too many or too few: {error}") from error
    if unknown:
        no_table = f"{{{min(unknown)}}}, which is no table of the lake; a brace itself is doubled"
        raise _refused(path, f"the query of {rule.name} names {no_table}")


def _named(query: str) -> set[str]:
    """The names in braces of a query, by Python's rule for format strings, which is Spark's too."""
    return {re.split(r"[.\[]", name)[0] for _, name, _, _ in Formatter().parse(query) if name is not None}


def _refused(path: Path, why: str, hint: str = _HINT) -> ConfigurationError:
    return ConfigurationError(f"{path} cannot be taken as quality rules", doing="reading the quality rules", why=why, hint=hint)
