"""A stream worker that kills itself at a given pass of a given place: `python -m tests.drills.worker PLACE PASS`."""

from __future__ import annotations

import sys

from infra.cli.__main__ import main
from tests.drills.crash_points import arm

if __name__ == "__main__":
    arm(sys.argv[1], int(sys.argv[2]))
    sys.exit(main(["stream", "worker"]))
