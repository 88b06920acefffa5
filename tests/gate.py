"""A TCP forwarder that can be shut, opened again and slowed: what a server that goes away looks like to its clients."""

from __future__ import annotations

import contextlib
import socket
import threading


class Gate:
    """A way to a server, at an address of its own. `bytes_a_second` bounds what passes to the server on each connection."""

    def __init__(self, address: str) -> None:
        host, port = address.rsplit(":", 1)
        self._target = (host, int(port))
        self._port = 0
        self._pause = threading.Event()
        self.bytes_a_second: float | None = None
        self._open: list[socket.socket] = []
        self.open()
        self.address = f"127.0.0.1:{self._port}"

    def open(self) -> None:
        """Lets clients in, at the address of before."""
        self._listener = socket.create_server(("127.0.0.1", self._port))
        self._port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def shut(self) -> None:
        """Ends all connections and refuses new ones."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._open.clear()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.create_connection(self._target)
                self._open += [near, far]
                threading.Thread(target=self._pump, args=(near, far, True), daemon=True).start()
                threading.Thread(target=self._pump, args=(far, near, False), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, slowed: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                if slowed and self.bytes_a_second is not None:
                    self._pause.wait(len(data) / self.bytes_a_second)
                sink.sendall(data)
