"""Superset's REST API, as far as this project asks it: import the dashboards, and ask each chart for its rows."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import requests

from contracts.errors import DependencyUnavailable, NotFoundError
from contracts.settings import Settings
from infra.superset import bundle
from infra.superset.reader import reader_password

USER = "admin"
REQUEST_SECONDS = 120  # the first request after a start loads most of Superset


@dataclass(frozen=True, slots=True)
class Dashboard:
    """One dashboard."""

    slug: str
    title: str
    url: str
    charts: int


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart of a dashboard and the rows that its query returned now; `error` when the query failed."""

    dashboard: str
    name: str
    rows: int
    error: str | None


class Superset:
    """A client that has logged in. Raises DependencyUnavailable when Superset does not answer or refuses the password."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._address = settings.superset
        self._session = requests.Session()
        login = {"username": USER, "password": settings.secret("superset_password"), "provider": "db", "refresh": False}
        answer = self._call("POST", "/api/v1/security/login", "logging in to Superset", json=login)
        self._session.headers["Authorization"] = f"Bearer {answer['access_token']}"
        token = self._call("GET", "/api/v1/security/csrf_token/", "logging in to Superset")["result"]
        self._session.headers.update({"X-CSRFToken": token, "Referer": self._address})

    def apply(self) -> None:
        """Imports every file of `assets/`; what is there already is overwritten. Idempotent."""
        files = {"bundle": ("rd360.zip", bundle.build(self._settings.postgres), "application/zip")}
        passwords = {"passwords": json.dumps({bundle.DATABASE: reader_password(self._settings)})}
        self._call("POST", "/api/v1/assets/import/", "importing the dashboards", files=files, data=passwords)

    def dashboards(self) -> list[Dashboard]:
        """Every dashboard with a slug, which all of ours have, by title."""
        found = self._call("GET", "/api/v1/dashboard/?q=(page_size:100)", "listing the dashboards")["result"]
        ours = [(d["slug"], d["dashboard_title"]) for d in found if d["slug"]]
        return [
            Dashboard(slug, title, self._url(slug), len(self._charts(slug))) for slug, title in sorted(ours, key=lambda o: o[1])
        ]

    def check(self, slug: str) -> list[Chart]:
        """Each chart of a dashboard with the rows that it returns now, past every cache. Raises NotFoundError."""
        return [self._rows(slug, chart["id"], chart["slice_name"]) for chart in self._charts(slug)]

    def _charts(self, slug: str) -> list[dict[str, Any]]:
        charts: list[dict[str, Any]] = self._call("GET", f"/api/v1/dashboard/{slug}/charts", f"looking at dashboard {slug}")[
            "result"
        ]
        return charts

    def _rows(self, slug: str, chart_id: int, name: str) -> Chart:
        answer = self._request("GET", f"/api/v1/chart/{chart_id}/data/?force=true", f"asking chart {name!r} for its rows")
        if not answer.ok:
            return Chart(slug, name, 0, _message(answer))
        results = answer.json()["result"]
        error = next((str(result["error"]) for result in results if result.get("error")), None)
        return Chart(slug, name, sum(int(result["rowcount"] or 0) for result in results), error)

    def _url(self, slug: str) -> str:
        return f"{self._address}/superset/dashboard/{slug}/"

    def _call(self, method: str, path: str, doing: str, **options: Any) -> Any:
        answer = self._request(method, path, doing, **options)
        if answer.status_code == 404:
            raise NotFoundError(f"Superset has no {path}", doing=doing, hint="Run `./rd360 dashboards apply`.")
        if not answer.ok:
            raise self._unavailable(doing, f"HTTP {answer.status_code}: {_message(answer)}")
        return answer.json()

    def _request(self, method: str, path: str, doing: str, **options: Any) -> requests.Response:
        try:
            return self._session.request(method, self._address + path, timeout=REQUEST_SECONDS, **options)
        except requests.RequestException as error:
            raise self._unavailable(doing, str(error)) from error

    def _unavailable(self, doing: str, why: str) -> DependencyUnavailable:
        return DependencyUnavailable(
            f"Superset at {self._address} did not do what was asked",
            doing=doing,
            why=why,
            hint="Run `./rd360 status`, then `./rd360 up --only superset`.",
        )


def _message(answer: requests.Response) -> str:
    try:
        content = answer.json()
    except requests.JSONDecodeError:
        return answer.text[:300]
    return str(content.get("message") or content.get("errors") or content)[:1000]
