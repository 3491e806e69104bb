"""OpenSearch, one node without any plugin, and with one module: its transport."""

import http.client
import json
from pathlib import Path

from tests.support.services import downloads, pins
from tests.support.services.server import Server, free_port

HEAP = "256m"
DESCRIPTOR = f"""description=The transport
version={pins.OPENSEARCH_VERSION}
name=transport-netty4
classname=org.opensearch.transport.Netty4ModulePlugin
java.version=21
opensearch.version={pins.OPENSEARCH_VERSION}
has.native.controller=false
"""
LOGGING = """status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d %-5p %c{1.} %m%n
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
"""


class OpenSearchNode(Server):
    """A node that asks nobody for a password; its data survive a kill."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.port = free_port()
        self.url = f"opensearch://127.0.0.1:{self.port}"
        self._transport_port = free_port()
        self._java = downloads.java_21()
        self._home = folder / "home"
        server, transport = downloads.opensearch()
        own = {jar.name: jar for jar in server.glob("*.jar")}
        module = self._home / "modules" / "transport-netty4"
        for part, jars in (
            (self._home / "lib", own.values()),
            (module, [jar for jar in transport.glob("*.jar") if jar.name not in own]),
        ):
            part.mkdir(parents=True)
            for jar in jars:
                (part / jar.name).symlink_to(jar)
        (module / "plugin-descriptor.properties").write_text(DESCRIPTOR)
        for name in ("config", "plugins", "logs"):
            (self._home / name).mkdir()
        (self._home / "config" / "log4j2.properties").write_text(LOGGING)

    def command(self) -> list[str]:
        settings = {
            "discovery.type": "single-node",
            "network.host": "127.0.0.1",
            "http.port": self.port,
            "transport.port": self._transport_port,
            "path.data": self.folder / "data",
            "path.logs": self._home / "logs",
            "cluster.routing.allocation.disk.threshold_enabled": "false",
        }
        lines = [f"{name}: {value}" for name, value in settings.items()]
        (self._home / "config" / "opensearch.yml").write_text("\n".join(lines))
        return [
            self._java, f"-Xms{HEAP}", f"-Xmx{HEAP}", "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData",
            # Without the library of JNA it does not know that it is root, whom it refuses.
            "-Djna.nounpack=true", "-Djna.nosys=true",
            f"-Dopensearch.path.home={self._home}",
            f"-Dopensearch.path.conf={self._home / 'config'}",
            "-cp", f"{self._home / 'lib'}/*", "org.opensearch.bootstrap.OpenSearch",
        ]  # fmt: skip

    def is_ready(self) -> bool:
        try:
            self.ask("GET", "/_cluster/health?wait_for_status=yellow&timeout=5s")
        except OSError:
            return False
        return True

    def ask(self, method: str, path: str, body: object = None) -> object:
        """What it answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            sent = None if body is None else json.dumps(body)
            connection.request(method, path, sent, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            said = answer.read()
            if answer.status >= 400:
                raise OSError(f"{method} {path}: {answer.status} {said[:300]!r}")
            return json.loads(said)
        finally:
            connection.close()
