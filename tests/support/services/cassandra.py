"""Apache Cassandra, one node: a quick one, one that keeps what it acknowledged, a guarded one."""

import contextlib
import ssl
from collections.abc import Iterator
from pathlib import Path

from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import Cluster, NoHostAvailable, Session

from tests.support.services import pins, programs
from tests.support.services.certificates import Authority
from tests.support.services.server import Server, accepts, free_port

HEAP = "512m"
# What Cassandra asks of Java 17; see conf/jvm17-server.options of its distribution.
EXPORTS = (
    "java.base/java.lang.ref",
    "java.base/jdk.internal.misc",
    "java.management.rmi/com.sun.jmx.remote.internal.rmi",
    "java.rmi/sun.rmi.registry",
    "java.rmi/sun.rmi.server",
    "java.sql/java.sql",
    "jdk.attach/sun.tools.attach",
    "jdk.compiler/com.sun.tools.javac.file",
    "jdk.unsupported/sun.misc",
)
OPENS = (
    "java.base/java.io",
    "java.base/java.lang",
    "java.base/java.lang.module",
    "java.base/java.lang.reflect",
    "java.base/java.util",
    "java.base/jdk.internal.loader",
    "java.base/jdk.internal.math",
    "java.base/jdk.internal.module",
    "java.base/jdk.internal.ref",
    "java.base/jdk.internal.reflect",
    "java.base/jdk.internal.util.jar",
    "java.base/sun.nio.ch",
    "jdk.compiler/com.sun.tools.javac",
    "jdk.management/com.sun.management.internal",
)
SETTINGS = """cluster_name: tests
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
endpoint_snitch: SimpleSnitch
num_tokens: 1
auto_bootstrap: false
storage_compatibility_mode: NONE
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters:
      - seeds: "127.0.0.1:{storage_port}"
listen_address: 127.0.0.1
rpc_address: 127.0.0.1
storage_port: {storage_port}
native_transport_port: {port}
data_file_directories: ["{folder}/data/data"]
commitlog_directory: {folder}/data/commitlog
hints_directory: {folder}/data/hints
saved_caches_directory: {folder}/data/saved_caches
cdc_raw_directory: {folder}/data/cdc_raw
commitlog_segment_size: 32MiB
commitlog_total_space: 512MiB
memtable_heap_space: 128MiB
memtable_offheap_space: 128MiB
key_cache_size: 16MiB
counter_cache_size: 0MiB
file_cache_size: 64MiB
networking_cache_size: 32MiB
concurrent_reads: 16
concurrent_writes: 16
concurrent_counter_writes: 4
concurrent_compactors: 1
native_transport_max_threads: 32
auto_snapshot: false
disk_failure_policy: die
commit_failure_policy: die
read_request_timeout: 10000ms
range_request_timeout: 20000ms
write_request_timeout: 10000ms
request_timeout: 20000ms
"""
UNSYNCED = "commitlog_sync: periodic\ncommitlog_sync_period: 10000ms\n"
SYNCED = "commitlog_sync: batch\n"
GUARDED = """authenticator:
  class_name: PasswordAuthenticator
authorizer:
  class_name: CassandraAuthorizer
role_manager:
  class_name: CassandraRoleManager
credentials_validity: 0ms
roles_validity: 0ms
permissions_validity: 0ms
client_encryption_options:
  enabled: true
  optional: false
  require_client_auth: false
  keystore: {keystore}
  keystore_password: {password}
  store_type: PKCS12
"""
LOGGING = """<configuration>
  <appender name="OUT" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%date{ISO8601} %level %logger{0} %msg%n</pattern></encoder>
  </appender>
  <root level="INFO"><appender-ref ref="OUT"/></root>
</configuration>
"""


