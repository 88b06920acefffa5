"""Online rows against what the lake recomputes: the comparison itself, without servers or Spark.

A row of a key is `missing` where the lake knows the key and the online store does not, `extra` where it is the other way round,
and otherwise compared feature by feature: integers, texts and doubles to the last digit, a null and a NaN as the same.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from contracts.features import AS_OF, FINGERPRINT, features_of

Key = tuple[str, ...]
Row = Mapping[str, Any]
EXAMPLES = 60  # of each view: more than one whole row that is wrong


@dataclass(frozen=True, slots=True)
class Example:
    """One finding. `feature` is empty where the whole row is missing or extra."""

    kind: str
    key: Key
    as_of_ms: int | None
    feature: str
    online: Any
    lake: Any


@dataclass(slots=True)
class ViewParity:
    """One view: keys compared, rows missing and extra, mismatches by feature, and the first findings."""

    view: str
    compared: int = 0
    missing: int = 0
    extra: int = 0
    mismatches: dict[str, int] = field(default_factory=dict)
    examples: list[Example] = field(default_factory=list)

    @property
    def equal(self) -> bool:
        """Whether nothing differs. True also where there was nothing to compare."""
        return not (self.missing or self.extra or any(self.mismatches.values()))

    def as_dict(self) -> dict[str, Any]:
        """The findings as JSON-ready values, with the ratios of each feature."""
        known = self.compared + self.missing + self.extra
        return {
            "view": self.view,
            "compared": self.compared,
            "missing": self.missing,
            "extra": self.extra,
            "missing_ratio": self.missing / known if known else 0.0,
            "extra_ratio": self.extra / known if known else 0.0,
            "mismatches": self.mismatches,
            "mismatch_ratios": {name: n / self.compared if self.compared else 0.0 for name, n in self.mismatches.items()},
            "examples": [asdict(example) for example in self.examples],
        }


def compared_columns(view: str) -> tuple[str, ...]:
    """What is compared of a row: every feature, and the catalogue by which it was made."""
    return (FINGERPRINT, *(feature.name for feature in features_of(view)))


def compare(view: str, online: Mapping[Key, Row], lake: Mapping[Key, Row], required: Collection[Key]) -> ViewParity:
    """The findings of one view. `lake` has the recomputed row of each online key that the lake knows; `required` keys must be
    online.
    """
    parity = ViewParity(view, mismatches=dict.fromkeys(compared_columns(view), 0))
    for key in sorted(required):
        if key not in online:
            parity.missing += 1
            _note(parity, Example("missing", key, None, "", None, "a row"))
    for key, row in sorted(online.items()):
        if key not in lake:
            parity.extra += 1
            _note(parity, Example("extra", key, row[AS_OF], "", "a row", None))
            continue
        parity.compared += 1
        for name in parity.mismatches:
            if not same(row[name], lake[key][name]):
                parity.mismatches[name] += 1
                _note(parity, Example("mismatch", key, row[AS_OF], name, row[name], lake[key][name]))
    return parity


def same(online: Any, lake: Any) -> bool:
    """Whether two values are equal: in value and type, lists element by element; null and NaN are both "not known"."""
    if isinstance(online, Sequence) and isinstance(lake, Sequence) and not isinstance(online, str) and not isinstance(lake, str):
        return len(online) == len(lake) and all(same(a, b) for a, b in zip(online, lake, strict=True))
    if _unknown(online) or _unknown(lake):
        return _unknown(online) and _unknown(lake)
    return type(online) is type(lake) and bool(online == lake)


def in_sample(key: Key, share: float) -> bool:
    """Whether a key belongs to a sample of this share: by its hash, so always the same keys, and more with a larger share."""
    return zlib.crc32("\x1f".join(key).encode()) < share * 2**32


def _unknown(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _note(parity: ViewParity, example: Example) -> None:
    if len(parity.examples) < EXAMPLES:
        parity.examples.append(example)
