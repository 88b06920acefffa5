"""What came after a forecast must not teach a model: nothing that makes features or training rows names its table."""

from __future__ import annotations

from contracts.features import VIEWS
from contracts.settings import CHECKOUT
from contracts.tables import GOLD_FORECAST_ACTUAL, MART_FORECAST_ACTUAL

WRITERS = {"contracts/tables.py", "lake/schemas.py", "lake/forecast_actual.py", "lake/jobs/actuals.py", "lake/marts.py"}
NAMES = ("FORECAST_ACTUAL", GOLD_FORECAST_ACTUAL, MART_FORECAST_ACTUAL)


def test_only_its_writer_and_the_marts_name_the_table_of_what_came() -> None:
    packages = ("contracts", "featurestore", "lake", "serving", "streams", "training")
    code = {
        path.relative_to(CHECKOUT).as_posix(): path.read_text() for name in packages for path in (CHECKOUT / name).rglob("*.py")
    }
    naming = {path for path, text in code.items() if any(name in text for name in NAMES)}

    assert naming == WRITERS | {"lake/quality.py"}  # which makes no rows: it says about which table to write a rule instead
    assert all(view.table != GOLD_FORECAST_ACTUAL for view in VIEWS.values())
