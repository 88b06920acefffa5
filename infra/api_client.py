"""A client of our own API, for commands."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import requests

from contracts.errors import ConfigurationError, DependencyUnavailable, UsageError
from contracts.settings import Settings

MOST_PRODUCTS = 200  # the API's own bound of one request
SECONDS = 30


class Api:
    """POSTs to the API with the token."""

    def __init__(self, settings: Settings) -> None:
        self._address = settings.api
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {settings.secret('api_token')}"

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The answer. Raises UsageError for a request that the API refuses, DependencyUnavailable when it cannot answer."""
        doing = f"asking {self._address}{path}"
        try:
            answer = self._session.post(self._address + path, json=body, timeout=SECONDS)
        except requests.RequestException as error:
            hint = "Run `./rd360 status`, then `./rd360 up --only api`."
            raise DependencyUnavailable("The API does not answer", doing=doing, why=str(error), hint=hint) from error
        if answer.ok:
            content: dict[str, Any] = answer.json()
            return content
        raise _refused(answer, doing)


def batches(products: Sequence[str]) -> Iterator[list[str]]:
    """The products in requests that the API takes."""
    for start in range(0, len(products), MOST_PRODUCTS):
        yield list(products[start : start + MOST_PRODUCTS])


def _refused(answer: requests.Response, doing: str) -> Exception:
    """The API's problem as one of our errors; what is no problem document is not our API."""
    if not answer.headers.get("content-type", "").startswith("application/problem+json"):
        return DependencyUnavailable("What answers is not this API", doing=doing, why=f"HTTP {answer.status_code}")
    problem = answer.json()
    kind = ConfigurationError if answer.status_code == 401 else UsageError if answer.status_code < 500 else DependencyUnavailable
    return kind(problem["title"], doing=doing, why=problem["detail"], hint=problem.get("hint", ""))
