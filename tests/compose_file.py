"""compose.yaml as data, with its variables put in as Compose puts them in."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from contracts.settings import CHECKOUT, SECRET_FIELDS

COMPOSE = CHECKOUT / "infra" / "compose" / "compose.yaml"
DOCKER = CHECKOUT / "infra" / "docker"
SECRETS: Mapping[str, str] = {f"RD360_{field.upper()}": f"secret-of-{field.replace('_', '-')}" for field in SECRET_FIELDS}
_VARIABLE = re.compile(r"\$(?:(?P<dollar>\$)|\{(?P<name>\w+)(?:(?P<rule>:-|:\?)(?P<text>[^}]*))?\})")


class MissingVariable(Exception):
    """A variable that compose.yaml requires has no value."""


def load_compose(variables: Mapping[str, str] = SECRETS, change: Callable[[str], str] = str) -> dict[str, Any]:
    """The whole file, each text changed before variables are put in. Raises MissingVariable as Compose does."""
    tree: dict[str, Any] = _substitute(_parsed(), variables, change)
    for service in tree["services"].values():
        given = service.get("environment", {})
        passed_on = {key: variables.get(key) if value is None else value for key, value in given.items()}
        service["environment"] = {key: value for key, value in passed_on.items() if value is not None}
    return tree


def load_services(variables: Mapping[str, str] = SECRETS, change: Callable[[str], str] = str) -> dict[str, dict[str, Any]]:
    """The services by name."""
    services: dict[str, dict[str, Any]] = load_compose(variables, change)["services"]
    return services


def is_oneshot(service: Mapping[str, Any]) -> bool:
    """Whether a service does something once and ends."""
    return bool(service["restart"] == "no")


def dockerfile(service: Mapping[str, Any]) -> Path:
    """The Dockerfile that a service's image is built from."""
    return CHECKOUT / str(service["build"]["dockerfile"])


def instructions(path: Path) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile in order: ("RUN", "apt-get update && ...")."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip() and not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [(keyword, rest.strip()) for keyword, _, rest in (line.partition(" ") for line in joined.splitlines())]


@functools.cache
def _parsed() -> Any:
    return yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))


def _substitute(value: Any, variables: Mapping[str, str], change: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return {key: _substitute(inner, variables, change) for key, inner in value.items()}
    if isinstance(value, list):
        return [_substitute(inner, variables, change) for inner in value]
    if isinstance(value, str):
        return _VARIABLE.sub(lambda match: _value(match, variables), change(value))
    return value


def _value(match: re.Match[str], variables: Mapping[str, str]) -> str:
    if match["dollar"]:
        return "$"
    value = variables.get(match["name"], "")
    if value or match["rule"] is None:
        return value
    if match["rule"] == ":?":
        raise MissingVariable(f"{match['name']} {match['text']}")
    return str(match["text"])
