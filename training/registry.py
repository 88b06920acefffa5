"""MLflow's tracking and registry behind our words: the only module that talks to it.

The registered model has two aliases: `champion`, which is served, and `challenger`, the latest that was trained. What an alias
was moved from is kept in a tag of the model, so that a rollback finds its way back.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from contracts.errors import DependencyUnavailable, NotFoundError, RetailDemandError, UsageError
from contracts.settings import Settings
from training.scorer import Scorer, load_scorer

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

EXPERIMENT = "demand"
MODEL = "demand"
CHAMPION, CHALLENGER = "champion", "challenger"
KIND, DEMAND, PANEL = "kind", "demand", "panel"
GATE, PASSED, REFUSED, REASONS = "gate", "passed", "refused", "gate_reasons"
_HISTORY = "former_champions"  # versions, oldest first, as JSON
_ARTIFACT = "model"
PROBE_SECONDS = 3.0
Read = TypeVar("Read")


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A registered version, ready to score. `fingerprint` is the VECTOR_FINGERPRINT that it was trained with."""

    name: str
    version: str
    fingerprint: str
    trained_through: str
    scorer: Scorer


@dataclass(frozen=True, slots=True)
class Version:
    """One registered version, as lists show it."""

    version: str
    candidate: str
    aliases: tuple[str, ...]
    gate: str
    reasons: tuple[str, ...]
    created_ms: int
    run_id: str
    kind: str  # what its folder holds: DEMAND or PANEL
    metrics: dict[str, float]
    params: dict[str, str]


@dataclass(frozen=True, slots=True)
class Run:
    """What one run in MLflow says. `by_origin` metrics are logged with the origin's number as step. No value is NaN."""

    name: str
    params: Mapping[str, Any]
    metrics: Mapping[str, float]
    by_origin: Mapping[str, list[float]]


