"""Series that belong together, and their sums: what one series is too thin to say, its product, store or category may."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.panels.history import Prefix
from training.panels.panel import Panel
from training.rows import Floats, Ints


@dataclass(frozen=True, slots=True)
class Group:
    """One way to group: each series' group, and the prefix sums of the groups' demand."""

    name: str
    member: Ints
    demand: Prefix

    def spread(self, per_group: Floats) -> Floats:
        """A value per group as a value per series."""
        return per_group[self.member]


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
    known = ~np.isnan(values)
    count = int(member.max()) + 1
    total, number = np.zeros((count, values.shape[1])), np.zeros((count, values.shape[1]))
    np.add.at(total, member, np.where(known, values, 0.0))
    np.add.at(number, member, known)
    before = np.zeros((count, 1))
    return Prefix(
        np.concatenate([before, np.cumsum(total, axis=1)], axis=1), np.concatenate([before, np.cumsum(number, axis=1)], axis=1)
    )


def _tells(name: str, member: Ints) -> bool:
    distinct = int(member.max()) + 1
    return name == "all" or 1 < distinct < len(member)


def _dense(values: np.ndarray) -> Ints:
    _, member = np.unique(values, return_inverse=True)
    return member.astype(np.int64)
