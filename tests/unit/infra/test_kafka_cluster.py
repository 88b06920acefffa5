"""What a new Kafka of the local stack is given."""

from __future__ import annotations

import uuid

import pytest

from infra.stack.kafka import cluster_id


@pytest.mark.parametrize("first_byte", [0x00, 0xF8, 0xFB, 0xFC, 0xFF])
def test_no_cluster_is_named_so_that_kafkas_tools_take_its_name_for_an_option(first_byte: int) -> None:
    name = cluster_id(uuid.UUID(bytes=bytes([first_byte]) + bytes(range(15))))
    assert len(name) == 22
    assert not name.startswith("-")
