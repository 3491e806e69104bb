"""Apache Kafka in KRaft mode: one broker, one that asks who is there, or three."""

import base64
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from tests.support.services import programs
from tests.support.services.certificates import Authority, Certificate
from tests.support.services.server import Server, free_port

HEAP = "384m"
LOGGING = """status=error
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d{ISO8601} %p %m (%c)%n
rootLogger.level=INFO
rootLogger.appenderRef.out.ref=out
"""
# A small machine, many tests: few threads and buffers, groups that form at once, short sessions.
SMALL = {
    "process.roles": "broker,controller",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "auto.create.topics.enable": "false",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.num.partitions": "4",
    "num.network.threads": "2",
    "num.io.threads": "4",
    "log.cleaner.dedupe.buffer.size": "16777216",
    "log.segment.delete.delay.ms": "1000",
    # A broker that was killed is missed soon, and may come back.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
}
PROTOCOLS = "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT"


def java(program: programs.Program, logging: Path) -> list[str]:
    """Java for a small machine, before the class to run; `logging` gets its settings."""
    sizes = [f"-Xmx{HEAP}", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"]
    logging.write_text(LOGGING)
    settings = f"-Dlog4j2.configurationFile={logging}"
    return [*program.command, *sizes, settings, "-cp", f"{program.libraries}/*"]


def random_id() -> str:
    """An identifier as Kafka makes them."""
    text = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    return random_id() if text.startswith("-") else text


@dataclass(frozen=True, slots=True)
class Node:
    """A broker's number, ports and directory, before it is started."""

    number: int
    port: int
    controller_port: int
    directory: str

    @classmethod
    def new(cls, number: int) -> "Node":
        return cls(number, free_port(), free_port(), random_id())

    @property
    def voter(self) -> str:
        return f"{self.number}@127.0.0.1:{self.controller_port}:{self.directory}"


class Broker(Server):
    """One process of Kafka.

    Args:
        folder: Holds everything.
        node: This one.
        nodes: All of the cluster, this one as well.
        cluster: The identifier of the cluster.
        settings: Server properties beside the usual ones; `listeners` are added to the plain one.
        users: Name and password of each user of SCRAM-SHA-512 and SCRAM-SHA-256.
    """

    def __init__(
        self,
        folder: Path,
        node: Node,
        nodes: list[Node],
        cluster: str,
        settings: dict[str, str] | None = None,
        users: dict[str, str] | None = None,
    ) -> None:
        super().__init__(folder)
        self.node = node
        self._nodes = nodes
        self._cluster = cluster
        self._settings = settings or {}
        self._users = users or {}
        self._properties = folder / "server.properties"
        self._logging = folder / "log4j2.properties"
        self._program = programs.kafka(folder)
        self.container = self._program.container

    def command(self) -> list[str]:
        if not (self.folder / "data").exists():
            self._properties.write_text("".join(f"{k}={v}\n" for k, v in self._all().items()))
            self.run([*self._java(), "kafka.tools.StorageTool", *self._format()])
        return [*self._java(), "kafka.Kafka", str(self._properties)]

    def is_ready(self) -> bool:
        return "Kafka Server started" in self.said()

    def _java(self) -> list[str]:
        return java(self._program, self._logging)

    def _format(self) -> list[str]:
        voters = ",".join(node.voter for node in self._nodes)
        scram = [
            f"--add-scram={mechanism}=[name={name},password={password}]"
            for name, password in self._users.items()
            for mechanism in ("SCRAM-SHA-512", "SCRAM-SHA-256")
        ]
        return [
            "format",
            f"--cluster-id={self._cluster}",
            f"--config={self._properties}",
            f"--initial-controllers={voters}",
            *scram,
        ]

    def _all(self) -> dict[str, str]:
        copies = min(3, len(self._nodes))
        kept = max(1, copies - 1)
        controller = f"CONTROLLER://127.0.0.1:{self.node.controller_port}"
        plain = f"PLAINTEXT://127.0.0.1:{self.node.port}"
        more = dict(self._settings)
        extra = f",{listeners}" if (listeners := more.pop("listeners", "")) else ""
        protocols = more.pop("protocols", "")
        voters = (f"127.0.0.1:{node.controller_port}" for node in self._nodes)
        return SMALL | {
            "node.id": str(self.node.number),
            "log.dirs": str(self.folder / "data"),
            "controller.quorum.bootstrap.servers": ",".join(voters),
            "listeners": f"{plain},{controller}{extra}",
            "advertised.listeners": f"{plain},{controller}{extra}",
            "listener.security.protocol.map": f"{PROTOCOLS}{protocols}",
            "default.replication.factor": str(copies),
            "min.insync.replicas": str(kept),
            "offsets.topic.replication.factor": str(copies),
            "transaction.state.log.replication.factor": str(copies),
            "transaction.state.log.min.isr": str(kept),
            "share.coordinator.state.topic.replication.factor": str(copies),
            "share.coordinator.state.topic.min.isr": str(kept),
            **more,
        }


class Kafka(Broker):
    """One broker; `bootstrap` is its address without any security."""

    def __init__(
        self,
        folder: Path,
        settings: dict[str, str] | None = None,
        users: dict[str, str] | None = None,
    ) -> None:
        node = Node.new(1)
        super().__init__(folder, node, [node], random_id(), settings, users)
        self.bootstrap = f"127.0.0.1:{node.port}"

    def create(self, topic: str, partitions: int = 1, **config: str) -> None:
        """Create a topic; `cleanup_policy="compact"` is Kafka's `cleanup.policy`."""
        create(self.bootstrap, topic, partitions, **config)


class SecureKafka(Kafka):
    """One broker that speaks TLS and asks for a name and a password, or for a certificate.

    `bootstrap` is SASL_SSL with SCRAM-SHA-512 or -256; `mutual_bootstrap` is SSL with a
    certificate of the client, as `client`; `plain_bootstrap` is as on any other broker.
    """

    user = "alice"
    password = "alice-secret"

    def __init__(self, folder: Path) -> None:
        authority = Authority(folder)
        self.ca = authority.ca
        self.other_ca = Authority(folder, "stranger").ca
        self.client: Certificate = authority.sign("client")
        port, mutual_port = free_port(), free_port()
        keystore = authority.sign("broker").both
        settings = {
            "listeners": f"SASL_SSL://127.0.0.1:{port},SSL://127.0.0.1:{mutual_port}",
            "protocols": ",SASL_SSL:SASL_SSL,SSL:SSL",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(keystore),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.ca),
            "listener.name.ssl.ssl.client.auth": "required",
            "sasl.enabled.mechanisms": "SCRAM-SHA-512,SCRAM-SHA-256",
        }
        for mechanism in ("scram-sha-512", "scram-sha-256"):
            settings[f"listener.name.sasl_ssl.{mechanism}.sasl.jaas.config"] = (
                "org.apache.kafka.common.security.scram.ScramLoginModule required;"
            )
        super().__init__(folder, settings, {self.user: self.password})
        self.plain_bootstrap = self.bootstrap
        self.bootstrap = f"127.0.0.1:{port}"
        self.mutual_bootstrap = f"127.0.0.1:{mutual_port}"

    def create(self, topic: str, partitions: int = 1, **config: str) -> None:
        """Create a topic, without any password."""
        create(self.plain_bootstrap, topic, partitions, **config)


