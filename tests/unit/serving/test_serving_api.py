"""The HTTP API on fakes of its ports: what it answers, refuses, records and says of itself."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from fastapi.testclient import TestClient

from contracts.errors import ConfigurationError, DependencyUnavailable, FingerprintMismatch, RetailDemandError
from contracts.events import decode_forecast, encode
from contracts.settings import Settings
from serving.forecast import Fallback
from serving.main import create_app
from serving.schemas import FALLBACKS, ForecastResponse, ReplenishmentResponse
from tests.fakes import FakeOnlineStore
from tests.serving_fakes import NOW, PRODUCT, STORE, FakeLog, FakeModels, champion, levels, row, selling
from tests.waiting import until

TOKEN = "a-token-of-the-test"
ASK = {"store_id": STORE, "product_ids": [PRODUCT], "horizon_days": 2}


class World:
    """The API, its ports, and a client with a token."""

    def __init__(self, read_timeout_ms: int = 1000) -> None:
        self.settings = Settings(api_token=TOKEN, online_read_timeout_ms=read_timeout_ms)
        self.online = FakeOnlineStore()
        self.models = FakeModels(champion("1"))
        self.log = FakeLog()
        self.app = create_app(self.settings, self.online, self.models, self.log, lambda: NOW, model_seconds=0.02)
        self.client = TestClient(self.app, headers={"Authorization": f"Bearer {TOKEN}"}, raise_server_exceptions=False)

    def put(self, view: str, *rows: dict[str, Any]) -> None:
        self.online.write(view, rows)

    def ask(self, path: str = "/v1/forecasts", **changes: Any) -> Any:
        return self.client.post(path, json={**ASK, **changes})

    def forecast(self, **changes: Any) -> dict[str, Any]:
        answer = self.ask(**changes)
        assert answer.status_code == 200, answer.text
        return answer.json()["forecasts"][0]

    def order(self, **changes: Any) -> dict[str, Any]:
        body = {"store_id": STORE, "product_ids": [PRODUCT], **changes}
        answer = self.client.post("/v1/replenishment", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()["orders"][0]

    def ready(self) -> dict[str, Any]:
        return self.client.get("/readyz").json()

    def trouble(self, name: str) -> str | None:
        return next(check["trouble"] for check in self.ready()["checks"] if check["name"] == name)


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    world.put("sales_rolling", selling())
    world.put("demand_daily", levels())
    world.put("stock", row("stock", (STORE, PRODUCT), on_hand=5, counted_ms=NOW))
    world.put("product", row("product", (PRODUCT,), pack_size=6))
    world.put("store", row("store", (STORE,), lead_time_days=1, review_period_days=1))
    with world.client:
        until(lambda: world.ready()["model_version"] == "1")
        yield world


def test_a_forecast_says_what_it_rests_on(world: World) -> None:
    answer = world.forecast()
    assert {k: answer[k] for k in ("product_id", "model_name", "model_version", "fallback", "unit", "units_sold_today")} == {
        "product_id": PRODUCT,
        "model_name": "demand",
        "model_version": "1",
        "fallback": None,
        "unit": "units",
        "units_sold_today": 4,
    }
    assert answer["as_of"] == "2026-06-18T13:00:00Z"
    assert answer["feature_age_seconds"] == 60
    assert [day["target_day"] for day in answer["days"]] == ["2026-06-18", "2026-06-19"]
    assert list(answer["days"][0]["quantiles"]) == ["0.05", "0.1", "0.25", "0.5", "0.75", "0.9", "0.95", "0.975"]


def test_a_forecast_moves_with_the_features(world: World) -> None:
    before = world.forecast()["days"][0]["mean"]
    world.put("sales_rolling", selling(units_1h=40))
    assert world.forecast()["days"][0]["mean"] == pytest.approx(before + 39)


def test_products_are_answered_in_the_order_asked_each_once(world: World) -> None:
    asked = ["p-9", PRODUCT, "p-9", "p-1"]
    answer = world.ask(product_ids=asked).json()["forecasts"]
    assert [forecast["product_id"] for forecast in answer] == ["p-9", PRODUCT, "p-1"]


def test_the_largest_request_is_answered(world: World) -> None:
    products = [f"p-{n:04}" for n in range(200)]
    world.put("sales_rolling", *(selling(product) for product in products))
    answer = world.ask(product_ids=products, horizon_days=14)
    assert answer.status_code == 200
    assert len(ForecastResponse.model_validate(answer.json()).forecasts) == 200


def test_an_answer_for_replayed_data_is_as_of_their_time(world: World) -> None:
    assert world.forecast(as_of="2026-06-18T15:00:00+01:00")["as_of"] == "2026-06-18T14:00:00Z"
    assert world.forecast(as_of="2026-06-01T12:00:00Z")["fallback"] == "later_features"


def test_every_forecast_is_recorded_as_it_was_answered(world: World) -> None:
    answer = world.forecast()
    [served] = world.log.forecasts
    assert decode_forecast(encode(served)) == served
    assert (served.store_id, served.product_id, served.model_version, served.event_time) == (STORE, PRODUCT, "1", NOW)
    assert [(str(d.target_day), d.mean, d.quantiles) for d in served.days] == [
        (d["target_day"], d["mean"], d["quantiles"]) for d in answer["days"]
    ]
    world.order()
    assert len(world.log.forecasts) == 2


def test_a_fallback_is_recorded_as_one(world: World) -> None:
    world.ask(product_ids=["never-sold"])
    [served] = world.log.forecasts
    assert decode_forecast(encode(served)).fallback == "no_features"
    assert served.feature_age_seconds is None


def test_what_cannot_be_recorded_is_not_answered(world: World) -> None:
    world.log.capacity = 0
    answer = world.ask()
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    assert answer.json()["title"] == "Dependency unavailable"


def test_an_order_explains_itself(world: World) -> None:
    order = world.order(service_level=0.9)
    assert (order["on_hand"], order["pack_size"], order["protection_days"], order["service_level"]) == (5, 6, 2, 0.9)
    assert order["order_units"] == 6 * order["order_packs"] > 0
    assert order["target_level"] <= order["on_hand"] + order["order_units"] < order["target_level"] + 6
    for number in (f"{order['target_level']:.1f}", "5 on hand", "of 6", "2 days"):
        assert number in order["explanation"]


def test_the_caller_knows_better(world: World) -> None:
    usual = world.order()
    assert world.order(overrides={PRODUCT: {"on_hand": 500}})["order_units"] == 0
    assert world.order(overrides={PRODUCT: {"on_order": usual["order_units"]}})["order_units"] == 0
    assert world.order(overrides={PRODUCT: {"minimum_packs": 50}})["order_units"] == 300
    assert world.order(lead_time_days=6)["protection_days"] == 7
    assert world.order(lead_time_days=6)["target_level"] > usual["target_level"]
    assert world.order(service_level=0.99)["target_level"] > usual["target_level"]


def test_without_a_stock_count_no_order_is_invented(world: World) -> None:
    world.put("stock", row("stock", (STORE, PRODUCT)))
    order = world.order()
    assert (order["order_units"], order["blocked"]) == (None, "stock_unknown")
    unknown = world.client.post("/v1/replenishment", json={"store_id": STORE, "product_ids": ["never-sold"]}).json()["orders"][0]
    assert (unknown["order_units"], unknown["blocked"], unknown["pack_size"]) == (None, "nothing_known", 1)


def test_master_data_that_is_missing_is_the_catalogues_default(world: World) -> None:
    world.online.rows["store"].clear()
    assert (world.order()["lead_time_days"], world.order()["review_period_days"]) == (2, 1)


@pytest.mark.parametrize(("view", "key"), [("product", (PRODUCT,)), ("store", (STORE,)), ("stock", (STORE, PRODUCT))])
def test_no_order_is_made_by_defaults_where_what_is_known_is_of_another_catalogue(
    world: World, view: str, key: tuple[str, ...]
) -> None:
    world.put(view, row(view, key, fingerprint="another"))
    answer = world.client.post("/v1/replenishment", json={"store_id": STORE, "product_ids": [PRODUCT]})
    assert (answer.status_code, answer.json()["title"]) == (503, "Feature fingerprint mismatch")
    assert "features materialize" in answer.json()["hint"]


@pytest.mark.parametrize("path", ["/v1/forecasts", "/v1/replenishment"])
@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}])
def test_nobody_asks_without_the_token(world: World, path: str, headers: dict[str, str]) -> None:
    answer = TestClient(world.app).post(path, json=ASK, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.headers["content-type"] == "application/problem+json"
    assert "api_token" in answer.json()["hint"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"horizon_days": 0}, "body.horizon_days"),
        ({"horizon_days": 15}, "body.horizon_days"),
        ({"product_ids": []}, "body.product_ids"),
        ({"product_ids": ["p"] * 201}, "body.product_ids"),
        ({"product_ids": [""]}, "body.product_ids.0"),
        ({"store_id": None}, "body.store_id"),
        ({"horizon": 3}, "body.horizon"),
        ({"as_of": "2026-06-18T14:00:00"}, "body.as_of"),
    ],
)
def test_a_request_that_breaks_the_schema_is_told_where(world: World, change: dict[str, Any], field: str) -> None:
    answer = world.ask(**change)
    assert answer.status_code == 422
    problem = answer.json()
    assert problem["status"] == 422
    assert problem["instance"] == "/v1/forecasts"
    assert field in [error["field"] for error in problem["errors"]]


def test_other_errors_are_problems_too(world: World) -> None:
    for answer, status in ((world.client.get("/nowhere"), 404), (world.client.get("/v1/forecasts"), 405)):
        assert (answer.status_code, answer.json()["status"]) == (status, status)
        assert answer.headers["content-type"] == "application/problem+json"
    assert world.client.post("/v1/forecasts", content=b"{").status_code == 422


def test_a_bug_is_a_problem_without_its_secrets(world: World) -> None:
    def burst(view: str, keys: Any) -> Any:
        raise RuntimeError("password=hunter2")

    world.online.read = burst  # type: ignore[method-assign]
    with structlog.testing.capture_logs() as lines:
        answer = world.ask()
    assert answer.status_code == 500
    assert [line["request_id"] for line in lines if line["event"] == "bug"] == [answer.headers["X-Request-Id"]]
    assert "hunter2" not in answer.text
    assert answer.json()["request_id"] == answer.headers["X-Request-Id"]


def test_an_online_store_that_is_down_is_said_not_papered_over(world: World) -> None:
    def down(view: str, keys: Any) -> Any:
        raise DependencyUnavailable("The online store does not answer", doing="reading")

    world.online.read = down  # type: ignore[method-assign]
    answer = world.ask()
    assert (answer.status_code, answer.json()["retryable"]) == (503, True)
    assert world.client.get("/readyz").status_code == 503
    assert world.ready()["status"] == "unavailable"
    assert world.client.get("/livez").status_code == 200


def test_an_online_store_that_hangs_does_not_hang_the_api() -> None:
    world = World(read_timeout_ms=20)
    release = threading.Event()

    def hang(view: str, keys: Any) -> Any:
        release.wait(120)  # longer than an answer may take, and then it would not be a 503
        return [None for _ in keys]

    world.online.read = hang  # type: ignore[method-assign]
    with world.client:
        assert world.client.get("/readyz").status_code == 503
        assert world.ask().status_code == 503
        release.set()


def test_a_promotion_is_served_without_a_restart(world: World) -> None:
    world.models.champion = champion("2")
    until(lambda: world.forecast()["model_version"] == "2")
    assert 'rd360_model_info{name="demand",version="2"} 1.0' in world.client.get("/metrics").text
    assert 'version="1"' not in world.client.get("/metrics").text


def test_a_model_of_another_catalogue_is_refused_and_the_old_one_goes_on(world: World) -> None:
    world.models.champion = champion("2", fingerprint="trained-on-other-inputs")
    until(lambda: world.trouble("model") is not None)
    assert "version 2 is refused" in (world.trouble("model") or "")
    assert world.ready()["status"] == "degraded"
    assert world.forecast()["model_version"] == "1"
    assert world.models.loads == 2  # it is not loaded over and over
    world.models.champion = champion("3")
    until(lambda: world.forecast()["model_version"] == "3" and world.trouble("model") is None)


@pytest.mark.parametrize("error", [FingerprintMismatch("other inputs"), ConfigurationError("no such file in it")])
def test_a_model_that_cannot_be_loaded_is_said_and_not_tried_over_and_over(world: World, error: RetailDemandError) -> None:
    world.models.champion, world.models.broken = champion("2"), error
    until(lambda: error.what in (world.trouble("model") or ""))
    world.models.down = True
    until(lambda: "MLflow" in (world.trouble("model") or ""))
    world.models.down = False
    until(lambda: error.what in (world.trouble("model") or ""))
    assert world.models.loads == 2
    assert world.forecast()["model_version"] == "1"


def test_a_registry_that_is_down_does_not_stop_the_answers(world: World) -> None:
    world.models.down = True
    until(lambda: world.trouble("model") is not None)
    assert world.client.get("/readyz").status_code == 200
    assert world.forecast()["model_version"] == "1"


def test_without_any_champion_it_is_ready_but_degraded() -> None:
    world = World()
    world.models.champion = None
    world.put("sales_rolling", selling())
    with world.client:
        until(lambda: "no champion" in (world.trouble("model") or ""))
        assert world.ready()["status"] == "degraded"
        assert world.forecast()["fallback"] == "no_model"


def test_ready_means_that_nothing_is_wrong(world: World) -> None:
    until(lambda: world.ready()["status"] == "ready")
    world.log.wrong = "Kafka is away"
    assert world.ready()["status"] == "degraded"


def test_requests_and_forecasts_are_counted(world: World) -> None:
    world.ask()
    world.ask(product_ids=["never-sold"])
    world.client.get("/nowhere")
    text = world.client.get("/metrics").text
    for line in (
        'rd360_forecasts_total{outcome="model"} 1.0',
        'rd360_forecasts_total{outcome="no_features"} 1.0',
        'rd360_http_requests_total{route="/v1/forecasts",status="200"} 2.0',
        'rd360_http_requests_total{route="unmatched",status="404"} 1.0',
        'rd360_http_seconds_count{route="/v1/forecasts"} 2.0',
        "rd360_online_read_seconds_count 2.0",
    ):
        assert line in text


def test_a_request_is_one_line_in_the_log(world: World) -> None:
    with structlog.testing.capture_logs() as lines:
        world.client.post("/v1/forecasts", json=ASK, headers={"X-Request-Id": "mine-1"})
        world.client.get("/livez")
    [line] = [line for line in lines if line["event"] == "request"]
    assert {k: line[k] for k in ("request_id", "method", "route", "status", "store_id", "products", "models", "fallbacks")} == {
        "request_id": "mine-1",
        "method": "POST",
        "route": "/v1/forecasts",
        "status": 200,
        "store_id": STORE,
        "products": 1,
        "models": ["demand/1"],
        "fallbacks": {},
    }


def test_the_documentation_has_an_example_and_a_description_of_every_field(world: World) -> None:
    schema = world.client.get("/openapi.json").json()
    assert world.client.get("/docs").status_code == 200
    for name in ("ForecastRequest", "Day", "ProductForecast", "ProductOrder", "ReplenishmentRequest"):
        for field, spec in schema["components"]["schemas"][name]["properties"].items():
            assert {"description", "examples"} & set(spec) or field == "target_day" or "default" in spec, f"{name}.{field}"
    assert "application/problem+json" in schema["paths"]["/v1/forecasts"]["post"]["responses"]["503"]["content"]
    assert all(f"`{reason}`" in FALLBACKS for reason in Fallback.__args__)  # type: ignore[attr-defined]


def test_an_order_keeps_the_documented_schema(world: World) -> None:
    answer = world.client.post("/v1/replenishment", json={"store_id": STORE, "product_ids": [PRODUCT]})
    assert ReplenishmentResponse.model_validate(answer.json()).time_zone == "Europe/London"
