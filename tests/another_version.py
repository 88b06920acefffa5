"""The command line of a version with another layout of the sales states and another catalogue: to be run as a module."""

from __future__ import annotations

LAYOUT = 99
FINGERPRINT = "0badcafe0badcafe"

if __name__ == "__main__":
    from contracts import features, stream_states

    stream_states.STATE_LAYOUT["sales"] = LAYOUT
    features.CATALOGUE_FINGERPRINT = FINGERPRINT  # before anybody takes it from there

    from infra.cli.__main__ import main

    raise SystemExit(main())
