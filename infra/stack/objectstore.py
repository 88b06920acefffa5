"""The S3 server: SeaweedFS, or MinIO when the settings ask for it. Both get our keys, our buckets and loopback addresses."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from contracts.errors import ConfigurationError, DependencyUnavailable
from contracts.settings import Settings
from infra.stack.place import Place

WRITE_SECONDS = 60.0  # SeaweedFS answers on its port some seconds before its volumes take the first write
MINIO_MODULE = "github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c"  # the last commit before the project was archived
# no two differ by a multiple of 1000, so that stacks with offsets of 1000, 2000, ... do not meet
SEAWEED_PORTS = {
    "s3": 8333,
    "s3 gRPC": 18335,
    "master": 9341,
    "master gRPC": 19342,
    "volume": 9344,  # its own default, 8080, is Airflow's
    "volume gRPC": 19346,
    "filer": 8888,
    "filer gRPC": 18889,
}
MINIO_PORTS = {"s3": 9000, "console": 9001}


def seaweedfs_command(place: Place) -> list[str]:
    """Starts master, volume server, filer and S3 gateway in one process."""
    port = {name: place.settings.port(default) for name, default in SEAWEED_PORTS.items()}
    return [
        str(place.venv_bin("platform", "weed")),
        "-logtostderr=true",
        "server",
        f"-dir={place.data('seaweedfs')}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        f"-master.port={port['master']}",
        f"-master.port.grpc={port['master gRPC']}",
        "-master.volumeSizeLimitMB=256",
        "-master.electionTimeout=1s",  # there is no other master to hear from
        "-master.telemetry=false",
        f"-volume.port={port['volume']}",
        f"-volume.port.grpc={port['volume gRPC']}",
        "-volume.preStopSeconds=0",  # its default waits 10 s for a load balancer that is not there
        "-volume.max=0",  # as many as the disk holds
        "-filer",
        f"-filer.port={port['filer']}",
        f"-filer.port.grpc={port['filer gRPC']}",
        "-filer.localSocket=seaweedfs-filer.sock",  # relative to run/: its default is a file in /tmp
        "-s3",
        f"-s3.port={port['s3']}",
        f"-s3.port.grpc={port['s3 gRPC']}",
        "-s3.port.iceberg=0",  # its own catalog and its neighbours: ours is in PostgreSQL
        "-s3.port.lance=0",
        "-s3.localSocket=seaweedfs-s3.sock",
        f"-s3.config={place.run / 'seaweedfs.s3.json'}",
    ]


def seaweedfs_prepare(place: Place) -> None:
    """Writes the identities file and makes the data folder."""
    place.data("seaweedfs").mkdir(parents=True, exist_ok=True)
    keys = {"accessKey": place.settings.secret("s3_access_key"), "secretKey": place.settings.secret("s3_secret_key")}
    identity = {"name": "rd360", "credentials": [keys], "actions": ["Admin", "Read", "Write", "List", "Tagging"]}
    path = place.run / "seaweedfs.s3.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps({"identities": [identity]}), encoding="utf-8")


def seaweedfs_environment(_place: Place) -> dict[str, str]:
    """One volume at a time for each bucket: the default grows seven at once."""
    return {"WEED_MASTER_VOLUME_GROWTH_COPY_1": "1"}


def seaweedfs_sockets(settings: Settings) -> tuple[Path, ...]:
    """The sockets for gRPC that it makes beside its ports in /tmp, whatever it is told, and does not always remove."""
    grpc = {name: settings.port(port) for name, port in SEAWEED_PORTS.items() if name.endswith("gRPC")}
    return tuple(Path(f"/tmp/seaweedfs-{name.split()[0]}-grpc-{port}.sock") for name, port in grpc.items())


def minio_command(place: Place) -> list[str]:
    """Starts MinIO with its console on loopback."""
    s3, console = place.settings.port(MINIO_PORTS["s3"]), place.settings.port(MINIO_PORTS["console"])
    addresses = ["--address", f"127.0.0.1:{s3}", "--console-address", f"127.0.0.1:{console}"]
    return [
        str(minio_program(place)),
        "server",
        *addresses,
        "--certs-dir",
        str(place.run / "minio-certs"),
        str(place.data("minio")),
    ]


def minio_environment(place: Place) -> dict[str, str]:
    """MinIO takes its root keys from the environment."""
    return {
        "MINIO_ROOT_USER": place.settings.secret("s3_access_key"),
        "MINIO_ROOT_PASSWORD": place.settings.secret("s3_secret_key"),
        "MINIO_REGION": place.settings.s3_region,
        "MINIO_UPDATE": "off",  # it would ask its maker's server for news of a version that cannot change any more
    }


def minio_prepare(place: Place) -> None:
    """Makes the data folder."""
    place.data("minio").mkdir(parents=True, exist_ok=True)


def minio_program(place: Place) -> Path:
    """The `minio` of the PATH, else the one built into the home folder. Raises ConfigurationError when there is neither."""
    built = place.home / "bin" / "minio"
    found = place.on_path("minio") or (built if built.exists() else None)
    if found is None:
        raise ConfigurationError(
            "There is no MinIO",
            doing="preparing the object store",
            why=f"neither the PATH nor {built.parent} has a `minio`",
            hint="Install Go 1.24 or newer and run it again: it builds MinIO. Or unset RD360_OBJECT_STORE to use SeaweedFS.",
        )
    return found


def ensure_minio(place: Place, progress: Callable[[str], None]) -> None:
    """Builds MinIO with Go when there is none. Raises ConfigurationError without Go, DependencyUnavailable when it fails."""
    go = place.on_path("go")
    if place.on_path("minio") or (place.home / "bin" / "minio").exists() or go is None:
        minio_program(place)
        return
    progress("Building MinIO with Go, once")
    cache = place.home / "cache" / "go"
    env = os.environ | {"GOBIN": str(place.home / "bin"), "GOPATH": str(cache / "path"), "GOCACHE": str(cache / "build")}
    env |= {"GOFLAGS": "-modcacherw", "CGO_ENABLED": "0"}  # writable modules, so that removing the home folder works
    done = subprocess.run([go, "install", MINIO_MODULE], env=env, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise DependencyUnavailable(
            "MinIO could not be built",
            doing=f"running `go install {MINIO_MODULE}`",
            why=done.stderr.strip()[-600:],
            hint="Go 1.24 or newer and its module proxy are needed; or put a `minio` on the PATH.",
        )
    shutil.rmtree(cache)  # 1.5 GB that no later build would use


def create_buckets(place: Place) -> None:
    """Creates missing buckets and waits until the store takes a write. Raises DependencyUnavailable when it does not."""
    import boto3  # imported here: it takes half a second and only this step needs it
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    settings = place.settings
    client = boto3.client(
        "s3",
        endpoint_url=settings.s3,
        region_name=settings.s3_region,
        aws_access_key_id=settings.secret("s3_access_key"),
        aws_secret_access_key=settings.secret("s3_secret_key"),
        config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}, connect_timeout=5, read_timeout=15),
    )
    deadline = time.monotonic() + WRITE_SECONDS
    while True:
        try:
            there = {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}
            for bucket in (settings.lake_bucket, settings.mlflow_bucket):
                if bucket not in there:
                    client.create_bucket(Bucket=bucket)
                client.put_object(Bucket=bucket, Key=".rd360", Body=b"written by `rd360 up` to see that the store takes writes\n")
            return
        except (BotoCoreError, ClientError) as error:
            if time.monotonic() > deadline:
                raise DependencyUnavailable(
                    "The object store takes no writes",
                    doing=f"creating buckets at {settings.s3}",
                    why=str(error),
                    hint="./rd360 logs s3",
                ) from error
            time.sleep(0.5)
