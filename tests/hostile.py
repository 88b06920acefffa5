"""Receipts as bad producers send them: good ones changed in small ways at random, and a list of known trouble."""

from __future__ import annotations

import random
import re

NOW_MS = 1_700_000_000_000
# What producers send that keep the contract: ours, one with spaces and fields of its own, one with another order of fields, and
# one whose lines of a product disagree on its category.
GOOD = (
    '{"event_id":"r-%d","event_time":%d,"store_id":"s-1","channel":"pos","lines":[{"product_id":"p-1","quantity":2,"unit_price":150,'
    '"list_price":200,"promotion_id":"x","category_id":null},{"product_id":"1","quantity":-1,"unit_price":99,"sale_id":"r-0"}],"schema_version":2}',
    '{ "event_id" : "r-%d", "event_time":%d, "store_id":"s-1","channel":"online","lines":[{"product_id":"p-1","quantity":2,'
    '"unit_price":150}], "till_id": 4, "tags":["a",{"b":1}] }',
    '{"lines":[{"unit_price":0,"quantity":2,"product_id":"é"}],"event_id":"r-%d","event_time":%d,"store_id":"s-1",'
    '"channel":"online","note":null}',
    '{"event_id":"r-%d","event_time":%d,"store_id":"s-1","channel":"pos","lines":[{"product_id":"a","quantity":2,"unit_price":5,'
    '"category_id":"c-1"},{"product_id":"b","quantity":1,"unit_price":9,"category_id":"c-9"},{"product_id":"a","quantity":-1,'
    '"unit_price":5,"category_id":"c-2"},{"product_id":"a","quantity":1,"unit_price":5}]}',
)
_PIECES = (
    *('"', "{", "}", "[", "]", ",", ":", "null", "true", "NaN", "Infinity", "1", "1.0", "1e3", "-1", "0", "01", "+1", "'a'"),
    *("/*c*/", "\\u0041", "\\", " ", "\n", "\t", "\x00", "\x7f", "\xa0", "\u2028", "\ufeff", "é", "}{", "}}", "] }", '},"x":{'),
    *(
        '"event_id":"q"',
        '"event_id":null',
        '"event_id":5',
        '"event_id":"r-3"',
        '"event_time":"1700000000000"',
        '"store_id":"s-2"',
    ),
    *('"store_id":""', '"channel":"x"', '"lines":[]', '"lines":null', '"lines":[null]', '"schema_version":null'),
    *('"schema_version":0', '"product_id":5', '"product_id":""', f'"product_id":"{"p" * 129}"', '"quantity":0', '"quantity":"3"'),
    *('"unit_price":null', '"unit_price":-5', '"unit_price":99999999999999999999', '"list_price":"3"', '"list_price":-1'),
    *(
        '"list_price":null',
        '"promotion_id":""',
        '"promotion_id":{"a":1}',
        '"category_id":null',
        '"sale_id":5',
        '"sale_id":""',
        ',"end":1}',
        '"end":1',
    ),
    *('"malformed":"x"', '"a":' + "[" * 2000),
)
_TOKEN = re.compile(r'"[^"]*"|\d+|[{}\[\],:]')


def _of_lines(number: int, lines: int, price: int) -> bytes:
    """A receipt of lines of 10^9 units: the limit of what all are worth is 1000 cents a unit in all."""
    line = f'{{"product_id":"p-1","quantity":1000000000,"unit_price":{price}}}'
    head = f'"event_id":"r-{number}","event_time":{NOW_MS},"store_id":"s-1","channel":"pos"'
    return f'{{{head},"lines":[{",".join([line] * lines)}]}}'.encode()


KNOWN_TROUBLE: tuple[bytes | None, ...] = (
    None,
    b"",
    b" ",
    b"null",
    b"[]",
    b"\xff\xfe",
    b'"\\ud800"',
    b"x" * 1_000_001,
    b'{"x":' + b"[" * 200_000,
    (GOOD[0] % (1, NOW_MS)).encode() * 2,
    (GOOD[0] % (2, NOW_MS)).encode().replace(b"r-2", b"r\\u002d2"),  # an id that looks like another only once it is read
    (GOOD[0] % (3, NOW_MS)).encode().replace(b"r-3", "r-é".encode("latin-1")),
    (GOOD[0] % (4, NOW_MS + 4_000_000)).encode(),
    (GOOD[0] % (5, 10**19)).encode(),
    *(_of_lines(6 + number, lines, price) for number, (lines, price) in enumerate(((1, 1000), (10, 10**9), (3, 400), (2, 500)))),
)


def receipts(count: int, seed: int, first: int = 0) -> list[bytes | None]:
    """Values of messages: about one in three keeps the contract, a few repeat others, and the rest is broken in some way."""
    rng = random.Random(seed)
    found: list[bytes | None] = list(KNOWN_TROUBLE)
    while len(found) < count:
        number = first + (len(found) if rng.random() < 0.9 else rng.randrange(len(found)))
        text = rng.choice(GOOD) % (number, NOW_MS)
        for _ in range(rng.choice((0, 0, 1, 1, 2, 3))):
            text = _changed(text, rng)
        raw = bytearray(text.encode())
        if rng.random() < 0.05:
            raw[rng.randrange(len(raw))] = rng.randrange(256)
        found.append(bytes(raw))
    return found


def _changed(text: str, rng: random.Random) -> str:
    """A text with a token replaced, something put behind a token or at the end, or some characters gone."""
    spans = [match.span() for match in _TOKEN.finditer(text)] or [(0, 0)]
    start, end = rng.choice(spans)
    piece = rng.choice(_PIECES)
    match rng.randrange(5):
        case 0:
            return text[:start] + piece + text[end:]
        case 1:
            return text[:end] + piece + text[end:]
        case 2:
            opened = rng.choice([span for span in spans if text[span[0] : span[1]] in ("{", ",")] or [(0, 0)])[1]
            return text[:opened] + piece + "," + text[opened:]
        case 3:
            return text + piece
        case _:
            at = rng.randrange(len(text) + 1)
            return text[:at] + text[at + rng.randrange(3) :]
