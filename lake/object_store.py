"""The S3 store without Spark: whether it answers, and how much lies under a table's folder."""

from __future__ import annotations

from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from contracts.errors import DependencyUnavailable
from contracts.settings import Settings

_AT_ONCE = Config(connect_timeout=2, read_timeout=3, retries={"total_max_attempts": 1})
_PATIENT = Config(connect_timeout=5, read_timeout=60)


def require_bucket(settings: Settings) -> None:
    """Raises DependencyUnavailable when the S3 store does not answer or has no such bucket for us."""
    try:
        _client(settings, _AT_ONCE).head_bucket(Bucket=settings.lake_bucket)
    except (BotoCoreError, ClientError) as error:
        raise DependencyUnavailable(
            f"The S3 store at {settings.s3} does not give bucket {settings.lake_bucket}",
            doing="opening the lake",
            why=str(error),
        ) from error


def bytes_under(settings: Settings, folder: str) -> int:
    """Bytes of all objects under `s3://bucket/folder`, whether a snapshot knows them or not. Raises DependencyUnavailable."""
    bucket, _, prefix = folder.split("://", 1)[1].partition("/")
    try:
        listed = _client(settings, _PATIENT).get_paginator("list_objects_v2")
        pages = listed.paginate(Bucket=bucket, Prefix=f"{prefix.rstrip('/')}/")
        return sum(found["Size"] for page in pages for found in page.get("Contents", ()))
    except (BotoCoreError, ClientError) as error:
        raise DependencyUnavailable(
            f"The S3 store at {settings.s3} does not list {folder}", doing="measuring a table", why=str(error)
        ) from error


def _client(settings: Settings, patience: Config) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=settings.s3,
        region_name=settings.s3_region,
        aws_access_key_id=settings.secret("s3_access_key"),
        aws_secret_access_key=settings.secret("s3_secret_key"),
        config=patience.merge(Config(s3={"addressing_style": "path"})),
    )
