"""The champion that answers, exchanged while requests run.

A request takes `ModelSlot.current` once and keeps it to its end; an exchange is one assignment, so no answer mixes two models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from contracts.errors import DependencyUnavailable, FingerprintMismatch, RetailDemandError
from contracts.vector import VECTOR_FINGERPRINT
from training.scorer import Asked


class Prediction(Protocol):
    """Mean and quantiles of one input row, in units."""

    @property
    def mean(self) -> float:
        """Expected demand."""
        ...

    @property
    def quantiles(self) -> tuple[float, ...]:
        """Demand at the scorer's levels."""
        ...


class Scorer(Protocol):
    """What a registered model is at serving time: numbers in, predictions out, safe to call from several threads."""

    @property
    def levels(self) -> tuple[float, ...]:
        """The probabilities of the quantiles, ascending."""
        ...

    def score(self, rows: Sequence[Sequence[float]], asked: Sequence[Asked]) -> Sequence[Prediction]:
        """One prediction per row of MODEL_INPUTS; `asked` says whose demand each row asks for."""
        ...


@dataclass(frozen=True, slots=True)
class Champion:
    """One version of the registered model. `fingerprint` is the VECTOR_FINGERPRINT that it was trained with."""

    name: str
    version: str
    fingerprint: str
    scorer: Scorer


class ModelSource(Protocol):
    """Where champions come from. Calls block. They raise DependencyUnavailable when the registry does not answer."""

    def version(self) -> str | None:
        """The version that the champion alias points at; None before the first promotion. Cheap."""
        ...

    def load(self, version: str) -> Champion:
        """A version, ready to score. Raises FingerprintMismatch for one that was trained on other inputs, ConfigurationError for
        one that cannot be read."""
        ...


class ModelSlot:
    """The one place that holds the current model, what is wrong with the newest, and nothing else."""

    def __init__(self, source: ModelSource, fingerprint: str = VECTOR_FINGERPRINT) -> None:
        self._source = source
        self._fingerprint = fingerprint
        self._refused: dict[str, str] = {}  # why, by version: what does not fit now will not fit in five seconds
        self.current: Champion | None = None
        self.trouble: str | None = "no champion has been looked for yet"

    def refresh(self) -> bool:
        """Whether the model was exchanged. Blocks. Keeps the current one when the registry is down or the new one does not fit;
        `trouble` says so."""
        try:
            version = self._source.version()
        except DependencyUnavailable as error:
            self.trouble = _text(error)
            return False
        if version is None:
            self.current, self.trouble = None, "there is no champion yet: run `./rd360 train`"
            return False
        if self.current is not None and self.current.version == version:
            self.trouble = None
            return False
        return self._exchange(version)

    def _exchange(self, version: str) -> bool:
        if version in self._refused:
            self.trouble = self._refused[version]
            return False
        try:
            champion = self._source.load(version)
            self._check(champion)
        except RetailDemandError as error:
            self.trouble = _text(error)
            if not error.retryable:
                self._refused[version] = self.trouble
            return False
        self.current, self.trouble = champion, None
        return True

    def _check(self, champion: Champion) -> None:
        if champion.fingerprint != self._fingerprint:
            raise FingerprintMismatch(
                f"{champion.name} version {champion.version} is refused",
                doing="exchanging the model",
                why=f"it was trained on the inputs {champion.fingerprint}, the online features make {self._fingerprint}",
            )


def _text(error: RetailDemandError) -> str:
    return f"{error}. {error.hint}"
