"""Receipts of a data set in the layout of `lines.parquet`, at their own times.

Columns: event_id, event_time (timestamp, UTC), store_id, product_id, quantity, unit_price_cents, channel, and where there are any
list_price_cents, promotion_id, category_id and sale_id; sorted by event_time, event_id. Without a category_id of its own, a
line has the `category` of its product in `products.parquet`, where that is there and has one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from contracts.errors import InvalidEvent, UsageError
from contracts.events import Receipt, ReceiptLine, decode_receipt, encode

COLUMNS = ("event_id", "event_time", "store_id", "product_id", "quantity", "unit_price_cents", "channel")
OPTIONAL = ("list_price_cents", "promotion_id", "category_id", "sale_id")


class _Row(NamedTuple):
    """One line as the file has it, in the order of COLUMNS and OPTIONAL."""

    event_id: str
    event_time: int
    store_id: str
    product_id: str
    quantity: int
    unit_price: int
    channel: Literal["pos", "online"]
    list_price: int | None
    promotion_id: str | None
    category_id: str | None
    sale_id: str | None


@dataclass(slots=True)
class ReplayReport:
    """What became of the rows: rows = lines + rejected_lines; a receipt none of whose lines can be is not sent."""

    rows: int = 0
    receipts: int = 0
    lines: int = 0
    units: int = 0
    rejected_lines: dict[str, int] = field(default_factory=dict)  # by reason
    rejected_receipts: int = 0
    split_receipts: int = 0  # parts of an event_id at another time or store than its first: sent under a numbered id
    first_event_ms: int | None = None
    last_event_ms: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """The counts by name."""
        return asdict(self)

    def reject(self, reason: str) -> None:
        """Counts one line that cannot be on a receipt."""
        self.rejected_lines[reason] = self.rejected_lines.get(reason, 0) + 1


def replay(folder: Path, report: ReplayReport) -> Iterator[Receipt]:
    """The receipts of a data set in order; the report is filled as they are taken. Raises UsageError for another layout."""
    parts: dict[str, int] = {}
    categories = _categories(folder / "products.parquet")
    for rows in _grouped(folder / "lines.parquet"):
        report.rows += len(rows)
        lines = [line for row in rows if (line := _line(row, categories, report)) is not None]
        receipt = _receipt(rows[0], lines, parts, report)
        if receipt is not None:
            _count(receipt, report)
            yield receipt


def _grouped(path: Path) -> Iterator[list[_Row]]:
    """The rows of each receipt: those of one event_id, time and store that stand together."""
    group: list[_Row] = []
    for row in _rows(path):
        if group and (row.event_id, row.event_time, row.store_id) != (group[0].event_id, group[0].event_time, group[0].store_id):
            yield group
            group = []
        group.append(row)
    if group:
        yield group


def _rows(path: Path) -> Iterator[_Row]:
    file = _open(path)
    present = [name for name in (*COLUMNS, *OPTIONAL) if name in file.schema_arrow.names]
    for batch in file.iter_batches(batch_size=65_536, columns=present):
        columns = {name: batch.column(name) for name in present}
        columns["event_time"] = columns["event_time"].cast(pa.timestamp("ms", "UTC")).cast(pa.int64())
        lists = [columns[name].to_pylist() if name in columns else [None] * len(batch) for name in (*COLUMNS, *OPTIONAL)]
        for values in zip(*lists, strict=True):
            yield _Row(*values)


def _categories(path: Path) -> dict[str, str | None]:
    """The category of each product, where there is a file of products that says it."""
    if not path.exists():
        return {}
    table = _opened(path).read()
    if not {"product_id", "category"} <= set(table.column_names):
        return {}
    return dict(zip(table["product_id"].to_pylist(), table["category"].to_pylist(), strict=True))


def _open(path: Path) -> pq.ParquetFile:
    file = _opened(path)
    missing = [name for name in COLUMNS if name not in file.schema_arrow.names]
    if missing:
        raise UsageError(
            f"{path} lacks {', '.join(missing)}",
            doing="opening a data set",
            hint=f"Receipt lines have the columns {', '.join(COLUMNS)}.",
        )
    return file


def _opened(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise UsageError(f"{path} cannot be read", doing="opening a data set", why=str(error)) from error


def _line(row: _Row, categories: Mapping[str, str | None], report: ReplayReport) -> ReceiptLine | None:
    fields = {
        "product_id": row.product_id,
        "quantity": row.quantity,
        "unit_price": row.unit_price,
        "list_price": row.list_price,
        "promotion_id": row.promotion_id,
        "category_id": row.category_id or categories.get(row.product_id) or None,
        "sale_id": row.sale_id or None,
    }
    if row.quantity == 0:
        report.reject("quantity is 0")
        return None
    try:
        return msgspec.convert(fields, ReceiptLine)
    except msgspec.ValidationError as error:
        report.reject(str(error))
        return None


def _receipt(row: _Row, lines: list[ReceiptLine], parts: dict[str, int], report: ReplayReport) -> Receipt | None:
    """The receipt of some lines; None, counted, where there are none or its own fields break the contract."""
    if not lines:
        report.rejected_receipts += 1
        return None
    part = parts[row.event_id] = parts.get(row.event_id, 0) + 1
    report.split_receipts += part > 1
    event_id = row.event_id if part == 1 else f"{row.event_id}#{part}"
    receipt = Receipt(event_id, row.event_time, row.store_id, row.channel, tuple(lines))
    try:
        return decode_receipt(encode(receipt))
    except (InvalidEvent, msgspec.EncodeError) as error:
        report.rejected_receipts += 1
        for _ in lines:
            report.reject(f"receipt: {error}")
        return None


def _count(receipt: Receipt, report: ReplayReport) -> None:
    report.receipts += 1
    report.lines += len(receipt.lines)
    report.units += sum(line.quantity for line in receipt.lines)
    report.first_event_ms = receipt.event_time if report.first_event_ms is None else report.first_event_ms
    report.last_event_ms = receipt.event_time
