"""The S3 gateway of Versity: objects are files of a folder."""

import itertools
from pathlib import Path

from tests.support.services import programs
from tests.support.services.server import Server, accepts, free_port


class S3(Server):
    """An S3 server with conditional puts; each bucket is a folder."""

    access_key = "tester"
    secret_key = "tester-secret"
    region = "us-east-1"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.port = free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self._program = programs.s3(folder)
        self.container = self._program.container
        self._numbers = itertools.count(1)
        self._buckets, self._attributes = folder / "buckets", folder / "attributes"
        for place in (self._buckets, self._attributes):
            place.mkdir(exist_ok=True)

    def bucket(self, name: str = "test") -> str:
        """The name of a new, empty bucket, which begins with this one."""
        made = f"{name}-{next(self._numbers)}"
        (self._buckets / made).mkdir()
        return made

    def environment(self) -> dict[str, str]:
        """The settings that S3 tools read from the environment."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": self.region,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ALLOW_HTTP": "true",
        }

    def command(self) -> list[str]:
        keys = ["--access", self.access_key, "--secret", self.secret_key]
        where = ["--port", f"127.0.0.1:{self.port}", "--region", self.region]
        files = ["posix", "--sidecar", str(self._attributes), str(self._buckets)]
        return [*self._program.command, *where, *keys, *files]

    def is_ready(self) -> bool:
        return accepts(self.port)
