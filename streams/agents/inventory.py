"""The agent of `inventory`: counts and movements become rows of `stock`."""

from __future__ import annotations

from typing import Any

import faust

from streams.agents.reading import Fail, read, source
from streams.flusher import Flusher


def attach(app: faust.App, flusher: Flusher, fail: Fail) -> None:
    """Adds the agent to the app."""

    async def inventory(stream: Any) -> None:
        await read(app, stream, flusher, fail)

    app.agent(source(app, flusher), name="inventory")(inventory)
