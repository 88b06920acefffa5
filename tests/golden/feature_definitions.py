"""Writes the golden file of the Feast definitions anew: `python -m tests.golden.feature_definitions`. Look at the difference."""

from __future__ import annotations

import json
from pathlib import Path

from featurestore.catalogue import snapshot

GOLDEN = Path(__file__).with_suffix(".json")

if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(snapshot(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
