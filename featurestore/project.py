"""The name under which one platform's rows, registry and marks are kept apart from another's."""

from __future__ import annotations

import hashlib
import re

from contracts.settings import Settings


def project_name(settings: Settings) -> str:
    """Feast's project: `rd360`, and with a topic prefix one of its own, so that two platforms can share one Redis."""
    prefix = settings.topic_prefix
    if not prefix:
        return "rd360"
    plain = re.sub(r"[^a-z0-9]+", "_", prefix.lower()).strip("_")
    return f"rd360_{plain}_{hashlib.sha256(prefix.encode()).hexdigest()[:6]}"  # the digits keep `a-b` and `a_b` apart
