"""Where reading Kafka goes on: bronze decides, and a checkpoint is believed only where it agrees."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lake.bronze import checkpoint_end, discard_stale_checkpoint, starting_offsets

SALES = {("sales", 0): 10, ("sales", 1): 5}


def checkpoint(folder: Path, planned: list[dict[str, dict[str, int]]], committed: int) -> Path:
    """A checkpoint as Spark writes it, with so many planned batches, the first `committed` of them committed."""
    for name in ("offsets", "commits"):
        (folder / name).mkdir(parents=True)
    for number, ends in enumerate(planned):
        (folder / "offsets" / str(number)).write_text(f"v1\n{json.dumps({'batchWatermarkMs': 0})}\n{json.dumps(ends)}")
        (folder / "offsets" / f".{number}.crc").write_bytes(b"")
    for number in range(committed):
        (folder / "commits" / str(number)).write_text('v1\n{"nextBatchWatermarkMs":0}')
    return folder


def test_reading_starts_where_bronze_ends_and_new_partitions_from_their_first_message() -> None:
    partitions = [("sales", 0), ("sales", 1), ("prices", 0)]

    assert json.loads(starting_offsets(dict.fromkeys(partitions), {("sales", 0): 10})) == {
        "sales": {"0": 10, "1": -2},
        "prices": {"0": -2},
    }


def test_a_checkpoint_ends_where_its_last_batch_ended(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "c", [{"sales": {"0": 3, "1": 5}}, {"sales": {"0": 10, "1": 5}}], committed=2)

    assert checkpoint_end(path) == SALES


def test_a_checkpoint_that_ends_where_bronze_ends_is_kept(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "c", [{"sales": {"0": 3, "1": 0}}, {"sales": {"0": 10, "1": 5}}], committed=2)

    assert not discard_stale_checkpoint(path, SALES)
    assert path.exists()


@pytest.mark.parametrize("planned", [{"0": 10, "1": 5}, {"0": 99, "1": 99}])
def test_a_checkpoint_that_a_kill_left_inside_a_batch_is_removed(tmp_path: Path, planned: dict[str, int]) -> None:
    path = checkpoint(tmp_path / "c", [{"sales": {"0": 10, "1": 5}}, {"sales": planned}], committed=1)

    assert checkpoint_end(path) is None
    assert discard_stale_checkpoint(path, SALES)


@pytest.mark.parametrize("ends", [{"0": 3, "1": 5}, {"0": 20, "1": 5}])
def test_a_checkpoint_that_lags_or_leads_bronze_is_removed(tmp_path: Path, ends: dict[str, int]) -> None:
    path = checkpoint(tmp_path / "c", [{"sales": ends}], committed=1)

    assert discard_stale_checkpoint(path, SALES)
    assert not path.exists()


def test_a_checkpoint_of_a_lake_that_was_emptied_is_removed(tmp_path: Path) -> None:
    assert discard_stale_checkpoint(checkpoint(tmp_path / "c", [{"sales": {"0": 3}}], committed=1), {})


def test_partitions_without_messages_do_not_disagree(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "c", [{"sales": {"0": 10, "1": 5, "2": 0}}], committed=1)

    assert not discard_stale_checkpoint(path, SALES)


def test_without_a_checkpoint_there_is_nothing_to_remove(tmp_path: Path) -> None:
    assert not discard_stale_checkpoint(tmp_path / "none", SALES)
