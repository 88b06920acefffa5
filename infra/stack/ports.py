"""Ports of this machine: which are taken, and by whom."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable
from dataclasses import dataclass

import psutil

from contracts.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Claim:
    """A port that a service is about to listen on."""

    service: str
    what: str
    port: int


def is_taken(port: int) -> bool:
    """Whether listening on 127.0.0.1:port would fail because somebody does already."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # as servers do: a port in TIME_WAIT is free, one that somebody listens on is not
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return True
            raise
    return False


def holder(port: int) -> str:
    """Who listens on a port: "process 123 (command line)", or that it cannot be seen."""
    try:
        listening = [
            c for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN and c.laddr and c.laddr.port == port
        ]
    except psutil.AccessDenied:
        listening = []
    for connection in listening:
        if connection.pid is None:
            continue
        try:
            return f"process {connection.pid} ({' '.join(psutil.Process(connection.pid).cmdline())[:160]})"
        except psutil.Error:
            continue
    return "a process that this user cannot see (another user's, or another container's)"


def check_free(claims: Iterable[Claim]) -> None:
    """Raises ConfigurationError naming each taken port, who needs it and who holds it."""
    taken = [f"port {c.port} ({c.service} {c.what}) is held by {holder(c.port)}" for c in claims if is_taken(c.port)]
    if taken:
        raise ConfigurationError(
            "A port is taken" if len(taken) == 1 else f"{len(taken)} ports are taken",
            doing="preparing to start the local stack",
            why="; ".join(taken),
            hint="Stop that process, or move the whole stack: RD360_PORT_OFFSET=1000 ./rd360 up",
        )
