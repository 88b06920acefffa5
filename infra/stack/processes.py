"""Processes of the stack: who they are, whether they live, and how they end.

A process is named by its pid and its start, so a pid that was given to somebody else is never signalled. What a service
started and then moved to a session of its own is found by the marker that all its children inherit.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

KILL_SECONDS = 5.0  # what the kernel may need to end a process that was killed
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Identity:
    """One process: its pid, and its start as the machine's boot and the kernel's ticks since then.

    No time of day: it is counted from the boot's, which moves when the clock is set, and every process would be another one.
    """

    pid: int
    started: str

    def alive(self) -> bool:
        """Whether this very process runs; a zombie does not."""
        return self.process() is not None

    def process(self) -> psutil.Process | None:
        """A handle, or None when this process has ended."""
        try:
            process = psutil.Process(self.pid)
            same = _start(self.pid) == self.started
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None


def identify(pid: int) -> Identity | None:
    """The identity of a running process, or None when it has ended already."""
    started = _start(pid)
    return Identity(pid, started) if started else None


def tree(roots: Iterable[Identity]) -> set[Identity]:
    """The processes and all that descend from them and still have a living ancestor."""
    found: set[Identity] = set()
    for root in roots:
        process = root.process()
        if process is None:
            continue
        found.add(root)
        with contextlib.suppress(psutil.NoSuchProcess):
            found |= {i for child in process.children(recursive=True) if (i := identify(child.pid))}
    return found


def marked(home: Path, service: str | None = None) -> set[Identity]:
    """Every process that carries this home's marker (of one service or of any), whoever its parent is now."""
    home_marker = f"RD360_HOME={home}".encode()
    service_marker = f"RD360_SERVICE={service}".encode() if service else b"RD360_SERVICE="
    found = set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            variables = (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue  # it ended meanwhile, or it is another user's and thus not ours
        if home_marker in variables and any(
            v == service_marker or (not service and v.startswith(service_marker)) for v in variables
        ):
            identity = identify(int(entry.name))
            if identity and identity.alive():
                found.add(identity)
    return found


def end(
    targets: Iterable[Identity], leaders: Iterable[Identity], *, with_signal: int, grace: float, leaders_only: bool
) -> set[Identity]:
    """The processes that had to be killed: those that outlived `grace` seconds after the signal."""
    everyone = set(targets) | set(leaders)
    for identity in leaders if leaders_only else everyone:
        _signal(identity, with_signal)
    stubborn = wait_gone(everyone, grace)
    for identity in stubborn:
        _signal(identity, signal.SIGKILL)
    wait_gone(stubborn, KILL_SECONDS)
    return stubborn


def wait_gone(identities: Iterable[Identity], seconds: float) -> set[Identity]:
    """Those that still run after at most `seconds`."""
    deadline = time.monotonic() + seconds
    left = {i for i in identities if i.alive()}
    while left and time.monotonic() < deadline:
        time.sleep(0.05)
        left = {i for i in left if i.alive()}
    return left


def memory_bytes(identities: Iterable[Identity]) -> int:
    """Resident memory of processes together, shared pages counted once where the kernel tells (PSS), else RSS."""
    total = 0
    for identity in identities:
        process = identity.process()
        if process is None:
            continue
        try:
            total += process.memory_full_info().pss
        except psutil.AccessDenied:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def _start(pid: int) -> str | None:
    """When a process began, None when it has ended. Field 22 of proc_pid_stat(5)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    after_name = stat.rpartition(")")[2].split()  # a name may have spaces and brackets
    return f"{BOOT_ID.read_text(encoding='utf-8').strip()}/{after_name[19]}"


def _signal(identity: Identity, number: int) -> None:
    process = identity.process()
    if process is not None:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)
