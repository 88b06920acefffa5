"""`rd360 bench keys`: what the number of keys with a state does to speed, memory and storage, and whether memory stays flat."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from confluent_kafka import TopicPartition

from contracts.clock import system_clock
from contracts.features import SALES_ROLLING
from contracts.settings import Settings
from contracts.windows import DAY_MS, HOUR_MS
from streams import names
from streams.broker import TIMEOUT_SECONDS, read_to_end, reader
from streams.lag import LagReader
from streams.stale import state_folder
from tests import ground
from tests.bench.contestants import paced, wait_committed
from tests.bench.receipts import Filled, each_key_once, over_keys, send, store_grid
from tests.bench.recovery import keys_of
from tests.bench.usage import resident_mb
from tests.outcome import Bar, Outcome, median, spread

SPAN_MS = 12 * HOUR_MS  # of event time; the lines of each run are spread over it
QUICK_KEYS, QUICK_LINES = (1_000, 5_000), 120_000
SAMPLE = 500  # rows and changelog records whose size is looked at
LONG_KEYS, LONG_SAMPLE_SECONDS = 100_000, 5.0
LONG_SPAN_MS = 120 * DAY_MS  # all windows are full before its second quarter: from there on states grow no more
LONG_SAY_EVERY = 12  # samples
SIZES = ("rocksdb_bytes_a_key", "changelog_bytes_a_record", "redis_bytes_a_row")
SHOWN = ("lines_per_second", "lines_per_cpu_second", "resident_mb", *SIZES)
CORRECT = (Bar("keys_missing", at_most=0),)
TIMING = (Bar("largest_to_smallest", at_least=0.5),)
FLAT = (Bar("long_growth", at_most=1.1),)  # a tenth is what the allocator keeps for later


def run(
    settings: Settings,
    counts: Sequence[int],
    lines: int,
    runs: int,
    long_lines: int | None,
    say: Callable[[str], None],
    *,
    quick: bool = False,
) -> Outcome:
    """The same number of lines over each number of keys, so many times in turns; then, where asked, many lines while memory is
    watched."""
    counts, lines = (QUICK_KEYS, QUICK_LINES) if quick else (counts, lines)
    found: list[dict[str, Any]] = []
    for number, count in itertools.product(range(runs), sorted(counts)):
        found.append({"round": number} | _with_keys(settings, count, lines))
        say(f"{found[-1]['keys']:,} keys: {found[-1]['lines_per_second']:,.0f} lines/s, {found[-1]['resident_mb']:,.0f} MB")
    figures = concluded(found)
    hours = SPAN_MS // HOUR_MS
    states = "every key has a state before, which the worker read when it started"
    notes = [f"Lines are drawn evenly over the keys and over {hours} h; {states}."]
    if long_lines:
        samples = _long(settings, long_lines, say)
        figures |= flatness(samples)
        found += samples
    bars = CORRECT if quick else (*CORRECT, *TIMING, *(FLAT if long_lines else ()))
    return Outcome("bench keys", figures, bars, found, notes)


def concluded(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The median of what is shown by number of keys, the spread of the speed, and the speed over the most keys as a share of that
    over the fewest: the median of the rounds, as both had the same neighbours on the machine in each.
    """
    counts = sorted({one["keys"] for one in found})
    of_count = {count: [one for one in found if one["keys"] == count] for count in counts}
    figures: dict[str, Any] = {
        f"{name}_{count}_keys": median([one[name] for one in of_count[count]]) for name in SHOWN for count in counts
    }
    speeds = {count: [one["lines_per_second"] for one in of_count[count]] for count in counts}
    figures |= {f"lines_per_second_{count}_keys_spread": round(spread(speeds[count]), 3) for count in counts}
    shares = [most / fewest for fewest, most in zip(speeds[counts[0]], speeds[counts[-1]], strict=True)]
    figures["largest_to_smallest"] = round(median(shares), 3)
    figures["keys_missing"] = max(one["keys"] - one["keys_restored"] for one in found)
    return figures


