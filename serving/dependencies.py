"""What routes ask for, as annotated dependencies."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Request

from serving.backend import Backend


def _backend(request: Request) -> Backend:
    backend: Backend = request.app.state.backend
    return backend


def _line(request: Request) -> dict[str, Any]:
    line: dict[str, Any] = request.state.line
    return line


TheBackend = Annotated[Backend, Depends(_backend)]
Line = Annotated[dict[str, Any], Depends(_line)]  # what the request's canonical log line will say
