"""What a job of the lake tells who runs it in a terminal."""

from __future__ import annotations

from infra.cli.lake_told import told
from lake.report import JobReport


def test_a_report_is_its_figures() -> None:
    assert list(told(JobReport("gold", 0, 12.34, 20, 9, detail={"warnings": []}))) == ["gold: 20 rows in, 9 out, 12.3 s"]


def test_what_was_refused_is_told_by_its_reason() -> None:
    detail = {"quarantined_by_reason": {"sales:contract": 2, "prices:not_json": 1}}

    assert list(told(JobReport("silver", 0, 1.0, 9, 6, 3, detail))) == [
        "silver: 9 rows in, 6 out, 3 rejected, 1.0 s",
        "  quarantined sales:contract: 2",
        "  quarantined prices:not_json: 1",
    ]


def test_what_kafka_has_dropped_is_told_with_its_offsets() -> None:
    place = {"topic": "sales", "partition": 0}
    detail = {"lost": [{**place, "first": 5, "last": 7}], "dropped_before_we_met": [{**place, "first": 0, "last": 4}]}

    assert list(told(JobReport("bronze", 0, 1.0, 2, 2, detail=detail)))[1:] == [
        "  sales/0: offsets 5 to 7 are lost, as accepted",
        "  sales/0: offsets 0 to 4 were gone before bronze met the topic",
    ]


def test_rules_that_only_warn_are_told() -> None:
    assert list(told(JobReport("gold", 0, 1.0, 2, 2, detail={"warnings": ["dear (2024-03: 1)"]})))[1:] == [
        "  warning: dear (2024-03: 1)"
    ]


def test_a_dry_run_says_that_nothing_is_written() -> None:
    assert "a dry run" in next(told(JobReport("gold", 0, 1.0, 2, 2, detail={"dry_run": True})))
