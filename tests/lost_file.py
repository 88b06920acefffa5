"""The S3 store without one file of the lake, as after a fault of the store or an older state of the catalog."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import boto3

from contracts.settings import Settings


@contextmanager
def lost(settings: Settings, file: str) -> Iterator[None]:
    """The store has not this file (`s3://…`) while the block runs."""
    bucket, _, key = file.removeprefix("s3://").partition("/")
    store = boto3.client(
        "s3",
        endpoint_url=settings.s3,
        region_name=settings.s3_region,
        aws_access_key_id=settings.secret("s3_access_key"),
        aws_secret_access_key=settings.secret("s3_secret_key"),
    )
    content = store.get_object(Bucket=bucket, Key=key)["Body"].read()
    store.delete_object(Bucket=bucket, Key=key)
    try:
        yield
    finally:
        store.put_object(Bucket=bucket, Key=key, Body=content)
