"""The served form of a model: a folder with a manifest, read without any training library.

A scorer gives the same numbers as the fitted candidate it was exported from; that is checked before it is registered.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from contracts.errors import ConfigurationError, FingerprintMismatch
from contracts.vector import MODEL_INPUTS, VECTOR_FINGERPRINT
from training.baseline import naive_mean
from training.live_block import block_of, estimate
from training.panels.candidates.fitted import FittedQuantiles, FittedTrees
from training.quantiles import adjust, horizon_group
from training.rows import LEVELS, Floats, Forecast, Matrix, column
from training.series_table import Asked, SeriesTable

__all__ = ["Asked", "Manifest", "Prediction", "Scorer", "load_scorer", "write_manifest"]

Kind = Literal["xgboost", "seasonal_naive", "series_table"]
MANIFEST, MEAN, SPREAD, TABLE = "manifest.json", "mean.ubj", "spread.ubj", "series.npz"
FORMAT = 3  # of the folder: raised when an older reader would misread a newer model, or a newer one an older
_FILES: dict[Kind, tuple[str, ...]] = {"xgboost": (MEAN, SPREAD), "seasonal_naive": (), "series_table": (TABLE,)}
_Base = Callable[[Matrix, Sequence[Asked] | None], tuple[Floats, Floats]]


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a model folder holds. `offsets` are the conformal corrections, [horizon group][level]; `trained_through` is the last
    store-local day (YYYY-MM-DD) whose demand the model has seen; `typical_level`, units a day, stands for the level of a series
    of which none is known."""

    kind: Kind
    candidate: str
    trained_through: str
    offsets: list[list[float]]
    levels: tuple[float, ...] = LEVELS
    inputs: tuple[str, ...] = MODEL_INPUTS
    fingerprint: str = VECTOR_FINGERPRINT
    typical_level: float = 1.0
    format: int = FORMAT


@dataclass(frozen=True, slots=True)
class Prediction:
    """The demand that one row asks for, in units: its mean, and its quantiles in the order of `Scorer.levels`."""

    mean: float
    quantiles: tuple[float, ...]


class Scorer:
    """A loaded model. Safe to use from several threads."""

    def __init__(self, manifest: Manifest, base: _Base) -> None:
        self.manifest = manifest
        self._base = base
        self._offsets = np.array(manifest.offsets)

    @property
    def levels(self) -> tuple[float, ...]:
        """The quantile levels, ascending."""
        return self.manifest.levels

    def score(self, rows: Sequence[Sequence[float]], asked: Sequence[Asked] | None = None) -> list[Prediction]:
        """One prediction per row of MODEL_INPUTS. `asked` says whose they are: a series table cannot do without it."""
        if not rows:
            return []
        forecast = self.score_matrix(np.asarray(rows, dtype=np.float32), asked)
        return [
            Prediction(mean, tuple(quantiles))
            for mean, quantiles in zip(forecast.mean.tolist(), forecast.quantiles.tolist(), strict=True)
        ]

    def score_matrix(self, x: Matrix, asked: Sequence[Asked] | None = None) -> Forecast:
        """The same for a matrix [rows, MODEL_INPUTS]."""
        mean, quantiles = self._base(x, asked)
        groups = horizon_group(column(x, "days_ahead"))
        return Forecast(mean, adjust(mean, quantiles, groups, self._offsets))


def load_scorer(folder: Path) -> Scorer:
    """The scorer of a model folder.

    Raises FingerprintMismatch where the model reads another vector than this code builds, ConfigurationError where the folder
    is not a model.
    """
    try:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigurationError(f"{folder} is not a model", doing="loading a model", why=str(error)) from error
    if manifest.fingerprint != VECTOR_FINGERPRINT or manifest.inputs != MODEL_INPUTS:
        raise FingerprintMismatch(
            f"The model reads vector {manifest.fingerprint}, this platform builds {VECTOR_FINGERPRINT}",
            doing="loading a model",
            why="the feature catalogue or the order of the inputs has changed since it was trained",
        )
    missing = [name for name in _FILES[manifest.kind] if not (folder / name).is_file()]
    if manifest.format != FORMAT or missing:
        raise ConfigurationError(
            f"The model is of format {manifest.format}, this code reads format {FORMAT}",
            doing="loading a model",
            why=f"it has no {', '.join(missing)}" if missing else "it was trained by another version of this code",
            hint="Train again: `./rd360 train`.",
        )
    return Scorer(manifest, _BASES[manifest.kind](folder, manifest))


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Writes the manifest beside the model's files."""
    (folder / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest)))


def _naive(folder: Path, manifest: Manifest) -> _Base:  # noqa: ARG001  # it is all in the vector
    def base(x: Matrix, asked: Sequence[Asked] | None) -> tuple[Floats, Floats]:  # noqa: ARG001  # reads the row alone
        mean = naive_mean(x)
        return mean, np.repeat(mean[:, None], len(LEVELS), axis=1)

    return base


def _xgboost(folder: Path, manifest: Manifest) -> _Base:
    mean, spread = FittedTrees.load(folder / MEAN), FittedQuantiles.load(folder / SPREAD)

    def base(x: Matrix, asked: Sequence[Asked] | None) -> tuple[Floats, Floats]:  # noqa: ARG001  # reads the row alone
        return estimate(mean, spread, block_of(x, manifest.typical_level))

    return base


def _series_table(folder: Path, manifest: Manifest) -> _Base:  # noqa: ARG001  # it reads the table
    table = SeriesTable.load(folder / TABLE)

    def base(x: Matrix, asked: Sequence[Asked] | None) -> tuple[Floats, Floats]:
        if asked is None:
            raise ConfigurationError(
                "This model has a line per series and was not told whose rows these are",
                doing="scoring",
                why="`asked` is missing",
            )
        mean, quantiles, _ = table.predict(x, asked)
        return mean, quantiles

    return base


_BASES: dict[Kind, Callable[[Path, Manifest], _Base]] = {
    "xgboost": _xgboost,
    "seasonal_naive": _naive,
    "series_table": _series_table,
}
