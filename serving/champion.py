"""The champion of the model registry, as the slot wants it."""

from __future__ import annotations

from contracts.errors import ConfigurationError
from serving.model import Champion
from training.registry import ModelRegistry


class RegisteredChampion:
    """A ModelSource on MLflow."""

    def __init__(self, registry: ModelRegistry) -> None:
        self._registry = registry

    def version(self) -> str | None:
        """See ModelSource."""
        return self._registry.champion_version()

    def load(self, version: str) -> Champion:
        """See ModelSource."""
        try:
            loaded = self._registry.load(version)
        except ValueError as error:  # XGBoost's own error is one, and its name would have to be imported with all of XGBoost
            raise ConfigurationError(
                f"Version {version} of model {self._registry.name} cannot be read",
                doing="loading the champion",
                why=str(error).splitlines()[0],
                hint="Promote another version: `./rd360 models list`, `./rd360 rollback`.",
            ) from error
        return Champion(loaded.name, loaded.version, loaded.fingerprint, loaded.scorer)
