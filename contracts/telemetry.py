"""Metric and log names, so that a dashboard and the code that feeds it cannot drift apart."""

from __future__ import annotations

from typing import Literal

Counter = Literal[
    "rd360_stream_events_total",  # by topic
    "rd360_stream_dead_letters_total",  # by topic and reason
    "rd360_stream_late_total",  # by topic
    "rd360_stream_duplicates_total",  # by topic
    "rd360_stream_rebuilt_total",  # by topic and outcome: healed, moved_on, foreign
    "rd360_stream_rows_written_total",  # by view
    "rd360_stream_rows_refilled_total",  # by view
    "rd360_stream_waits_total",  # by server: tries in vain
    "rd360_forecasts_total",  # by outcome
    "rd360_http_requests_total",  # by route and status
]
Gauge = Literal[
    "rd360_stream_watermark_lag_seconds",  # by topic
    "rd360_stream_keys",  # by view
    "rd360_stream_online_store_unavailable_seconds",  # 0 while it is there
    "rd360_stream_kafka_unavailable_seconds",  # 0 while it is there
    "rd360_stream_partitions",
    "rd360_stream_restore_seconds",  # of the latest start or rebalance
    "rd360_model_info",  # by name and version, always 1
]
Histogram = Literal[
    "rd360_stream_flush_seconds",  # by view
    "rd360_stream_flush_rows",  # by view
    "rd360_http_seconds",  # by route
    "rd360_online_read_seconds",
]