# A controller that was killed is missed soon.
QUICK = {
    "replica.lag.time.max.ms": "3000",
    "controller.quorum.election.timeout.ms": "500",
    "controller.quorum.fetch.timeout.ms": "1000",
}


class KafkaCluster:
    """Three brokers, numbered 1 to 3; each topic has three copies, and is written to two."""

    def __init__(self, folder: Path) -> None:
        nodes = [Node.new(number) for number in (1, 2, 3)]
        cluster = random_id()
        self.brokers: dict[int, Broker] = {}
        for node in nodes:
            place = folder / f"broker-{node.number}"
            place.mkdir()
            self.brokers[node.number] = Broker(place, node, nodes, cluster, QUICK)
        self.bootstrap = ",".join(f"127.0.0.1:{node.port}" for node in nodes)

    def start_all(self) -> None:
        """Start those that do not run.

        Raises:
            StartError: One did not become ready.
        """
        for broker in self.brokers.values():
            if broker.pid is None:
                broker.launch()
        for broker in self.brokers.values():
            broker.wait_until_ready()

    def kill(self, number: int) -> None:
        """End a broker with SIGKILL."""
        self.brokers[number].kill()

    def start(self, number: int) -> None:
        """Start a broker that was killed.

        Raises:
            StartError: It did not become ready.
        """
        self.brokers[number].start()

    def leader(self, topic: str, partition: int) -> int:
        """The number of the broker that leads a partition; -1 when none does."""
        client = AdminClient({"bootstrap.servers": self.bootstrap})
        found = client.list_topics(topic, timeout=10).topics[topic].partitions
        return int(found[partition].leader)

    def create(self, topic: str, partitions: int = 1, **config: str) -> None:
        """Create a topic with three copies."""
        create(self.bootstrap, topic, partitions, **config)

    def __enter__(self) -> Self:
        try:
            self.start_all()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        for broker in self.brokers.values():
            broker.kill()


def create(bootstrap: str, topic: str, partitions: int = 1, **config: str) -> None:
    """Create a topic with the cluster's number of copies; returns when clients see it."""
    client = AdminClient({"bootstrap.servers": bootstrap})
    named = {key.replace("_", "."): value for key, value in config.items()}
    new = NewTopic(topic, num_partitions=partitions, replication_factor=-1, config=named)
    client.create_topics([new])[topic].result(30)
    deadline = time.monotonic() + 30
    while len(client.list_topics(topic, timeout=10).topics[topic].partitions) < partitions:
        assert time.monotonic() < deadline, f"{topic} was created, and nobody sees it"
        time.sleep(0.05)
