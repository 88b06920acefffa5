"""A block of rows is sent as the same rows one by one are: the same keys, with the same fields, of the same bytes."""

from __future__ import annotations

import itertools
import math
import random
import socket
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from contracts.errors import DependencyUnavailable
from contracts.features import AS_OF, CATALOGUE_FINGERPRINT, FINGERPRINT, METADATA, DType, features_of
from contracts.settings import Settings
from featurestore.block_format import BlockFormat
from featurestore.feast_online import FeastOnlineStore
from featurestore.keys import key_columns, key_of
from featurestore.project import project_name
from featurestore.redis_format import RowFormat
from featurestore.row_block import NULL, BlockLayout, RowBlock
from featurestore.row_sender import CHUNKS_AHEAD
from featurestore.row_writer import CHUNK, RowWriter

POWERS = (7, 8, 14, 28, 31, 42, 49, 55, 56, 57, 62)  # where a varint, or the length before it, becomes longer
WHOLE = (0, 1, -1, 2**63 - 1, NULL + 1, *(sign * 2**power + more for power in POWERS for sign in (1, -1) for more in (-1, 0)))
REAL = (0.0, -0.0, 1.0, -1.5, 0.1 + 0.2, 5e-324, 1e-300, -1.7976931348623157e308, math.inf, -math.inf)
AS_OFS = (0, 1, 999, 1000, 127_000, 1_764_000_000_000, 1_764_000_000_123, -1, -1000, -1500, 2**62)
SOME_TIME = 1_764_000_000_000  # Feast reads no time beyond the year 9999
TEXT = ("", "s1", "Käse & 北京 \u0000", "\r\n$4\r\n", "x" * 20_000)
BLOCK_VIEWS = ("sales_rolling", "store_rolling", "category_rolling", "stock")  # whose columns are all numbers


def dtypes(view: str) -> dict[str, DType]:
    return {**METADATA, **{feature.name: feature.dtype for feature in features_of(view)}}


def a_layout(view: str, draw: random.Random) -> BlockLayout:
    """The order of the columns is the maker's choice."""
    whole = [name for name, dtype in dtypes(view).items() if dtype == "int64"]
    doubles = [name for name, dtype in dtypes(view).items() if dtype == "float64"]
    return BlockLayout(view, tuple(draw.sample(whole, len(whole))), tuple(draw.sample(doubles, len(doubles))))


def a_row(view: str, draw: random.Random) -> dict[str, Any]:
    choices: dict[str, Sequence[Any]] = {"int64": WHOLE, "float64": REAL}
    numbers = {
        name: None if draw.random() < 0.1 else draw.choice(choices[dtype])
        for name, dtype in dtypes(view).items()
        if dtype in choices
    }
    keys = {name: f"{draw.choice(TEXT)}{draw.randrange(1000)}" for name in key_columns(view)}
    return keys | numbers | {AS_OF: draw.choice(AS_OFS), FINGERPRINT: CATALOGUE_FINGERPRINT}


def block_of(layout: BlockLayout, rows: Sequence[dict[str, Any]]) -> RowBlock:
    whole = [[NULL if row[name] is None else row[name] for name in layout.whole] for row in rows]
    doubles = [[math.nan if row[name] is None else row[name] for name in layout.doubles] for row in rows]
    keys = [key_of(layout.view, row) for row in rows]
    return RowBlock(layout, keys, np.array(whole, np.int64), np.array(doubles, np.float64))


@pytest.mark.parametrize("view", BLOCK_VIEWS)
def test_a_block_is_sent_as_its_rows_are(view: str) -> None:
    draw, row_format = random.Random(view), RowFormat(view, b"project")
    layout, rows = a_layout(view, draw), [a_row(view, draw) for _ in range(400)]

    sent = BlockFormat(layout, b"project").commands(block_of(layout, rows))

    assert [fields(command) for command in commands(bytes(sent))] == [
        fields(command) for row in rows for command in commands(row_format.command(row))
    ]


