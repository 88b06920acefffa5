"""The simulated retailer's master data as files: products.parquet, one row per product, and stores.parquet, one row per store."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from contracts.windows import StoreCalendars
from streams.producers.retailer import Retailer


def write_master_data(retailer: Retailer, calendars: StoreCalendars, folder: Path) -> None:
    """Writes both files into a folder, which is made where it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(products_table(retailer), folder / "products.parquet")
    pq.write_table(stores_table(retailer, calendars), folder / "stores.parquet")


def products_table(retailer: Retailer) -> pa.Table:
    """One row per product: product_id, name, category, pack_size (units), shelf_life_days (null: does not spoil)."""
    rows = [
        {
            "product_id": product.product_id,
            "name": product.name,
            "category": product.category.name,
            "pack_size": product.pack_size,
            "shelf_life_days": product.shelf_life_days,
        }
        for product in retailer.products
    ]
    text, number = pa.string(), pa.int64()
    kinds = {"product_id": text, "name": text, "category": text, "pack_size": number, "shelf_life_days": number}
    return pa.Table.from_pylist(rows, schema=pa.schema(list(kinds.items())))


def stores_table(retailer: Retailer, calendars: StoreCalendars) -> pa.Table:
    """One row per store: store_id, region, time_zone (IANA), lead_time_days, review_period_days."""
    rows = [
        {
            "store_id": store.store_id,
            "region": store.region,
            "time_zone": calendars.zone(store.store_id),
            "lead_time_days": store.lead_time_days,
            "review_period_days": store.review_period_days,
        }
        for store in retailer.stores
    ]
    text, number = pa.string(), pa.int64()
    kinds = {"store_id": text, "region": text, "time_zone": text, "lead_time_days": number, "review_period_days": number}
    return pa.Table.from_pylist(rows, schema=pa.schema(list(kinds.items())))
