"""Apicurio, a schema registry that speaks Confluent's protocol; it forgets when it ends."""

import http.client
import json
from pathlib import Path

from tests.support.services import programs
from tests.support.services.server import Server, free_port

HEAP = "256m"
API = "/apis/ccompat/v7"


class Registry(Server):
    """A registry that refuses incompatible schemas, as Confluent's does unless told otherwise."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.port = free_port()
        self._management_port = free_port()
        self.url = f"http://127.0.0.1:{self.port}{API}"
        self._program = programs.registry(folder)
        self.container = self._program.container

    def command(self) -> list[str]:
        properties = {
            "quarkus.http.host": "127.0.0.1",
            "quarkus.http.port": self.port,
            "quarkus.management.host": "127.0.0.1",
            "quarkus.management.port": self._management_port,
            "apicurio.datasource.jdbc.initial-size": 2,
            "apicurio.datasource.jdbc.min-size": 2,
        }
        return [
            *self._program.command,
            f"-Xmx{HEAP}",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-XX:-UsePerfData",
            *(f"-D{name}={value}" for name, value in properties.items()),
            "-jar",
            f"{self._program.libraries}/quarkus-run.jar",
        ]

    def is_ready(self) -> bool:
        # Apicurio's own default is to check nothing.
        try:
            return self._put("/config", {"compatibility": "BACKWARD"}) == 200
        except OSError:
            return False

    def _put(self, path: str, content: dict[str, str]) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            kind = {"Content-Type": "application/vnd.schemaregistry.v1+json"}
            connection.request("PUT", API + path, json.dumps(content), kind)
            return connection.getresponse().status
        finally:
            connection.close()