class ModelRegistry:
    """One registered model on one MLflow server. Calls block; all raise DependencyUnavailable when it does not answer."""

    def __init__(self, settings: Settings, name: str = MODEL, experiment: str = EXPERIMENT) -> None:
        self.url = settings.mlflow
        self.name = name
        self._experiment = experiment
        self._opened: MlflowClient | None = None

    def champion_version(self) -> str | None:
        """The version that is served; None before the first promotion."""
        return self._version_of(CHAMPION)

    def load(self, version: str | None = None) -> LoadedModel:
        """A version, by default the champion. Raises NotFoundError where there is none, FingerprintMismatch for one that reads
        other inputs than this code makes."""
        found, scorer = self.read(version or CHAMPION, load_scorer)
        manifest = scorer.manifest
        return LoadedModel(self.name, found, manifest.fingerprint, manifest.trained_through, scorer)

    def read(self, version: str, reader: Callable[[Path], Read]) -> tuple[str, Read]:
        """The version's number, and what `reader` makes of its folder; an alias names a version too.

        Raises NotFoundError where there is none.
        """
        number = self._version_of(version) if version in (CHAMPION, CHALLENGER) else version
        if number is None:
            hint = "`./rd360 train` and `--track` make versions, `./rd360 models list` shows them."
            raise NotFoundError(f"Model {self.name} has no {version}", doing=f"loading the {version}", hint=hint)
        source = str(self._get(number).source)
        with self._talking(f"loading version {number}"), tempfile.TemporaryDirectory(prefix="rd360-model-") as folder:
            return number, reader(self._download(source, folder))

    def record(self, training: Run, candidates: list[Run], reports: Mapping[str, Any], tags: Mapping[str, str]) -> str:
        """Tracks a run, with a child per candidate and reports as files (texts as they are, else JSON). Returns the run's id."""
        with self._talking("tracking a run"):
            client = self._client()
            experiment = self._experiment_id(client)
            parent = self._record(client, experiment, training, tags)
            for candidate in candidates:
                self._record(client, experiment, candidate, {"mlflow.parentRunId": parent})
            for name, report in reports.items():
                client.log_text(parent, report, name) if isinstance(report, str) else client.log_dict(parent, report, name)
        return parent

    def register(self, run_id: str, folder: Path, tags: Mapping[str, str]) -> str:
        """Uploads a model folder to a run and registers it as the next version. Returns the version."""
        with self._talking("registering a model"):
            client = self._client()
            client.log_artifacts(run_id, str(folder), _ARTIFACT)
            self._ensure_model(client)
            source = f"{client.get_run(run_id).info.artifact_uri}/{_ARTIFACT}"
            version = str(client.create_model_version(self.name, source, run_id, tags=dict(tags)).version)
            client.set_registered_model_alias(self.name, CHALLENGER, version)
        return version

    def note_decision(self, version: str, promoted: bool, reasons: tuple[str, ...]) -> None:
        """Writes the gate's decision on a version, for `models show` and for a later promotion by hand."""
        with self._talking("writing the gate's decision"):
            client = self._client()
            client.set_model_version_tag(self.name, version, GATE, PASSED if promoted else REFUSED)
            client.set_model_version_tag(self.name, version, REASONS, json.dumps(reasons))

    def promote(self, version: str) -> str | None:
        """Makes a version the champion. Returns the champion before it. Raises NotFoundError where there is no such version."""
        self._get(version)
        before = self.champion_version()
        if before == version:
            return before
        with self._talking("promoting a version"):
            client = self._client()
            if before is not None:  # first the way back, then the step
                self._write_history(client, [*self._history(client), before])
            client.set_registered_model_alias(self.name, CHAMPION, version)
        return before

    def rollback(self) -> tuple[str, str]:
        """Makes the champion before this one champion again. Returns (version left, version restored). Raises UsageError where
        there was none before."""
        left = self.champion_version()
        with self._talking("rolling back"):
            client = self._client()
            history = self._history(client) if left is not None else []
            if left is None or not history:
                raise UsageError(
                    f"Model {self.name} has no earlier champion to go back to",
                    doing="rolling back",
                    hint="`./rd360 models list` shows the versions, `./rd360 promote VERSION` chooses one.",
                )
            client.set_registered_model_alias(self.name, CHAMPION, history[-1])
            self._write_history(client, history[:-1])
        return left, history[-1]

    def versions(self) -> list[Version]:
        """All versions, newest first; empty where the model was never registered."""
        with self._talking("listing versions"):
            client = self._client()
            found = client.search_model_versions(f"name = '{self.name}'")
            full = [client.get_model_version(self.name, version.version) for version in found]  # a search leaves aliases out
            return sorted((self._as_version(client, version) for version in full), key=lambda v: -int(v.version))

    def show(self, version: str) -> Version:
        """One version. Raises NotFoundError where there is none."""
        found = self._get(version)
        with self._talking("showing a version"):
            return self._as_version(self._client(), found)

    # ------------------------------------------------------------------------------------------------------------- MLflow
    def _client(self) -> MlflowClient:
        if self._opened is None:
            _probe(self.url)
            # MLflow reads these from the environment only. Its seven retries, each later, would hide a dead server for minutes.
            os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
            os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
            os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
            os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # bars for files of a few kB
            os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # where commands print their result
            os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")  # it reports every wait
            os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")  # a machine without git is no reason to complain
            from mlflow import MlflowClient  # seconds to import, and a scorer does not need it

            self._opened = MlflowClient(self.url, registry_uri=self.url)
        return self._opened

    @contextmanager
    def _talking(self, doing: str) -> Iterator[None]:
        self._client()
        from mlflow.exceptions import MlflowException
        from requests.exceptions import RequestException  # what its artifact transfers raise unwrapped

        try:
            yield
        except MlflowException as error:
            raise self._mapped(error, doing) from error
        except RequestException as error:
            raise DependencyUnavailable(f"MLflow at {self.url} broke off", doing=doing, why=str(error)) from error

    def _mapped(self, error: Any, doing: str) -> RetailDemandError:
        why = str(error).splitlines()[0]
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return NotFoundError(why, doing=doing, hint="`./rd360 models list` shows what there is.")
        return DependencyUnavailable(f"MLflow at {self.url} did not do what it was asked", doing=doing, why=why)

    def _version_of(self, alias: str) -> str | None:
        try:
            with self._talking(f"asking for the {alias}"):
                return str(self._client().get_model_version_by_alias(self.name, alias).version)
        except (NotFoundError, DependencyUnavailable) as error:
            if isinstance(error, NotFoundError) or _no_alias(error):
                return None
            raise

    def _get(self, version: str) -> ModelVersion:
        with self._talking(f"asking for version {version}"):
            return self._client().get_model_version(self.name, version)

    def _download(self, source: str, folder: str) -> Path:
        from mlflow.artifacts import download_artifacts

        return Path(download_artifacts(artifact_uri=source, dst_path=folder, tracking_uri=self.url))

    def _experiment_id(self, client: MlflowClient) -> str:
        found = client.get_experiment_by_name(self._experiment)
        return str(found.experiment_id if found else client.create_experiment(self._experiment))

    def _record(self, client: MlflowClient, experiment: str, run: Run, tags: Mapping[str, str]) -> str:
        from mlflow.entities import Metric, Param

        run_id = str(client.create_run(experiment, tags={**tags, "mlflow.runName": run.name}).info.run_id)
        metrics = [Metric(name, value, 0, 0) for name, value in run.metrics.items()]
        metrics += [Metric(name, value, 0, step) for name, values in run.by_origin.items() for step, value in enumerate(values)]
        client.log_batch(run_id, metrics=metrics, params=[Param(name, str(value)) for name, value in run.params.items()])
        client.set_terminated(run_id)
        return run_id

    def _ensure_model(self, client: MlflowClient) -> None:
        if not client.search_registered_models(f"name = '{self.name}'"):
            client.create_registered_model(self.name, description="Demand per store × product × period, in units")

    def _history(self, client: MlflowClient) -> list[str]:
        tags = client.get_registered_model(self.name).tags
        return [str(version) for version in json.loads(tags.get(_HISTORY, "[]"))]

    def _write_history(self, client: MlflowClient, versions: list[str]) -> None:
        client.set_registered_model_tag(self.name, _HISTORY, json.dumps(versions[-50:]))  # tags are short texts

    def _as_version(self, client: MlflowClient, found: ModelVersion) -> Version:
        run = client.get_run(str(found.run_id)).data
        return Version(
            version=str(found.version),
            candidate=found.tags.get("candidate", ""),
            aliases=tuple(sorted(found.aliases)),
            gate=found.tags.get(GATE, ""),
            reasons=tuple(json.loads(found.tags.get(REASONS, "[]"))),
            created_ms=int(found.creation_timestamp),
            run_id=str(found.run_id),
            kind=found.tags.get(KIND, DEMAND),
            metrics=dict(run.metrics),
            params=dict(run.params),
        )


def load_champion(settings: Settings) -> LoadedModel:
    """The champion, ready to score: see `ModelRegistry.load`."""
    return ModelRegistry(settings).load()


def champion_version(settings: Settings) -> str | None:
    """The champion's version; None before the first promotion."""
    return ModelRegistry(settings).champion_version()


def _no_alias(error: DependencyUnavailable) -> bool:
    """MLflow calls a missing alias an invalid parameter, and says so in words only."""
    return "alias" in error.why.lower() and "not found" in error.why.lower()


def _probe(url: str) -> None:
    """Raises DependencyUnavailable at once where no MLflow answers; its own client would retry."""
    import httpx

    try:
        httpx.get(f"{url}/health", timeout=PROBE_SECONDS).raise_for_status()
    except httpx.HTTPError as error:
        raise DependencyUnavailable(f"MLflow at {url} does not answer", doing="opening the registry", why=str(error)) from error
