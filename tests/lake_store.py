"""The S3 store of a lake under test: its objects, and the store without one of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3

from contracts.settings import Settings


def store(settings: Settings) -> Any:
    """The store, as boto3's resource."""
    return boto3.resource(
        "s3",
        endpoint_url=settings.s3,
        region_name=settings.s3_region,
        aws_access_key_id=settings.secret("s3_access_key"),
        aws_secret_access_key=settings.secret("s3_secret_key"),
    )


def place(address: str) -> tuple[str, str]:
    """Bucket and key of an `s3://…` address."""
    bucket, _, key = address.removeprefix("s3://").partition("/")
    return bucket, key


@contextmanager
def lost(settings: Settings, file: str) -> Iterator[None]:
    """The store has not this file (`s3://…`) while the block runs, as after a fault or with an older state of the catalog."""
    there = store(settings).Object(*place(file))
    content = there.get()["Body"].read()
    there.delete()
    try:
        yield
    finally:
        there.put(Body=content)
