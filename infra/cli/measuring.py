"""How `rd360 bench` and `rd360 drill` print what they found, and how they end."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from contracts.errors import DataGateError
from infra.cli.console import json_result, note, table

if TYPE_CHECKING:
    from tests.outcome import Outcome

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Quick = Annotated[bool, typer.Option("--quick", help="A small form of it, for a look or a test; proves little.")]
Keep = Annotated[Path | None, typer.Option("--keep", help="Also write the JSON document to this file.")]
AGAIN_SECONDS = 0.05


def end_as_interrupted() -> None:
    """Has SIGTERM end the command as Ctrl-C does, which removes what it made and stops what it started."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    sys.unraisablehook = _interrupt_again


def _interrupt_again(lost: sys.UnraisableHookArgs) -> None:
    # in a finalizer or a weak reference's callback an interrupt is lost, and the command would go on as if it was never told
    if issubclass(lost.exc_type, KeyboardInterrupt):
        signal.setitimer(signal.ITIMER_REAL, AGAIN_SECONDS)
    else:
        sys.__unraisablehook__(lost)


def conclude(outcome: Outcome, *, as_json: bool, keep: Path | None) -> None:
    """Prints an outcome, keeps it where asked, and raises DataGateError (exit 5) where a bar did not hold."""
    found = outcome.as_dict()
    if keep is not None:
        keep.parent.mkdir(parents=True, exist_ok=True)
        keep.write_text(json.dumps(found, indent=2, default=str) + "\n", encoding="utf-8")
    if as_json:
        json_result(found)
    else:
        limits = {name: (bar["limit"], "held" if bar["held"] else "MISSED") for name, bar in found["bars"].items()}
        table(
            ("figure", "value", "bar", ""),
            [(name, _shown(value), *limits.get(name, ("", ""))) for name, value in found["figures"].items()],
        )
        for text in outcome.notes:
            note(text)
        note(f"On {found['machine']['processor']}, {found['machine']['cores']} cores, {found['machine']['memory_gb']} GB")
        note(f"With {', '.join(f'{name} {version}' for name, version in found['versions'].items())}")
    if not outcome.held:
        missed = [name for name, bar in found["bars"].items() if not bar["held"]]
        raise DataGateError(f"{outcome.name}: {', '.join(missed)} missed", doing="holding the figures to their bars")


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.3f}" if abs(value) < 100 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
