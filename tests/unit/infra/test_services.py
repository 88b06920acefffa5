"""The services as data: names that exist, ports that do not meet, orders that respect what each waits for."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.errors import UsageError
from contracts.settings import Settings
from infra.stack import kafka, mlflow, objectstore
from infra.stack.place import Place
from infra.stack.services import MINIO, SERVICES, closure, services, stopping_waves


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        home=tmp_path, port_offset=500, s3_access_key="the-access-key", s3_secret_key="the-secret-key", postgres_password="pw"
    )


def test_every_need_is_a_service_that_starts_earlier() -> None:
    names = list(SERVICES)
    for service in SERVICES.values():
        assert all(names.index(need) < names.index(service.name) for need in service.needs), service.name


@pytest.mark.parametrize("store", ["seaweedfs", "minio"])
def test_no_two_services_share_a_port_also_with_a_stack_moved_by_a_thousand(settings: Settings, store: str) -> None:
    chosen = settings.model_copy(update={"object_store": store})
    moved = [chosen.model_copy(update={"port_offset": offset}) for offset in (0, 1000)]
    ports = [claim.port for one in moved for service in services(one).values() for claim in service.claims(one)]
    # MLflow, the API and MinIO have the ports 5000, 8000 and 9000 by default: only those may meet, and `up` names the holder
    assert {port for port in ports if ports.count(port) > 1} <= {9000}


def test_ports_move_with_the_offset(settings: Settings) -> None:
    assert [claim.port for claim in SERVICES["kafka"].claims(settings)] == [9592, 9593]


def test_asking_for_a_service_brings_what_it_needs_in_starting_order() -> None:
    assert closure(["api"], SERVICES) == ["kafka", "valkey", "postgres", "s3", "mlflow", "api"]


def test_a_service_that_does_not_exist_is_named_with_those_that_do() -> None:
    with pytest.raises(UsageError, match="no service 'kafak'") as caught:
        closure(["kafak"], SERVICES)
    assert "kafka" in caught.value.hint


def test_nothing_stops_before_those_that_need_it() -> None:
    waves = stopping_waves(list(SERVICES), SERVICES)
    position = {name: index for index, wave in enumerate(waves) for name in wave}
    assert position.keys() == SERVICES.keys()
    for service in SERVICES.values():
        assert all(position[service.name] < position[need] for need in service.needs), service.name


def test_minio_takes_the_place_of_seaweedfs_when_asked_for(settings: Settings) -> None:
    assert services(settings.model_copy(update={"object_store": "minio"}))["s3"] is MINIO
    assert services(settings)["s3"] is SERVICES["s3"]


def test_an_address_makes_a_service_somebody_elses(settings: Settings) -> None:
    elsewhere = settings.model_copy(update={"kafka_bootstrap": "broker:9092"})
    assert SERVICES["kafka"].is_external(elsewhere)
    assert not SERVICES["kafka"].is_external(settings)


def test_kafka_listens_on_loopback_alone_and_makes_no_topic_by_accident(settings: Settings) -> None:
    lines = kafka.server_properties(Place(settings)).splitlines()
    assert "listeners=PLAINTEXT://127.0.0.1:9592,CONTROLLER://127.0.0.1:9593" in lines
    assert "auto.create.topics.enable=false" in lines


def test_no_secret_stands_on_a_command_line(settings: Settings) -> None:
    place = Place(settings)
    words = [*objectstore.seaweedfs_command(place), *mlflow.command(place)]
    assert not [word for word in words if "the-secret-key" in word or "the-access-key" in word or "pw@" in word]


def test_every_address_seaweedfs_is_given_is_loopback(settings: Settings) -> None:
    command = objectstore.seaweedfs_command(Place(settings))
    assert "-ip=127.0.0.1" in command
    assert "-ip.bind=127.0.0.1" in command


def test_the_lakes_jars_come_with_its_store_also_when_that_is_somebody_elses(settings: Settings) -> None:
    elsewhere = settings.model_copy(update={"s3_endpoint": "http://store:9000", "object_store": "minio"})
    assert services(elsewhere)["s3"].installs(elsewhere) == {"java", "spark jars"}
    assert SERVICES["kafka"].installs(settings) == {"java", "kafka jars"}
