"""What is compiled before the worker asks for partitions: all that it needs, so that no event waits for the compiler."""

from __future__ import annotations

import os
import subprocess
import sys

from numba.core.dispatcher import Dispatcher

from contracts.settings import CHECKOUT, Settings
from contracts.windows import StoreCalendars
from featurestore.row_block import RowBlock
from featurestore.row_writer import RowWriter
from streams.processor import Changes, Partition, Work
from streams.rebuilt import FINGERPRINT, KEY
from streams.sales import SalesKernel
from tests.builders import DAY, HOUR, NOON, PARTITIONS, incoming, line, receipt

HERE = incoming(receipt()).partition


def test_nothing_is_left_to_be_compiled_while_events_come() -> None:
    """In a process of its own: others may have compiled more."""
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT)}
    done = subprocess.run([sys.executable, __file__], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "")


def compiled_late() -> list[str]:
    """The functions that are compiled, or compiled for other types, once a kernel has said that it is compiled."""
    kernel = SalesKernel(StoreCalendars("Europe/London"), DAY)
    kernel.compile()
    kernel.completed(b"", 0)  # who makes states of the archive asks for that, no worker
    before = _compiled()
    _work_with(kernel)
    return sorted(name for name, forms in _compiled().items() if forms != before.get(name))


def _compiled() -> dict[str, int]:
    ours = [(name, module) for name, module in list(sys.modules.items()) if name.startswith(("streams.", "featurestore."))]
    return {
        f"{name}.{found.__name__}": len(found.signatures)
        for name, module in ours
        for found in vars(module).values()
        if isinstance(found, Dispatcher)
    }


def _work_with(kernel: SalesKernel) -> None:
    """All that a partition does: new keys and known ones, a late event, a tick, a state from elsewhere, and beginning anew."""
    stored: dict[bytes, bytes] = {}
    for _ in range(2):
        partition = Partition(
            kernel,
            HERE,
            PARTITIONS,
            lambda keys: [stored.get(key) for key in keys],
            states="now",
            max_lead_ms=HOUR,
            lateness_ms=DAY,
        )
        partition.restore(list(stored.items()), 0)
        for offset in range(3):
            lines = [line(f"p-{number}", category_id=f"c-{number % 3}") for number in range(40 * (offset + 1))]
            message = incoming(receipt(f"r-{offset}", NOON - 2 * DAY * (offset == 2), *lines), offset)
            assert message.partition == HERE
            _write(partition, partition.take(partition.decode([message]), NOON), stored)
        _write(partition, partition.tick(NOON + HOUR, caught_up=True), stored)
        work = Work(HERE)
        raw_key, raw = next(iter(stored.items()))
        marks = ((KEY, raw_key), (FINGERPRINT, b"now"))
        partition.take_over([incoming(receipt(), 9)._replace(value=kernel.completed(raw, 99), headers=marks)], work)
        _write(partition, work, stored)
        partition.forget()
        partition.rewrite(list(stored))
        partition.rewrite_sums(partition.sum_keys())


def _write(partition: Partition, work: Work, stored: dict[bytes, bytes]) -> None:
    changes = Changes()
    for touched in work.touched:
        partition.add(touched, slice(0, 30), changes)
        partition.add(touched, slice(30, None), changes)
    partition.add_sums(work.sums, slice(None), changes)
    stored.update(changes.states.get(HERE, []))
    writer = RowWriter(Settings())
    for view, rows in changes.rows.items():
        assert isinstance(rows, RowBlock)
        writer.encoded(view, rows)


if __name__ == "__main__":
    sys.stdout.write("\n".join(compiled_late()))