def test_part_of_a_block_is_sent_as_those_rows() -> None:
    draw = random.Random(1)
    layout, rows = a_layout("sales_rolling", draw), [a_row("sales_rolling", draw) for _ in range(20)]
    block, block_format = block_of(layout, rows), BlockFormat(layout, b"project")

    assert bytes(block_format.commands(block[5:9])) == bytes(block_format.commands(block_of(layout, rows[5:9])))
    assert bytes(block_format.commands(block[::-3])) == bytes(block_format.commands(block_of(layout, rows[::-3])))
    assert bytes(block_format.commands(block[:0])) == b""


def test_a_row_without_a_time_is_refused() -> None:
    draw = random.Random(1)
    layout, row = a_layout("stock", draw), a_row("stock", draw) | {AS_OF: None}
    with pytest.raises(ValueError, match=AS_OF):
        BlockFormat(layout, b"project").commands(block_of(layout, [row]))


@pytest.mark.parametrize("keys", [[("s", "p"), ("s",)], [("s",), ("s",)], [("s", "p", "more"), ("s", "p", "more")]])
def test_a_key_that_is_not_of_the_views_parts_is_refused(keys: list[tuple[str, ...]]) -> None:
    draw = random.Random(1)
    layout = a_layout("stock", draw)
    made = block_of(layout, [a_row("stock", draw) for _ in keys])
    with pytest.raises(ValueError, match=r"argument|parts"):
        BlockFormat(layout, b"project").commands(RowBlock(layout, keys, made.whole, made.doubles))


@pytest.mark.stack
@pytest.mark.parametrize("view", BLOCK_VIEWS)
def test_feast_reads_back_what_was_written_as_a_block(view: str, settings: Settings) -> None:
    own, draw = settings.model_copy(update={"topic_prefix": f"{uuid.uuid4().hex}-"}), random.Random(view)
    count = (CHUNKS_AHEAD + 2) * CHUNK + 7  # the first replies are read before the last rows are sent
    drawn = [a_row(view, draw) | {AS_OF: SOME_TIME + number} for number in range(count)]
    rows = list({key_of(view, row): row for row in drawn}.values())
    writer, store = RowWriter.open(own), FeastOnlineStore.open(own)

    keys = [key_of(view, row) for row in rows]
    layout = a_layout(view, draw)
    others = [a_row(view, draw) | dict(zip(key_columns(view), key, strict=True)) | {AS_OF: SOME_TIME} for key in keys]

    writer.write(view, block_of(layout, others[::3]))
    assert store.read(view, keys[::3]) == others[::3]

    writer.write(view, block_of(layout, rows))  # over a third of them
    assert store.read(view, keys) == rows
    writer.close()
    store.close()


@pytest.mark.stack
def test_a_row_is_put_beside_those_of_other_views_and_the_last_one_of_a_key_wins(settings: Settings) -> None:
    own, draw = settings.model_copy(update={"topic_prefix": f"{uuid.uuid4().hex}-"}), random.Random(5)
    stock = [a_row("stock", draw) | {AS_OF: SOME_TIME} for _ in range(2)]
    key, alone = (key_of("stock", row) for row in stock)
    layout = a_layout("sales_rolling", draw)
    first, second, third, fourth = (
        a_row("sales_rolling", draw) | dict(zip(key_columns("stock"), of, strict=True)) | {AS_OF: SOME_TIME}
        for of in (key, key, alone, alone)
    )
    writer, store = RowWriter.open(own), FeastOnlineStore.open(own)

    writer.write("stock", block_of(a_layout("stock", draw), stock[:1]))
    writer.write("sales_rolling", block_of(layout, [first]))
    assert (store.read("stock", [key]), store.read("sales_rolling", [key])) == (stock[:1], [first])

    writer.write("sales_rolling", block_of(layout, [first, third, second, fourth]))
    assert store.read("stock", [key, alone]) == [stock[0], None]
    assert store.read("sales_rolling", [key, alone]) == [second, fourth]
    writer.close()
    store.close()


