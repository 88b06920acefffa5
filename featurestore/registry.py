"""Feast's registry in PostgreSQL, brought to what the catalogue says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from feast import FeatureStore, FeatureView
from sqlalchemy.exc import OperationalError

from contracts.errors import ConfigurationError, DependencyUnavailable
from contracts.features import CATALOGUE_FINGERPRINT
from contracts.settings import Settings
from featurestore.definitions import ENTITIES, FEATURE_VIEWS
from featurestore.project import project_name
from featurestore.repo import repo_config


@dataclass(frozen=True, slots=True)
class Changes:
    """What an apply changed, or would change: names of feature views."""

    project: str
    fingerprint: str
    added: list[str]
    changed: list[str]
    removed: list[str]
    unchanged: list[str]


def open_feature_store(settings: Settings) -> FeatureStore:
    """Feast on this repository. Raises DependencyUnavailable when the registry's database does not answer."""
    try:
        store = FeatureStore(config=repo_config(settings))
        store.registry.list_projects()  # nothing connects before the first question
    except OperationalError as error:
        raise DependencyUnavailable(
            f"Feast's registry in PostgreSQL at {settings.postgres} does not answer",
            doing="opening the feature registry",
            why=str(error.orig).strip().splitlines()[-1],
        ) from error
    return store


def require_catalogue(settings: Settings, views: Sequence[str]) -> FeatureStore:
    """Feast, whose registry has these views as the catalogue has them. Raises ConfigurationError where it has not."""
    store = open_feature_store(settings)
    registered = {view.name: view.tags.get("fingerprint") for view in store.list_feature_views()}
    stale = [name for name in views if registered.get(name) != CATALOGUE_FINGERPRINT]
    if stale:
        raise ConfigurationError(
            f"The feature registry does not have the catalogue's {', '.join(stale)}",
            doing="opening the feature registry",
            hint="`./rd360 features apply` brings it up to date.",
        )
    return store


def apply(settings: Settings, dry_run: bool = False) -> Changes:
    """Registers the catalogue's entities and views and removes views that it no longer has. A second run changes nothing.

    A removed view's online rows are deleted. Raises DependencyUnavailable.
    """
    store = open_feature_store(settings)
    registered = {view.name: view for view in store.registry.list_feature_views(store.project)}
    changed = {name for name, view in FEATURE_VIEWS.items() if name in registered and _spec(registered[name]) != _spec(view)}
    added = [name for name in FEATURE_VIEWS if name not in registered]
    removed = [view for name, view in registered.items() if name not in FEATURE_VIEWS]
    if not dry_run and (added or changed or removed):
        # `partial` would leave what it is not told of in the registry
        store.apply([*ENTITIES, *FEATURE_VIEWS.values()], objects_to_delete=[*removed], partial=False)
    return Changes(
        project=project_name(settings),
        fingerprint=CATALOGUE_FINGERPRINT,
        added=added,
        changed=[name for name in FEATURE_VIEWS if name in changed],
        removed=[view.name for view in removed],
        unchanged=[name for name in FEATURE_VIEWS if name in registered and name not in changed],
    )


def _spec(view: FeatureView) -> bytes:
    """What a feature view is, without when it was registered (which Feast's own comparison includes)."""
    spec = view.to_proto().spec
    spec.batch_source.ClearField("meta")
    return bytes(spec.SerializeToString(deterministic=True))
