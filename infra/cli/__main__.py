"""The entry of `rd360`: finds the command, and is the one place where an error becomes text and an exit code.

Each command is a typer app in a module of its own. Listing them imports none of them: their one-line helps stand here.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from contracts.errors import RetailDemandError

COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("infra.cli.demo:app", "Run the whole line on simulated receipts, and check it."),
    "test": ("infra.cli.test:app", "Run every check; `test unit` runs the fast ones."),
    "up": ("infra.cli.stack:up_app", "Start the local stack, or what is missing of it."),
    "down": ("infra.cli.stack:down_app", "Stop the local stack, and check that nothing is left."),
    "status": ("infra.cli.stack:status_app", "Show each service: state, port, address, memory."),
    "logs": ("infra.cli.stack:logs_app", "Show the log of a service."),
    "doctor": ("infra.cli.stack:doctor_app", "Check the machine, the installation and the services."),
    "produce": ("infra.cli.produce:app", "Send receipts, stock and prices: simulated, replayed, from a file."),
    "stream": ("infra.cli.stream:app", "The stream worker, its topics and its dead letters."),
    "lake": ("infra.cli.lake:app", "Bronze, silver and gold tables: run, audit, maintain."),
    "features": ("infra.cli.features:app", "The feature store: apply, materialize, show, parity, rebuild."),
    "backtest": ("infra.cli.backtest:app", "Judge models by rolling origin against seasonal naive."),
    "train": ("infra.cli.train:app", "Train the candidates and let the gate choose."),
    "promote": ("infra.cli.promote:app", "Make a model version the champion, if the gate agrees."),
    "rollback": ("infra.cli.rollback:app", "Make the previous champion the champion again."),
    "models": ("infra.cli.models:app", "List registered models, their figures and reasons."),
    "forecast": ("infra.cli.forecast:app", "Forecast the demand of products."),
    "replenish": ("infra.cli.replenish:app", "Propose orders; simulate policies."),
    "serve": ("infra.cli.serve:app", "Run the HTTP API."),
    "monitor": ("infra.cli.monitor:app", "Accuracy, drift and freshness of what was served."),
    "dashboards": ("infra.cli.dashboards:app", "Apply the dashboards to Superset."),
    "dags": ("infra.cli.dags:app", "Trigger Airflow's DAGs and wait for them."),
    "bench": ("infra.cli.bench:app", "Measure the platform, held to its bars."),
    "drill": ("infra.cli.drill:app", "Break things on purpose, and check that nothing is lost."),
    "data": ("infra.cli.data:app", "Check and describe a data set before it is replayed."),
}
INTERRUPTED = 130


class LazyGroup(TyperGroup):
    """A group whose commands are stubs with a name and a help until one is called."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """The real command in place of its stub."""
        name, _stub, rest = super().resolve_command(ctx, args)
        return name, _load(COMMANDS[name][0]) if name else None, rest


def main(arguments: list[str] | None = None) -> int:
    """Runs one command line and returns its exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    verbose = "--verbose" in given
    group = LazyGroup(
        name="rd360",
        commands={name: TyperCommand(name, help=text) for name, (target, text) in COMMANDS.items() if _exists(target)},
        rich_markup_mode=None,
        no_args_is_help=True,
        context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 110},
        help="RetailDemand360: live features, forecasts and orders that the archive can prove.",
        epilog="Every command takes --help, and --verbose for full traces. Settings are RD360_* variables: docs/settings.md.",
    )
    try:
        code = group.main([argument for argument in given if argument != "--verbose"], prog_name="rd360", standalone_mode=False)
    except RetailDemandError as error:
        _explain(error, verbose)
        return error.exit_code
    except typer.TyperException as error:  # a wrong option or argument
        show: Callable[[], object] = getattr(error, "show", None) or partial(sys.stderr.write, f"Error: {error}\n")
        show()
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        sys.stderr.write("Interrupted.\n")
        return INTERRUPTED
    except Exception:  # noqa: BLE001  # the last frame: whatever nobody mapped is a bug, and is shown as one
        sys.stderr.write(_bug(verbose))
        return 1
    return code if isinstance(code, int) else 0


def _load(target: str) -> Any:
    module, attribute = target.split(":")
    return typer.main.get_command(getattr(importlib.import_module(module), attribute))


def _exists(target: str) -> bool:
    return importlib.util.find_spec(target.split(":")[0]) is not None


def _explain(error: RetailDemandError, verbose: bool) -> None:
    lines = [f"{error.title}: {error.what}"]
    lines += [
        f"  {label} {text}" for label, text in (("while:", error.doing), ("why:  ", error.why), ("try:  ", error.hint)) if text
    ]
    trace = traceback.format_exc() if verbose else ""
    sys.stderr.write(trace + "\n".join(lines) + "\n")


def _bug(verbose: bool) -> str:
    if verbose:
        return traceback.format_exc()
    kind, value, trace = sys.exc_info()
    last = traceback.extract_tb(trace)[-1]
    return (
        f"Internal error: {kind.__name__ if kind else ''}: {value}\n  at:    {last.filename}:{last.lineno} in {last.name}\n"
        f"  try:   {RetailDemandError.default_hint}\n"
    )


if __name__ == "__main__":
    sys.exit(main())
