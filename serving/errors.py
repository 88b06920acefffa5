"""Errors as problem details (RFC 9457): one shape for ours, for validation, for unknown routes and for bugs."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from contracts.errors import RetailDemandError

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 2


class Unauthorized(RetailDemandError):
    """The request carries no valid token."""

    exit_code = 2
    http_status = 401
    title = "Unauthorized"
    default_hint = "Send `Authorization: Bearer TOKEN`; the token is `api_token` in secrets.json, or RD360_API_TOKEN."


class FieldProblem(BaseModel):
    """One field that does not keep the schema."""

    field: str = Field(description="where, as a path", examples=["body.product_ids.0"])
    message: str


class Problem(BaseModel):
    """Problem details (RFC 9457)."""

    type: str = Field("about:blank", description="always about:blank: the title says what the status means here")
    title: str
    status: int
    detail: str = Field(description="what failed, while doing what, and why")
    instance: str = Field(description="the path that was asked")
    hint: str = Field("", description="what to try")
    retryable: bool = Field(False, description="whether the same request may succeed later")
    errors: list[FieldProblem] = Field([], description="the fields that do not keep the schema")
    request_id: str = Field("", description="find it in the log")


PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "content": {MEDIA_TYPE: {}}, "description": text}
    for status, text in (
        (401, "No valid token"),
        (422, "The request does not keep the schema"),
        (503, "The online store or the forecast log cannot take the request now: try again after Retry-After"),
    )
}


def install(app: FastAPI) -> None:
    """Makes every error of the app a problem."""

    @app.exception_handler(RetailDemandError)
    async def ours(request: Request, error: RetailDemandError) -> JSONResponse:
        problem = _problem(request, error.http_status, error.title, str(error))
        return _response(problem.model_copy(update={"hint": error.hint, "retryable": error.retryable}))

    @app.exception_handler(RequestValidationError)
    async def validation(request: Request, error: RequestValidationError) -> JSONResponse:
        fields = [FieldProblem(field=".".join(map(str, e["loc"])), message=str(e["msg"])) for e in error.errors()]
        detail = "; ".join(f"{field.field}: {field.message}" for field in fields)
        problem = _problem(request, 422, "The request does not keep the schema", detail)
        return _response(problem.model_copy(update={"hint": "See /docs.", "errors": fields}))

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        response = _response(_problem(request, error.status_code, HTTPStatus(error.status_code).phrase, str(error.detail)))
        response.headers.update(error.headers or {})
        return response

    @app.exception_handler(Exception)
    async def bug(request: Request, error: Exception) -> JSONResponse:
        problem = _problem(request, 500, "Internal error", "This is a bug; the log has the trace.")
        structlog.get_logger("serving").error("bug", request_id=problem.request_id, exc_info=error)
        response = _response(problem.model_copy(update={"hint": f"Report it with the request id {problem.request_id}."}))
        response.headers["X-Request-Id"] = problem.request_id  # this answer is made outside of the middleware that adds it
        return response


def _problem(request: Request, status: int, title: str, detail: str) -> Problem:
    line: dict[str, Any] = getattr(request.state, "line", {})
    line["problem"] = detail
    return Problem(title=title, status=status, detail=detail, instance=request.url.path, request_id=line.get("request_id", ""))


def _response(problem: Problem) -> JSONResponse:
    headers = {}
    if problem.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if problem.retryable:
        headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    content = problem.model_dump(exclude_defaults=True) | {"type": problem.type}
    return JSONResponse(content, problem.status, headers=headers, media_type=MEDIA_TYPE)
