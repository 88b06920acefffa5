"""Online rows against what the lake recomputes: the comparison itself, without servers or Spark.

A row of a key is `missing` where the lake knows the key and the online store does not, `extra` where it is the other way round,
and otherwise compared feature by feature: integers, texts and doubles to the last digit, a null and a NaN as the same. A feature
differs in each missing and each extra row too: there is a value on one side only.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from contracts.clock import EpochMs
from contracts.features import AS_OF, FINGERPRINT, SOURCE_OFFSET, features_of

Key = tuple[str, ...]
Row = Mapping[str, Any]
EXAMPLES = 10  # of each feature of a view, of its missing and of its extra rows


@dataclass(frozen=True, slots=True)
class Sample:
    """A share of all keys, taken by a hash of key and salt: another salt takes other keys, the same one the same again."""

    share: float = 1.0
    salt: str = ""

    def has(self, key: Key) -> bool:
        """Whether a key is in the sample. With one salt a larger share has the keys of a smaller one too."""
        digest = hashlib.blake2b("\x1f".join((self.salt, *key)).encode(), digest_size=8).digest()
        return int.from_bytes(digest) < self.share * 2**64


@dataclass(frozen=True, slots=True)
class Example:
    """One finding, with the online row's instant and source offset. `feature` is empty where the row is missing or extra."""

    kind: str
    key: Key
    as_of_ms: int | None
    source_offset: int | None
    feature: str
    online: Any
    lake: Any


@dataclass(frozen=True, slots=True)
class Worst:
    """The feature of which the largest share of values differs: of all values on either side, from 0 to 1."""

    view: str
    feature: str
    share: float

    def __str__(self) -> str:
        return f"{self.view}.{self.feature} differs in {self.share:.4%} of its values"


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

    @property
    def rows(self) -> int:
        """Rows on either side: compared, missing and extra."""
        return self.compared + self.missing + self.extra

    @property
    def shares(self) -> dict[str, float]:
        """The share of each feature's values that differ, those of missing and extra rows among them; 0 where there are none."""
        differing = {name: self.mismatches.get(name, 0) + self.missing + self.extra for name in compared_columns(self.view)}
        return {name: values / self.rows if self.rows else 0.0 for name, values in differing.items()}

    def as_dict(self) -> dict[str, Any]:
        """The findings as JSON-ready values, with the ratios of each feature."""
        return {
            "view": self.view,
            "compared": self.compared,
            "missing": self.missing,
            "extra": self.extra,
            "missing_ratio": self.missing / self.rows if self.rows else 0.0,
            "extra_ratio": self.extra / self.rows if self.rows else 0.0,
            "mismatches": self.mismatches,
            "mismatch_ratios": {name: n / self.compared if self.compared else 0.0 for name, n in self.mismatches.items()},
            "differing_ratios": self.shares,
            "examples": [asdict(example) for example in self.examples],
        }


@dataclass(frozen=True, slots=True)
class ParityReport:
    """One run: the keys looked at, the share of a feature's values that may differ, and the findings of each view."""

    run_id: str
    checked_at: EpochMs
    seconds: float
    sample: Sample
    threshold: float
    views: tuple[ViewParity, ...]

    @property
    def compared(self) -> int:
        """Rows compared in all views."""
        return sum(view.compared for view in self.views)

    @property
    def worst(self) -> Worst | None:
        """The feature that decides, the first of several; none where nothing differs."""
        found = [Worst(view.view, name, share) for view in self.views for name, share in view.shares.items() if share]
        return max(found, key=lambda one: one.share, default=None)

    @property
    def holds(self) -> bool:
        """Whether no feature differs in a larger share of its values than the threshold."""
        return self.worst is None or self.worst.share <= self.threshold

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON-ready values."""
        return {
            "run_id": self.run_id,
            "checked_at": self.checked_at,
            "seconds": self.seconds,
            "sample": self.sample.share,
            "salt": self.sample.salt,
            "threshold": self.threshold,
            "within_threshold": self.holds,
            "worst": asdict(self.worst) if self.worst else None,
            "compared": self.compared,
            "features_compared": sum(view.compared * len(view.mismatches) for view in self.views),
            "feature_mismatches": sum(sum(view.mismatches.values()) for view in self.views),
            "missing": sum(view.missing for view in self.views),
            "extra": sum(view.extra for view in self.views),
            "views": [view.as_dict() for view in self.views],
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
            if parity.missing <= EXAMPLES:
                parity.examples.append(Example("missing", key, None, None, "", None, "a row"))
    for key, row in sorted(online.items()):
        if key not in lake:
            parity.extra += 1
            if parity.extra <= EXAMPLES:
                parity.examples.append(Example("extra", key, row[AS_OF], row[SOURCE_OFFSET], "", "a row", None))
            continue
        parity.compared += 1
        for name in parity.mismatches:
            if not same(row[name], lake[key][name]):
                parity.mismatches[name] += 1
                if parity.mismatches[name] <= EXAMPLES:
                    values = (row[name], lake[key][name])
                    parity.examples.append(Example("mismatch", key, row[AS_OF], row[SOURCE_OFFSET], name, *values))
    return parity


def same(online: Any, lake: Any) -> bool:
    """Whether two values are equal: in value and type, lists element by element; null and NaN are both "not known"."""
    if isinstance(online, Sequence) and isinstance(lake, Sequence) and not isinstance(online, str) and not isinstance(lake, str):
        return len(online) == len(lake) and all(same(a, b) for a, b in zip(online, lake, strict=True))
    if _unknown(online) or _unknown(lake):
        return _unknown(online) and _unknown(lake)
    return type(online) is type(lake) and bool(online == lake)


def _unknown(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))
