"""Kafka and Valkey of a drill's own, on ports and in a folder of their own, to be stopped and started as it likes."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass

from contracts.settings import Settings
from tests.own_servers import Kafka, Valkey, own_place, running


@dataclass(frozen=True, slots=True)
class Servers:
    """Settings that name the two servers."""

    settings: Settings
    kafka: Kafka
    valkey: Valkey


@contextlib.contextmanager
def own_servers(settings: Settings) -> Iterator[Servers]:
    """Both servers, running and empty; they and all they wrote are gone afterwards."""
    home = settings.home / "data" / "drills" / "servers"
    shutil.rmtree(home, ignore_errors=True)  # what an interrupted drill left
    place = own_place(settings, home)
    try:
        with running(Kafka(place)) as kafka, running(Valkey(place)) as valkey:
            yield Servers(place.settings, kafka, valkey)
    finally:
        shutil.rmtree(home)
