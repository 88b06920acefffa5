"""Who may ask: whoever has the token."""

from __future__ import annotations

import hmac
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from serving.errors import Unauthorized

_SCHEME = HTTPBearer(auto_error=False, description="`api_token` in secrets.json, or RD360_API_TOKEN")


def require_token(request: Request, given: Annotated[HTTPAuthorizationCredentials | None, Depends(_SCHEME)]) -> None:
    """Raises Unauthorized unless the request carries the token. The comparison takes the same time wherever they differ."""
    expected: str = request.app.state.token
    if given is None or not hmac.compare_digest(given.credentials.encode(), expected.encode()):
        raise Unauthorized(
            "The request is not authorized",
            doing="checking the token",
            why="it is missing" if given is None else "it is another one",
        )
