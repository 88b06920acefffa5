"""Jars from Maven's repositories, by pyspark's own Ivy, checked against infra/jars.lock.

Nothing is resolved: the lock names every jar, so Ivy only downloads. A jar whose checksum differs is refused and nothing is kept.
"""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from contracts.errors import ConfigurationError, DependencyUnavailable
from infra.stack.java import java
from infra.stack.place import Place

LOCK = Path("infra") / "jars.lock"
STAMP = ".verified"
SETS = ("kafka", "spark")


@dataclass(frozen=True, slots=True)
class Jar:
    """One line of the lock: checksum, Maven coordinate, set and file name."""

    sha256: str
    group: str
    artifact: str
    version: str
    set: str
    filename: str


def read_lock(text: str) -> list[Jar]:
    """The jars of a lock, in its order.

    A line is `sha256  group:artifact:version  set/file`. Raises ConfigurationError naming one that is not.
    """
    jars = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        parts = line.split()
        coordinate = parts[1].split(":") if len(parts) == 3 else []
        if len(coordinate) != 3 or len(parts[0]) != 64 or parts[2].count("/") != 1:
            raise ConfigurationError(
                f"Line {number} of {LOCK} is not valid", doing="reading the jar lock", why=line, hint="Restore the file."
            )
        folder, filename = parts[2].split("/")
        jars.append(Jar(parts[0], coordinate[0], coordinate[1], coordinate[2], folder, filename))
    return jars


def ensure_jars(place: Place, wanted: Iterable[str] = SETS, progress: Callable[[str], None] = lambda _: None) -> None:
    """Puts jars/<set> in place. A set that was verified against the lock as it is now is not looked at again.

    Raises ConfigurationError when a checksum differs, DependencyUnavailable when a download fails.
    """
    lock = (place.checkout / LOCK).read_text(encoding="utf-8")
    for name in wanted:
        jars = [jar for jar in read_lock(lock) if jar.set == name]
        folder = place.jars / name
        if _stamp(folder) == stamp_text(jars):
            continue
        if any(not (folder / jar.filename).exists() for jar in jars):
            progress(f"Fetching {len(jars)} jars for {name}")
            _download(place, name, jars)
        verify(folder, jars)
        (folder / STAMP).write_text(stamp_text(jars), encoding="utf-8")


def verify(folder: Path, jars: Iterable[Jar]) -> None:
    """Raises ConfigurationError naming the first jar that is missing or is not the locked one."""
    for jar in jars:
        path = folder / jar.filename
        found = _sha256(path) if path.exists() else "nothing"
        if found != jar.sha256:
            raise ConfigurationError(
                f"{path} is not the locked jar",
                doing=f"checking it against {LOCK}",
                why=f"its SHA-256 is {found}, the lock says {jar.sha256}",
                hint=f"Remove {path} and run the command again; if it stays, the repository that served it is not to be trusted.",
            )


def ivy_module(name: str, jars: Iterable[Jar]) -> str:
    """The ivy.xml that downloads exactly these jars and none of their dependencies."""
    lines = [
        f'<dependency org="{jar.group}" name="{jar.artifact}" rev="{jar.version}" transitive="false" conf="default->master"/>'
        for jar in jars
    ]
    return (
        f'<ivy-module version="2.0"><info organisation="rd360" module="{name}"/>'
        f'<configurations><conf name="default"/></configurations><dependencies>{"".join(lines)}</dependencies></ivy-module>'
    )


def stamp_text(jars: Iterable[Jar]) -> str:
    """What a verified folder is stamped with: changes whenever a line of its lock does."""
    return hashlib.sha256("\n".join(f"{jar.sha256} {jar.filename}" for jar in jars).encode()).hexdigest()


def _download(place: Place, name: str, jars: list[Jar]) -> None:
    place.jars.mkdir(parents=True, exist_ok=True)
    # a folder beside the final one: two at once do not meet, and an interrupted download leaves nothing half done
    with tempfile.TemporaryDirectory(dir=place.jars, prefix=f".{name}-") as part:
        module = Path(part) / "ivy.xml"
        module.write_text(ivy_module(name, jars), encoding="utf-8")
        pattern = f"{part}/[artifact]-[revision](-[classifier]).[ext]"
        command = [str(java()), "-jar", str(_ivy(place)), "-cache", f"{part}/cache", "-ivy", str(module)]
        done = subprocess.run(
            [*command, "-retrieve", pattern, "-types", "jar", "bundle"], capture_output=True, text=True, check=False
        )
        if done.returncode != 0 or "UNRESOLVED DEPENDENCIES" in done.stdout:
            raise DependencyUnavailable(
                f"The jars for {name} could not be downloaded",
                doing="fetching them from Maven's repositories with Ivy",
                why=_reason(done.stdout + done.stderr),
                hint="Check the network (JAVA_TOOL_OPTIONS=-Dhttps.proxyHost=... sets a proxy), then run it again.",
            )
        verify(Path(part), jars)
        folder = place.jars / name
        folder.mkdir(exist_ok=True)
        for jar in jars:
            (Path(part) / jar.filename).replace(folder / jar.filename)
        _remove_others(folder, jars)


def _remove_others(folder: Path, jars: Iterable[Jar]) -> None:
    # the whole folder is the class path: a jar of an older lock would be on it too
    wanted = {jar.filename for jar in jars}
    for path in folder.glob("*.jar"):
        if path.name not in wanted:
            path.unlink()


def _ivy(place: Place) -> Path:
    found = sorted((place.package_folder("pyspark") / "jars").glob("ivy-*.jar"))
    if not found:
        raise ConfigurationError(
            "pyspark has no Ivy", doing="fetching jars", why="its jars folder has no ivy-*.jar", hint="Run `./rd360 doctor`."
        )
    return found[-1]


def _reason(output: str) -> str:
    lines = [
        line.strip() for line in output.splitlines() if any(word in line for word in ("WARN", "ERROR", "not found", "Exception"))
    ]
    return " / ".join(lines[:4])[:600] or output.strip()[-300:]


def _stamp(folder: Path) -> str:
    path = folder / STAMP
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
