"""What is concluded of a worker's memory, and which numbers of keys may be asked for."""

from __future__ import annotations

import pytest

from contracts.errors import UsageError
from infra.cli.bench import _numbers
from tests.bench.keys import SHOWN, concluded, flatness


def test_growth_compares_the_last_quarter_with_the_second() -> None:
    samples = [{"receipts_done": n, "resident_mb": 100.0 + (50.0 if n >= 75 else 0.0)} for n in range(101)]
    found = flatness(samples)
    assert (found["long_resident_mb_second_quarter"], found["long_resident_mb_last_quarter"]) == (100.0, 150.0)
    assert found["long_growth"] == 1.5


def test_memory_seen_once_has_not_grown() -> None:
    assert flatness([{"receipts_done": 7, "resident_mb": 300.0}])["long_growth"] == 1.0


def test_numbers_of_keys_are_read_from_text() -> None:
    assert _numbers("--keys", "1000,20000") == [1_000, 20_000]
    for text in ("few", "1000,", "999"):
        with pytest.raises(UsageError):
            _numbers("--keys", text)


def test_the_share_of_the_speed_that_is_left_is_that_of_rounds_not_of_medians() -> None:
    speeds = [(1_000, 100.0), (9_000, 40.0), (1_000, 50.0), (9_000, 30.0), (1_000, 90.0), (9_000, 45.0)]
    rest = dict.fromkeys(SHOWN, 7.0)
    found = [{**rest, "keys": keys, "keys_restored": keys - 1, "lines_per_second": speed} for keys, speed in speeds]

    figures = concluded(found)

    assert figures["largest_to_smallest"] == 0.5  # of .4, .6 and .5
    assert (figures["lines_per_second_1000_keys"], figures["lines_per_second_9000_keys"]) == (90.0, 40.0)
    assert figures["lines_per_second_1000_keys_spread"] == round(50 / 90, 3)
    assert figures["keys_missing"] == 1
