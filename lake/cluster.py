"""What a session on a cluster needs that a local one does not: a master that answers, our packages on its executors, and what
is computed once held by two of them.
"""

from __future__ import annotations

import socket
import zipfile
from pathlib import Path
from urllib.parse import urlsplit

from pyspark import SparkFiles, StorageLevel
from pyspark.sql import DataFrame, SparkSession

from contracts.errors import DependencyUnavailable
from contracts.settings import CHECKOUT
from contracts.spark_conf import runs_locally

ANSWER_SECONDS = 3.0
PACKAGES = ("contracts", "lake")  # what the Python functions of our transforms import of ours
_STANDALONE = "spark://"
_SENT = "rd360.zip"


def require_master(master: str) -> None:
    """Raises DependencyUnavailable where no address of a standalone master takes a connection: Spark would try for a minute.

    Other masters are left to Spark, which asks them itself.
    """
    if not master.startswith(_STANDALONE):
        return
    failures = []
    for address in master.removeprefix(_STANDALONE).split(","):
        place = urlsplit(f"//{address}")
        try:
            socket.create_connection((str(place.hostname), place.port or 7077), timeout=ANSWER_SECONDS).close()
        except OSError as error:
            failures.append(f"{address}: {error}")
        else:
            return
    raise DependencyUnavailable(
        f"No Spark master answers at {master}",
        doing="opening a Spark session",
        why="; ".join(failures),
        hint="RD360_SPARK_MASTER names it; `local[*]` needs none.",
    )


def send_packages(session: SparkSession) -> None:
    """Gives the Python workers of a cluster our packages, once for each Spark context."""
    folder = Path(SparkFiles.getRootDirectory()) / "sent"  # goes with the session
    if folder.exists():
        return
    folder.mkdir()
    session.sparkContext.addPyFile(str(zipped(CHECKOUT, folder / _SENT)))


def zipped(checkout: Path, target: Path) -> Path:
    """Writes the modules of PACKAGES to a zip file that Python imports from. Returns its path."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for package in PACKAGES:
            for module in sorted((checkout / package).rglob("*.py")):
                archive.write(module, module.relative_to(checkout))
    return target


def computed_once(rows: DataFrame) -> DataFrame:
    """The same rows, computed now and never again, whatever is written meanwhile to the tables that they come from.

    They stay with the executors. On a cluster two have each block, so that the loss of one takes none.
    """
    if runs_locally(str(rows.sparkSession.sparkContext.master)):
        return rows.localCheckpoint()
    return rows.localCheckpoint(storageLevel=StorageLevel.MEMORY_AND_DISK_2)
