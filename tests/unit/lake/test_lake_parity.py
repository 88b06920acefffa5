"""The comparison of online rows with the lake's, and when a run holds."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.errors import DataGateError
from contracts.features import CATALOGUE_FINGERPRINT, features_of
from contracts.settings import Settings
from contracts.topics import partition_of
from lake.jobs.parity import gate
from lake.parity import EXAMPLES, Key, ParityReport, Sample, ViewParity, Worst, compare, same
from lake.recompute import fences

NAN = float("nan")


def row(**features: Any) -> dict[str, Any]:
    empty = {feature.name: None for feature in features_of("stock")}
    return {"as_of_ms": 9, "source_offset": 4, "fingerprint": CATALOGUE_FINGERPRINT, **empty, **features}


def report(*views: ViewParity, threshold: float = 0.0) -> ParityReport:
    return ParityReport("run", 0, 0.0, Sample(), threshold, views)


@pytest.mark.parametrize(
    ("online", "lake", "equal"),
    [
        (1, 1, True),
        (1, 2, False),
        (2**53 + 1, 2**53, False),
        (1, 1.0, False),
        (0.1 + 0.2, 0.3, False),
        (0.3, 0.3, True),
        (None, None, True),
        (None, NAN, True),
        (NAN, NAN, True),
        (None, 0, False),
        (NAN, 0.0, False),
        (None, [], False),
        ([], [], True),
        ([1, 2], [1, 2], True),
        ([1, 2], [2, 1], False),
        ([1], [1, 1], False),
        ([0.5, NAN], [0.5, None], True),
        ("ab", "ab", True),
        ("ab", "ac", False),
        ("", None, False),
    ],
)
def test_values_are_equal_to_the_last_digit_or_not_at_all(online: Any, lake: Any, equal: bool) -> None:
    assert same(online, lake) is equal
    assert same(lake, online) is equal


def test_each_kind_of_difference_is_counted_and_shown() -> None:
    online: dict[Key, Any] = {("s", "equal"): row(on_hand=1), ("s", "wrong"): row(on_hand=2), ("s", "extra"): row()}
    lake: dict[Key, Any] = {("s", "equal"): row(on_hand=1), ("s", "wrong"): row(on_hand=3)}

    found = compare("stock", online, lake, {("s", "equal"), ("s", "missing")})

    assert (found.compared, found.missing, found.extra) == (2, 1, 1)
    assert found.mismatches == {"fingerprint": 0, "on_hand": 1, "counted_ms": 0, "hours_out_of_stock_28d": 0}
    assert {(example.kind, example.key[1], example.online, example.lake) for example in found.examples} == {
        ("missing", "missing", None, "a row"),
        ("extra", "extra", "a row", None),
        ("mismatch", "wrong", 2, 3),
    }
    assert not found.equal


def test_a_row_made_by_another_catalogue_is_a_mismatch() -> None:
    stale = row() | {"fingerprint": "0" * 16}

    assert compare("stock", {("s", "p"): stale}, {("s", "p"): row()}, ()).mismatches["fingerprint"] == 1


def test_all_differences_are_counted_and_the_first_are_shown() -> None:
    online: dict[Key, Any] = {("s", str(n)): row(on_hand=n) for n in range(100)}

    found = compare("stock", online, {key: row(on_hand=-1) for key in online}, ())

    assert found.mismatches["on_hand"] == 100
    assert len(found.examples) == EXAMPLES


def test_a_feature_that_is_wrong_everywhere_leaves_room_for_the_examples_of_another() -> None:
    online: dict[Key, Any] = {("s", f"{n:02}"): row(on_hand=n, counted_ms=0 if n == 99 else 1) for n in range(100)}

    found = compare("stock", online, {key: row(on_hand=-1, counted_ms=1) for key in online}, ())

    (other,) = [example for example in found.examples if example.feature == "counted_ms"]
    assert (other.key, other.as_of_ms, other.source_offset, other.online, other.lake) == (("s", "99"), 9, 4, 0, 1)


@pytest.mark.parametrize(
    "unequal",
    [ViewParity("stock", 5, missing=1), ViewParity("stock", 5, extra=1), ViewParity("stock", 5, mismatches={"on_hand": 1})],
)
def test_a_run_fails_on_any_difference(unequal: ViewParity) -> None:
    with pytest.raises(DataGateError, match="not what the lake recomputes"):
        gate(report(ViewParity("price_plan", 5), unequal))


@pytest.mark.parametrize(
    ("unequal", "share"),
    [
        (ViewParity("stock", 10, mismatches={"on_hand": 3, "counted_ms": 1}), 0.3),  # 0.2 on the mean of these two
        (ViewParity("stock", 7, missing=3), 0.3),
        (ViewParity("stock", 7, extra=3), 0.3),
        (ViewParity("stock", 8, missing=1, extra=1, mismatches={"on_hand": 1}), 0.3),
    ],
)
def test_a_run_holds_up_to_the_threshold_and_its_worst_feature_decides(unequal: ViewParity, share: float) -> None:
    views = (ViewParity("price_plan", 1_000_000, mismatches={"plan_price": 1}), unequal)

    gate(report(*views, threshold=share))

    with pytest.raises(DataGateError, match=r"stock\.\w+ differs in 30\.0000% of its values, the threshold is 29\.9900%"):
        gate(report(*views, threshold=0.2999))


def test_the_report_names_the_worst_feature_the_threshold_and_the_salt() -> None:
    view = ViewParity("stock", 4, mismatches={"on_hand": 1})
    found = ParityReport("run", 0, 0.0, Sample(0.5, "s"), 0.3, (ViewParity("price_plan", 9), view))

    assert found.worst == Worst("stock", "on_hand", 0.25)
    said = found.as_dict()
    assert (said["sample"], said["salt"], said["threshold"], said["within_threshold"]) == (0.5, "s", 0.3, True)
    assert said["worst"] == {"view": "stock", "feature": "on_hand", "share": 0.25}


def test_a_run_that_compared_nothing_fails() -> None:
    with pytest.raises(DataGateError, match="compared nothing"):
        gate(report(ViewParity("stock"), ViewParity("price_plan")))
    with pytest.raises(DataGateError, match="compared nothing of stock"):
        gate(report(ViewParity("stock"), ViewParity("price_plan", 1)), asked_for=["stock"])

    gate(report(ViewParity("stock"), ViewParity("price_plan", 1)))  # a chain may have no stock events


def test_a_row_must_hold_what_was_committed_before_it_was_read() -> None:
    settings = Settings()
    here = partition_of("s-1", settings.topic_partitions)
    online: dict[Key, Any] = {("s-1", "p-1"): row(), ("s-1", "p-2"): row() | {"source_offset": 99}}

    asked = fences("stock", online, {("inventory", here): 50, ("sales", here): 1000}, settings).to_pylist()

    assert [(one["product_id"], one["as_of_ms"], one["fence"]) for one in asked] == [("p-1", 9, 49), ("p-2", 9, 99)]


def test_price_plans_are_routed_by_their_product() -> None:
    settings = Settings()
    committed = {("prices", partition_of("p-1", settings.topic_partitions)): 8}

    assert fences("price_plan", {("*", "p-1"): row()}, committed, settings).column("fence").to_pylist() == [7]
