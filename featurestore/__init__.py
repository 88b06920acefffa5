"""The feature store: Feast's objects generated from the catalogue, and the online and offline ports with Feast behind them."""

import prometheus_client  # noqa: F401  # before Feast, which would switch its counters to files that all later users share
