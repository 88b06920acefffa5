"""The worker's HTTP: /livez, /readyz and /metrics, on the loopback interface, in a thread that a busy worker does not block."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from contracts.errors import ConfigurationError

Answer = tuple[int, str, bytes]  # status, content type, body
Standing = Callable[[], tuple[bool, dict[str, Any]]]  # whether all is well, and what there is to say


class HealthServer:
    """Serves while it is used as a context manager. `alive` fails where a restart would help; `ready` says why it is not."""

    def __init__(self, port: int, alive: Standing, ready: Standing, metrics: Callable[[], bytes]) -> None:
        routes: dict[str, Callable[[], Answer]] = {
            "/livez": lambda: _answer(alive),
            "/readyz": lambda: _answer(ready),
            "/metrics": lambda: (200, "text/plain; version=0.0.4; charset=utf-8", metrics()),
        }
        try:
            self._server = ThreadingHTTPServer(("127.0.0.1", port), _handler(routes))
        except OSError as error:
            raise ConfigurationError(
                f"Port {port} cannot be used",
                doing="serving the stream worker's health",
                why=str(error),
                hint="Another worker may run: `./rd360 status`. RD360_PORT_OFFSET moves all ports.",
            ) from error
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="health", daemon=True)

    def __enter__(self) -> HealthServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def _answer(standing: Standing) -> Answer:
    is_well, said = standing()
    return 200 if is_well else 503, "application/json", json.dumps(said).encode()


def _handler(routes: dict[str, Callable[[], Answer]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the name that http.server calls
            answer = routes.get(self.path.split("?")[0], lambda: (404, "text/plain", b"not found"))
            status, kind, body = answer()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """A probe every second is no news."""

    return Handler
