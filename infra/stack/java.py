"""The Java runtime that Kafka and Spark need."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from contracts.errors import ConfigurationError

OLDEST, NEWEST = 17, 21  # Kafka 4.1 and Spark 4.1 need 17; newer ones than 21 break Spark's use of the security manager
INSTALL = "apt-get install -y openjdk-17-jre-headless   (or your system's package of a Java 17 runtime)"


def java() -> Path:
    """The java program of JAVA_HOME or of the PATH. Raises ConfigurationError naming the command that installs one."""
    home = os.environ.get("JAVA_HOME")
    found = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    if not found or not Path(found).exists():
        raise ConfigurationError(
            "Java 17 is not installed",
            doing="looking for a Java runtime",
            why=f"JAVA_HOME={home} has no bin/java" if home else "there is no `java` on the PATH and JAVA_HOME is not set",
            hint=INSTALL,
        )
    version = java_version(Path(found))
    if not OLDEST <= version <= NEWEST:
        raise ConfigurationError(
            f"Java {version} cannot run the platform",
            doing=f"checking {found}",
            why=f"Kafka and Spark need a Java from {OLDEST} to {NEWEST}",
            hint=f"{INSTALL}, and set JAVA_HOME to it.",
        )
    return Path(found)


def java_version(program: Path) -> int:
    """The feature version of a java program, such as 17. Raises ConfigurationError when it does not tell."""
    try:
        said = subprocess.run([program, "-version"], capture_output=True, text=True, timeout=60, check=True).stderr
    except (OSError, subprocess.SubprocessError) as error:
        raise ConfigurationError(f"{program} does not run", doing="asking its version", why=str(error), hint=INSTALL) from error
    return parse_version(said)


def parse_version(said: str) -> int:
    """The feature version in what `java -version` prints: 8 for "1.8.0_392", 17 for "17.0.15"."""
    match = re.search(r'version "(?:1\.)?(\d+)', said)
    if not match:
        raise ConfigurationError(
            "Java does not tell its version", doing="reading `java -version`", why=said.strip()[:200], hint=INSTALL
        )
    return int(match.group(1))
