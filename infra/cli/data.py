"""`rd360 data check | from-csv`: what a panel folder holds and what is wrong with it; from plain CSV files to one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from contracts.errors import DataGateError, UsageError
from infra.cli.console import json_result, note, result, table

if TYPE_CHECKING:
    import polars as pl

app = typer.Typer(no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@app.command()
def check(
    folder: Annotated[Path, typer.Argument(help="A folder with dataset.json and panel.parquet or lines.parquet.", exists=True)],
    as_json: Json = False,
) -> None:
    """Say what a data set holds and what is wrong with it. Exits 5 where it cannot be used."""
    from training.panels.check import check as run

    report = run(folder)
    if as_json:
        json_result(report.as_json())
    else:
        for name, value in report.facts.items():
            result(f"{name:<22}{_shown(value)}")
        table(("level", "count", "what", "first"), [(f.level, f"{f.count:,}", f.what, f.example) for f in report.findings])
    if not report.usable:
        raise DataGateError(f"{folder.name} cannot be used", doing="checking a data set", why="it has errors, listed above")
    note(f"Next: ./rd360 backtest --panel {folder}")


@app.command("from-csv")
def from_csv(
    files: Annotated[list[Path], typer.Argument(help="CSV files with the same columns.", exists=True, dir_okay=False)],
    out: Annotated[Path, typer.Option(help="The folder to make.")],
    column: Annotated[
        list[str] | None, typer.Option(help="ours=theirs, such as units=qty, store_id=shop, x_promo=on_promotion; repeatable.")
    ] = None,
    freq: Annotated[str | None, typer.Option(help="D or W; inferred from the dates without it.")] = None,
    horizon: Annotated[int | None, typer.Option(min=1, help="Periods to forecast; default 14 days or 8 weeks.")] = None,
    gaps_are_zero: Annotated[
        bool, typer.Option("--gaps-are-zero", help="A missing period is one without a sale; without this it is unknown.")
    ] = False,
    date_format: Annotated[str | None, typer.Option(help="Of the dates, such as %d.%m.%Y; told from them without it.")] = None,
    separator: Annotated[str, typer.Option(help="Between columns.")] = ",",
    as_json: Json = False,
) -> None:
    """Bring plain CSV files into the layout of a panel, and say what was done to them."""
    import polars as pl

    from training.panels.from_csv import convert, write

    if freq not in (None, "D", "W"):
        raise UsageError(f"--freq {freq} is neither D nor W", doing="reading the options")
    rows = pl.concat([_table(file, separator) for file in files], how="diagonal_relaxed")
    made = convert(
        rows,
        _mapping(column or []),
        name=out.name,
        freq=freq,
        horizon=horizon,
        gaps_are_zero=gaps_are_zero,
        date_format=date_format,
    )
    write(made, out)
    if as_json:
        json_result({"rows": made.panel.height, "dataset": made.dataset, "did": made.did})
    else:
        result(f"{made.panel.height:,} rows, periods of {made.dataset['freq']}, to {out}")
        for text in made.did:
            result(f"- {text}")
    note(f"Next: ./rd360 data check {out}")


def _shown(value: object) -> str:
    """A fact as a line of text: shares to three digits, columns with how much of each is known."""
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_shown(part)}" for name, part in value.items())
    return (", ".join(map(str, value)) or "nothing") if isinstance(value, list) else str(value)


def _table(file: Path, separator: str) -> pl.DataFrame:
    import polars as pl

    try:
        return pl.read_csv(file, separator=separator, infer_schema=False)  # a product 0012 is not the product 12
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataGateError(f"{file.name} cannot be read", doing="reading a CSV file", why=str(error)) from error


def _mapping(pairs: list[str]) -> dict[str, str]:
    """ours=theirs as a mapping. Raises UsageError."""
    for pair in pairs:
        if "=" not in pair:
            raise UsageError(f"--column {pair} is not ours=theirs", doing="reading the options", hint="Such as units=qty.")
    split = (pair.partition("=") for pair in pairs)
    return {ours: theirs for ours, _, theirs in split}