class Cassandra(Server):
    """One node.

    Args:
        folder: Holds everything.
        synced: Whether it acknowledges a write only when the commit log is on the disk, so that
            a kill loses nothing; it is slower so.
        more: Settings beside the usual ones, as YAML.
    """

    host = "127.0.0.1"

    def __init__(self, folder: Path, synced: bool = False, more: str = "") -> None:
        super().__init__(folder)
        self.port = free_port()
        self._jmx_port = free_port()
        self._synced = synced
        known = {"folder": folder, "port": self.port, "storage_port": free_port()}
        sync = SYNCED if synced else UNSYNCED
        self._settings = SETTINGS.format_map(known) + sync + more
        self._program = programs.cassandra(folder)
        self.container = self._program.container

    def url(self, keyspace: str) -> str:
        """The URL of a store; a keyspace that is missing gets one copy."""
        return f"cassandra://{self.host}:{self.port}/{keyspace}?replication=1"

    @contextlib.contextmanager
    def session(self) -> Iterator[Session]:
        """A session of the driver, as a user who may do everything."""
        cluster = self._cluster()
        try:
            yield cluster.connect()
        finally:
            cluster.shutdown()

    def make_keyspace(self, name: str) -> None:
        """Make a keyspace with one copy."""
        copies = "{'class': 'SimpleStrategy', 'replication_factor': 1}"
        with self.session() as session:
            session.execute(f"create keyspace {name} with replication = {copies}")

    def command(self) -> list[str]:
        settings, logging = self.folder / "cassandra.yaml", self.folder / "logback.xml"
        settings.write_text(self._settings)
        logging.write_text(LOGGING)
        temporary = self.folder / "tmp"
        temporary.mkdir(exist_ok=True)
        libraries = self._program.libraries
        properties = {
            "java.io.tmpdir": temporary,
            "logback.configurationFile": settings.with_name("logback.xml"),
            "cassandra.config": f"file://{settings}",
            "cassandra.logdir": self.folder,
            "cassandra.storagedir": self.folder / "data",
            "cassandra.jmx.local.port": self._jmx_port,
            "cassandra.skip_wait_for_gossip_to_settle": 0,
            "cassandra.ring_delay_ms": 100,
            "cassandra.superuser_setup_delay_ms": 0,
            "cassandra.shutdown_announce_in_ms": 0,
            "cassandra.unsafesystem": str(not self._synced).lower(),
        }
        return [
            *self._program.command,
            f"-Xms{HEAP}",
            f"-Xmx{HEAP}",
            f"-XX:MaxDirectMemorySize={HEAP}",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-XX:-UsePerfData",
            "-XX:+ExitOnOutOfMemoryError",
            "-Xss512k",
            "-Djava.net.preferIPv4Stack=true",
            "-Djdk.attach.allowAttachSelf=true",
            "-Dio.netty.tryReflectionSetAccessible=true",
            *(f"--add-exports={name}=ALL-UNNAMED" for name in EXPORTS),
            *(f"--add-opens={name}=ALL-UNNAMED" for name in OPENS),
            *(f"-D{name}={value}" for name, value in properties.items()),
            f"-javaagent:{libraries}/jamm-{pins.JAMM_VERSION}.jar",
            "-cp",
            f"{libraries}/*",
            "org.apache.cassandra.service.CassandraDaemon",
        ]

    def is_ready(self) -> bool:
        return accepts(self.port)

    def _cluster(self) -> Cluster:
        return Cluster([self.host], port=self.port)


class SecureCassandra(Cassandra):
    """A node that speaks TLS only and asks for a name and a password."""

    user = "cassandra"
    password = "cassandra"

    def __init__(self, folder: Path) -> None:
        authority = Authority(folder)
        self.ca = authority.ca
        self.other_ca = Authority(folder, "stranger").ca
        server = authority.sign("node")
        more = GUARDED.format(keystore=server.keystore, password=server.password)
        super().__init__(folder, more=more)

    def url(self, keyspace: str) -> str:
        """The URL of a store with the name and the password; how to trust `ca` is missing."""
        address = f"{self.host}:{self.port}/{keyspace}?replication=1"
        return f"cassandra://{self.user}:{self.password}@{address}"

    def is_ready(self) -> bool:
        if not super().is_ready():
            return False
        # The first user is made a moment after the port is open.
        try:
            with self.session():
                return True
        except NoHostAvailable:
            return False

    def _cluster(self) -> Cluster:
        return Cluster(
            [self.host],
            port=self.port,
            ssl_context=ssl.create_default_context(cafile=self.ca),
            auth_provider=PlainTextAuthProvider(self.user, self.password),
        )