def test_parts_end_in_their_order_each_once_its_answers_have_come() -> None:
    """Ten parts of more than a chunk each."""
    draw = random.Random(3)
    layout, rows = a_layout("stock", draw), CHUNK + 3
    answered = 0

    def answer(words: list[bytes]) -> bytes:
        nonlocal answered
        answered += words[0] == b"HSET"
        return b":2\r\n"

    parts = [
        {"stock": block_of(layout, [a_row("stock", draw) | {"store_id": f"s{part}-{row}"} for row in range(rows)])}
        for part in range(10)
    ]
    with Server(answer) as server:
        writer = RowWriter(Settings(redis_address=server.address))
        ended = [answered for _ in writer.write_each(parts)]
        writer.close()

    assert all(after >= (number + 1) * rows for number, after in enumerate(ended))
    assert ended[0] < 10 * rows, "the first part ends before the last one is sent"
    sent = [fields(words) for words in server.heard if words[0] == b"HSET"]
    made = BlockFormat(layout, project_name(Settings()).encode())
    assert sent == [fields(words) for part in parts for words in commands(bytes(made.commands(part["stock"])))]


def test_an_error_for_one_row_of_many_is_raised_where_its_part_would_have_ended() -> None:
    draw = random.Random(3)
    layout = a_layout("stock", draw)
    parts = [
        {"stock": block_of(layout, [a_row("stock", draw) | {"store_id": f"s{part}-{row}"} for row in range(5)])}
        for part in range(3)
    ]
    answers = itertools.chain(itertools.repeat(b":2\r\n", 7), [b"-OOM no room\r\n"], itertools.repeat(b":0\r\n"))

    with Server(lambda words: next(answers) if words[0] == b"HSET" else b"+OK\r\n") as server:
        writer = RowWriter(Settings(redis_address=server.address))
        ended = writer.write_each(parts)
        next(ended)
        with pytest.raises(DependencyUnavailable) as refused:
            next(ended)
        writer.close()

    assert "no room" in str(refused.value.why)


class Server:
    """A server that takes commands of the Redis protocol and gives the answers that a test wants."""

    def __init__(self, answer: Callable[[list[bytes]], bytes]) -> None:
        self._answer, self._listening = answer, socket.create_server(("127.0.0.1", 0))
        self.address = "{}:{}".format(*self._listening.getsockname())
        self.heard: list[list[bytes]] = []
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(10)
        self._listening.close()

    def _serve(self) -> None:
        connection, _ = self._listening.accept()
        with connection, connection.makefile("rb") as words:
            while head := words.readline():
                command = []
                for _ in range(int(head[1:])):
                    command.append(words.read(int(words.readline()[1:])))
                    words.readline()
                self.heard.append(command)
                connection.sendall(self._answer(command))


def commands(sent: bytes) -> Iterator[list[bytes]]:
    """The words of one command after another, read as a server reads them."""
    at = 0
    while at < len(sent):
        end = sent.index(b"\r\n", at)
        assert sent[at : at + 1] == b"*"
        count, at, words = int(sent[at + 1 : end]), end + 2, []
        for _ in range(count):
            end = sent.index(b"\r\n", at)
            assert sent[at : at + 1] == b"$"
            word, at = end + 2, end + 2 + int(sent[at + 1 : end]) + 2
            words.append(sent[word : at - 2])
            assert sent[at - 2 : at] == b"\r\n"
        yield words


def fields(words: list[bytes]) -> tuple[bytes, bytes, dict[bytes, bytes]]:
    """The name, the key and the fields of an HSET, each field once."""
    named = dict(zip(words[2::2], words[3::2], strict=True))
    assert 2 + 2 * len(named) == len(words)
    return words[0], words[1], named
