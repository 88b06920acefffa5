"""`rd360 test`: ports for a stack of its own, and every check that it promises."""

from __future__ import annotations

import tomllib

import pytest

from contracts.errors import ConfigurationError
from contracts.settings import CHECKOUT, Settings
from infra.cli import test as command
from infra.stack.services import services

FIRST_LENT_PORT = 32_768  # from here Linux lends ports to outgoing connections


def test_the_tests_stack_takes_the_first_offset_at_which_every_port_is_free() -> None:
    busy = 9092 + command.OFFSETS[0]
    assert command.free_offset(Settings(), taken=lambda port: port == busy) == command.OFFSETS[1]


def test_what_starts_servers_beside_a_stack_looks_from_its_ports_on_and_meets_no_other_stack_first() -> None:
    first, other = command.OFFSETS[0], command.OFFSETS[len(command.OFFSETS) // 2]
    beside = (command.free_offset(Settings(port_offset=offset), taken=lambda _: False) for offset in (first, other))
    assert tuple(beside) == (first, other)
    full = {9092 + offset for offset in command.OFFSETS if offset >= other}
    assert command.free_offset(Settings(port_offset=other), taken=lambda port: port in full) == first, "there is room before it"


def test_a_machine_without_a_free_offset_is_told_so() -> None:
    with pytest.raises(ConfigurationError, match="no room for a second stack"):
        command.free_offset(Settings(), taken=lambda _: True)


@pytest.mark.parametrize("store", ["seaweedfs", "minio"])
def test_no_port_of_the_tests_stack_can_be_lent_to_somebody_else(store: str) -> None:
    settings = Settings(object_store=store, port_offset=max(command.OFFSETS))
    assert max(claim.port for service in services(settings).values() for claim in service.claims(settings)) < FIRST_LENT_PORT


@pytest.mark.parametrize(
    ("codes", "selecting", "told"),
    [
        ((0, 0), False, 0),
        ((0, 1), False, 1),
        ((2, 0), False, 2),
        ((0, -9), False, -9),
        ((0, 5), False, 5),
        ((0, 5), True, 0),
        ((5, 1), True, 1),
        ((5, 5), True, 5),
    ],
    ids=str,
)
def test_the_tests_pass_where_every_part_did(codes: tuple[int, int], selecting: bool, told: int) -> None:
    assert command.verdict(codes, selecting) == told


def test_types_are_checked_in_every_package_that_the_configuration_names() -> None:
    configured = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["tool"]["mypy"]["packages"]
    assert set(command.PACKAGES) == set(configured)
    assert all(package in command.static_checks()["types"] for package in configured)


def test_there_are_tests_of_the_lake_to_run_beside_the_others() -> None:
    assert any(CHECKOUT.glob(command.LAKE_TESTS))  # pytest without a file would run everything once more


def test_the_fast_tests_are_all_folders_of_tests_that_need_no_stack() -> None:
    with_a_stack = {"integration", "e2e", "bench", "drills"}
    folders = {f"tests/{path.name}" for path in (CHECKOUT / "tests").iterdir() if any(path.glob("**/test_*.py"))}
    assert folders - {f"tests/{name}" for name in with_a_stack} <= set(command.PURE_TESTS)
