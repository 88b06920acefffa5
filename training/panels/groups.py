"""Series that belong together, and their sums: what one series is too thin to say, its product, store or category may."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.panels.history import EVERY, Columns, Counts, Prefix, parts_of, ratio
from training.panels.panel import Panel
from training.rows import Floats, Ints, Matrix


@dataclass(frozen=True, slots=True)
class Group:
    """One way to group: each series' group, and the prefix sums of the groups' demand."""

    name: str
    member: Ints
    demand: Prefix

    def window(self, last: Columns, length: Columns, series: Ints | slice = EVERY) -> tuple[Floats, Floats]:
        """Sum and number of the known values of the series' groups, see `Prefix.window`."""
        member = self.member[series]
        if isinstance(last, int) and isinstance(length, int):  # the same for all: once a group, not once a series
            total, known = self.demand.window(last, length)
            return total[member], known[member]
        return self.demand.window(last, length, member)

    def mean(self, last: Columns, length: Columns, series: Ints | slice = EVERY) -> Floats:
        """Mean demand of a member of the series' groups; NaN where nothing is known."""
        return ratio(*self.window(last, length, series))


def groups_of(panel: Panel, demand: Floats) -> list[Group]:
    """Product, store, the product's categories, the store's format, category within store, and everything.

    Groupings that tell nothing (one series a group, or the same as one before) are left out.
    """
    keys: dict[str, Ints] = {"all": np.zeros(panel.series, dtype=np.int64)}
    keys["product"] = _dense(panel.products)
    keys["store"] = _dense(panel.stores)
    for name in ("product_category", "product_subcategory", "store_format", "store_region"):
        if name in panel.codes:
            keys[name] = _dense(panel.codes[name])
    finest = keys.get("product_subcategory", keys.get("product_category"))
    if finest is not None:
        keys["shelf"] = _dense(finest * (int(keys["store"].max()) + 1) + keys["store"])
    return [Group(name, member, sums(demand, member)) for name, member in keys.items() if _tells(name, member)]


def sums(values: Floats, member: Ints) -> Prefix:
    """Prefix sums of the groups: values and known members added over the series of a group."""
    total, known = added(values, member)
    width = values.shape[1] + 1
    sums, counts = np.zeros((len(total), width)), np.zeros((len(total), width), dtype=np.int32)
    np.cumsum(total, axis=1, out=sums[:, 1:])
    np.cumsum(known, axis=1, out=counts[:, 1:])
    return Prefix(sums, counts)


def added(values: Floats | Matrix, member: Ints) -> tuple[Floats, Counts]:
    """[group, column]: sum and number of the known values of a group's series."""
    order = np.argsort(member, kind="stable")
    total = np.zeros((int(member.max()) + 1, values.shape[1]))
    number = np.zeros(total.shape, dtype=np.int32)
    for part in parts_of(len(order)):
        rows = order[part]
        taken = values[rows]
        known = ~np.isnan(taken)
        groups, starts = np.unique(member[rows], return_index=True)  # they come in order: each is one run of rows
        total[groups] += np.add.reduceat(np.where(known, taken, 0.0), starts, axis=0)
        number[groups] += np.add.reduceat(known, starts, axis=0, dtype=np.int32)
    return total, number


def _tells(name: str, member: Ints) -> bool:
    distinct = int(member.max()) + 1
    return name == "all" or 1 < distinct < len(member)


def _dense(values: np.ndarray) -> Ints:
    _, member = np.unique(values, return_inverse=True)
    return member.astype(np.int64)
