"""The lake's tables and the database's marts: their names and what one row is. Column definitions live in `lake/schemas.py`.

Iceberg tables are named `lake.<layer>.<table>`, catalog in PostgreSQL database `lake_catalog`. Feature tables are named in
`contracts.features.VIEWS`.
"""

from __future__ import annotations

CATALOG = "lake"

BRONZE_EVENTS = "lake.bronze.events"  # one row per Kafka message of every topic, raw, append only
BRONZE_LOSSES = (
    "lake.bronze.losses"  # one row per range of offsets that Kafka dropped before bronze read it, and that was accepted
)
BRONZE_TOPICS = "lake.bronze.topics"  # one row per topic that bronze has read, with the id that Kafka gave it

SILVER_SALES = "lake.silver.sales"  # one row per receipt line, each receipt once
SILVER_INVENTORY = "lake.silver.inventory"  # one row per stock count or movement, each once
SILVER_PRICES = "lake.silver.prices"  # one row per announced price, each once
SILVER_FORECASTS = "lake.silver.forecasts"  # one row per served forecast × target day
SILVER_DUPLICATES = "lake.silver.duplicates"  # one row per message that repeats events, in whole or in part
SILVER_QUARANTINE = "lake.silver.quarantine"  # one row per message that breaks its contract, with reason and raw bytes

GOLD_DAILY = "lake.gold.daily"  # one row per store × product × store-local day on sale; a true zero is a row
GOLD_RETURNS = "lake.gold.returns"  # one row per return line × sale that it gives units back of, or the units that no sale fits
GOLD_CALENDAR = "lake.gold.calendar"  # one row per store × local day, to 400 days ahead: its weekday, month and holidays
GOLD_PRODUCT_HISTORY = "lake.gold.product_history"  # one row per version of a product's master data: from when until when
GOLD_STORE_HISTORY = "lake.gold.store_history"  # the same of a store's
GOLD_FORECASTS = "lake.gold.forecasts"  # one row per model version × store × product × as of × target day: the nightly scoring
GOLD_FORECAST_ACTUAL = "lake.gold.forecast_actual"  # one row per served or scored forecast × target day, with what came

POSTGRES_DATABASE = "rd360"
CREATE_LOCK = (
    361  # the advisory lock of all who make schemas and marts: CREATE … IF NOT EXISTS fails when two sessions do it at once
)
MART_SCHEMA = "marts"
MART_DAILY = "marts.daily_demand"  # gold.daily, for dashboards
MART_FORECASTS = "marts.forecast"  # the champion's latest forecasts with quantiles
MART_ACCURACY = "marts.forecast_accuracy"  # one row per candidate × origin: WAPE, bias, pinball
MART_FORECAST_ACTUAL = "marts.forecast_actual"  # judged forecasts by model version, horizon, day, store and category
MART_PUBLICATION = "marts.publication"  # one row per mart of the lake: the run that it is of, when that was, its rows
MART_PARITY = "monitoring.feature_parity"  # one row per parity run × view × feature
MART_PARITY_RUN = "monitoring.parity_run"  # one row per parity run: the sample's share and salt, the threshold, the worst feature
MART_PARITY_EXAMPLE = "monitoring.parity_example"  # one row per parity run × view × feature × key shown: served, recomputed
MART_JOBS = "monitoring.job_run"  # one row per job run: rows in, out, rejected, seconds
MART_QUALITY = "monitoring.quality"  # one row per check × quality rule: its state, faults by month, the first rows
