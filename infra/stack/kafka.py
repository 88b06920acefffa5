"""Apache Kafka in KRaft mode, one node that is broker and controller, from its jars."""

from __future__ import annotations

import base64
import subprocess
import uuid

from contracts.errors import ConfigurationError
from infra.stack.java import java
from infra.stack.place import Place

NODE = 1
LOGGING = """\
status = warn
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{yyyy-MM-dd HH:mm:ss.SSS} %p %m (%c)%n
rootLogger.level = warn
rootLogger.appenderRef.out.ref = out
logger.start.name = kafka.server.KafkaRaftServer
logger.start.level = info
"""


def server_properties(place: Place) -> str:
    """The text of server.properties: loopback only, no topic made by accident, internal topics fit for one node."""
    broker, controller = place.settings.port(9092), place.settings.port(9093)
    values = {
        "process.roles": "broker,controller",
        "node.id": NODE,
        "controller.quorum.voters": f"{NODE}@127.0.0.1:{controller}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{broker}",
        "log.dirs": place.data("kafka"),
        "auto.create.topics.enable": "false",  # a misspelt topic must be an error
        "offsets.topic.replication.factor": 1,
        "offsets.topic.num.partitions": 8,  # 50 are for clusters; each costs files and start-up time
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "transaction.state.log.num.partitions": 8,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        "group.initial.rebalance.delay.ms": 0,  # there is no second consumer to wait for
        "log.segment.bytes": 128 * 1024 * 1024,
        "log.cleaner.dedupe.buffer.size": 8 * 1024 * 1024,
        "message.max.bytes": 4 * 1024 * 1024,
    }
    return "".join(f"{key}={value}\n" for key, value in values.items())


def command(place: Place) -> list[str]:
    """Starts the broker."""
    return [
        *_jvm(place),
        "-Xms256m",
        "-Xmx512m",
        "-XX:+UseG1GC",
        "-XX:MaxGCPauseMillis=20",
        "-XX:+ExitOnOutOfMemoryError",
        "-XX:-UsePerfData",  # else it keeps a file in /tmp
        f"-Dlog4j2.configurationFile={place.run / 'kafka.log4j2.properties'}",
        "kafka.Kafka",
        str(place.run / "kafka.properties"),
    ]


def prepare(place: Place) -> None:
    """Writes the configuration and formats the data folder when it is new. Raises ConfigurationError when that fails."""
    (place.run / "kafka.properties").write_text(server_properties(place), encoding="utf-8")
    (place.run / "kafka.log4j2.properties").write_text(LOGGING, encoding="utf-8")
    data = place.data("kafka")
    if (data / "meta.properties").exists():
        return
    data.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [
            *_jvm(place),
            "kafka.tools.StorageTool",
            "format",
            "-t",
            cluster_id(uuid.uuid4()),
            "-c",
            str(place.run / "kafka.properties"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise ConfigurationError(
            "Kafka's data folder could not be formatted",
            doing=f"formatting {data}",
            why=(done.stdout + done.stderr).strip()[-500:],
        )


def cluster_id(drawn: uuid.UUID) -> str:
    """The name of a new cluster: the drawn number as Kafka writes its own, 22 characters of which the first is no dash."""
    name = base64.urlsafe_b64encode(drawn.bytes).decode().rstrip("=")
    return "A" + name[1:] if name[0] == "-" else name  # every 64th: Kafka's tools take a dash for the next option


def _jvm(place: Place) -> list[str]:
    return [str(java()), "-cp", str(place.jars / "kafka" / "*")]