def _with_keys(settings: Settings, count: int, lines: int) -> dict[str, Any]:
    """One run: a state for every key, a new worker, and the lines that are measured."""
    stores, products = store_grid(count)
    start = system_clock() - DAY_MS
    with ground.ground(settings) as own:
        send(own, each_key_once(stores * products, start))
        with ground.running_worker(own) as process:
            wait_committed(process)
            process.ready().stop()  # started again below: all that is measured is to be on Kafka by then
            receipts, sent_lines = send(own, over_keys(stores * products, lines, start, SPAN_MS, "measured"))
            process.start().ready()
            restored = keys_of(process)
            pace = paced(process, receipts)
            assert process.process is not None
            memory = resident_mb(process.process.pid)
            process.stop()
        standing = {"keys": stores * products, "keys_restored": restored, "resident_mb": memory}
        return standing | pace.as_run(Filled(receipts, sent_lines, stores * products, {})) | _sizes(own, stores * products)


def _sizes(settings: Settings, keys: int) -> dict[str, float]:
    """Bytes a key where it is kept. The worker has stopped: RocksDB is as it lies on the disk."""
    files = [path.stat().st_size for path in state_folder(settings, names.group(settings)).rglob("*") if path.is_file()]
    with ground.redis(settings) as client:
        rows = next(ground.redis_keys(client, settings))[:SAMPLE]
        memory = [client.memory_usage(key) or 0 for key in rows]
    return {
        "rocksdb_bytes_a_key": round(sum(files) / keys, 1),
        "changelog_bytes_a_record": round(_mean(_changelog(settings)), 1),
        "redis_bytes_a_row": round(_mean(memory), 1),
    }


def _changelog(settings: Settings) -> Iterator[int]:
    """The bytes of key and value of the latest records in the changelog."""
    topic = names.changelog(settings, SALES_ROLLING)
    for partition in range(settings.topic_partitions):
        for message in itertools.islice(
            read_to_end(settings, topic, partition, _end(settings, topic, partition) - SAMPLE), SAMPLE
        ):
            yield len(message.key() or b"") + len(message.value() or b"")


def _end(settings: Settings, topic: str, partition: int) -> int:
    """The end of a partition, and no less than one sample of records."""
    consumer = reader(settings)
    try:
        _, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=TIMEOUT_SECONDS)
    finally:
        consumer.close()
    return max(SAMPLE, end)


def _long(settings: Settings, lines: int, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """The worker's memory every few seconds while it reads so many lines, which are sent meanwhile."""
    with ground.ground(settings) as own, ground.running_worker(own) as process:
        process.ready()
        assert process.process is not None
        receipts = over_keys(LONG_KEYS, lines, system_clock() - LONG_SPAN_MS, LONG_SPAN_MS, "long")
        sender = threading.Thread(target=send, args=(own, receipts), name="long", daemon=True)
        sender.start()
        samples: list[dict[str, Any]] = []
        with LagReader(own) as kafka:
            while True:
                standing = kafka.lags()
                behind, done = sum(one.behind for one in standing), sum(one.committed for one in standing)
                samples.append({"receipts_done": done, "resident_mb": resident_mb(process.process.pid)})
                if len(samples) % LONG_SAY_EVERY == 0:
                    say(f"{done:,} receipts, {samples[-1]['resident_mb']:,.0f} MB")
                if not sender.is_alive() and not behind:
                    process.stop()
                    return samples
                time.sleep(LONG_SAMPLE_SECONDS)


def flatness(samples: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Memory in the second and in the last quarter of the receipts, MB, and how much the one is of the other."""
    last = samples[-1]["receipts_done"]
    second = [one["resident_mb"] for one in samples if last / 4 <= one["receipts_done"] < last / 2]
    fourth = [one["resident_mb"] for one in samples if last * 3 / 4 <= one["receipts_done"]]
    early, late = median(second or fourth), median(fourth)
    return {
        "long_resident_mb_second_quarter": early,
        "long_resident_mb_last_quarter": late,
        "long_growth": round(late / early, 3),
    }


def _mean(values: Iterable[float]) -> float:
    known = list(values)
    return sum(known) / len(known)
