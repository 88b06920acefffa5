"""The headers of a message that was set aside, on a dead-letter or a late topic: names from Kafka Connect where it has one.

The worker writes them; the lake and operators read them.
"""

from __future__ import annotations

from typing import Literal

TOPIC = "__connect.errors.topic"
PARTITION = "__connect.errors.partition"
OFFSET = "__connect.errors.offset"
CLASS = "__connect.errors.exception.class.name"
MESSAGE = "__connect.errors.exception.message"
STAGE = "__connect.errors.stage"
REASON = "rd360.reason"  # contracts.events.Reason, or one of LateReason
LATE_KEYS = "rd360.late.keys"  # the keys that a letter on a late topic is about, as JSON [[store_id, product_id], …]
# On a late topic: an event that some keys did not take; a key that took over a state which holds all up to the letter's offset,
# that event too; a key that did not, having moved on.
LateReason = Literal["late", "healed", "moved_on"]
