"""The jar lock: every line is read or refused, and a jar that is not the locked one is never used."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from contracts.errors import ConfigurationError
from contracts.settings import CHECKOUT
from infra.stack import fetch

SHA = hashlib.sha256(b"content").hexdigest()
LINE = f"{SHA}  org.example:tool_2.13:1.0  kafka/tool_2.13-1.0.jar"


def test_a_line_is_a_checksum_a_coordinate_and_a_file_of_a_set() -> None:
    assert fetch.read_lock(f"# a comment\n\n{LINE}\n") == [
        fetch.Jar(SHA, "org.example", "tool_2.13", "1.0", "kafka", "tool_2.13-1.0.jar")
    ]


@pytest.mark.parametrize(
    "line", ["nonsense", f"{SHA}  org:tool  kafka/x.jar", f"abc  {LINE[66:]}", f"{SHA}  a:b:c  ../../etc/x.jar"]
)
def test_a_line_that_is_none_is_refused_by_its_number(line: str) -> None:
    with pytest.raises(ConfigurationError, match="Line 2"):
        fetch.read_lock(f"{LINE}\n{line}\n")


def test_the_locked_jar_passes(tmp_path: Path) -> None:
    (tmp_path / "tool_2.13-1.0.jar").write_bytes(b"content")
    fetch.verify(tmp_path, fetch.read_lock(LINE))


@pytest.mark.parametrize("content", [b"contenT", None])
def test_another_jar_or_none_is_refused_with_both_checksums(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "tool_2.13-1.0.jar").write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        fetch.verify(tmp_path, fetch.read_lock(LINE))
    assert SHA in caught.value.why
    assert (hashlib.sha256(content).hexdigest() if content else "nothing") in caught.value.why


def test_ivy_is_told_to_fetch_the_locked_jars_and_nothing_they_ask_for() -> None:
    module = fetch.ivy_module("kafka", fetch.read_lock(LINE))
    assert 'org="org.example" name="tool_2.13" rev="1.0" transitive="false"' in module


def test_a_changed_line_makes_a_verified_folder_stale() -> None:
    changed = fetch.read_lock(LINE.replace(SHA, "0" * 64))
    assert fetch.stamp_text(fetch.read_lock(LINE)) != fetch.stamp_text(changed)


def test_the_projects_own_lock_has_both_sets_and_no_jar_twice() -> None:
    jars = fetch.read_lock((CHECKOUT / fetch.LOCK).read_text())
    assert {jar.set for jar in jars} == set(fetch.SETS)
    assert len({(jar.set, jar.artifact) for jar in jars}) == len(jars)
