"""PostgreSQL, with TLS for those who want it."""

import itertools
import os
import shutil
import signal
import subprocess
from pathlib import Path

from tests.support.services import downloads
from tests.support.services.certificates import Authority
from tests.support.services.server import Server, accepts, free_port, lent_account

SETTINGS = """listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = '{folder}'
max_connections = 50
ssl = on
ssl_cert_file = '{certificate}'
ssl_key_file = '{key}'
# A killed process loses nothing that it gave to the kernel.
fsync = off
full_page_writes = off
"""


class Postgres(Server):
    """A server whose user owns every database; refuses to run as root, so root lends an account."""

    death_signal = signal.SIGQUIT  # children and shared memory go with it, data stays
    user = "tester"
    password = "secret"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.port = free_port()
        self._programs = downloads.postgres()
        self._data = folder / "data"
        self._numbers = itertools.count(1)
        authority = Authority(folder)
        self.ca = authority.ca
        self.other_ca = Authority(folder, "stranger").ca
        self._certificate = authority.sign("server")
        if os.geteuid() == 0:
            self.account = lent_account("postgres")
            for path in (folder, *folder.iterdir()):
                shutil.chown(path, self.account)

    def url(self, name: str = "test") -> str:
        """The URL of a new, empty database, whose name begins with this one."""
        database = f"{name}_{next(self._numbers)}"
        self.execute(f'create database "{database}"')
        return f"postgresql://{self.user}:{self.password}@127.0.0.1:{self.port}/{database}"

    def execute(self, statement: str, database: str = "postgres") -> None:
        """Run one statement outside of any transaction.

        Raises:
            CalledProcessError: It failed; what the server said is in its log.
        """
        psql = [str(self._programs / "psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-w"]
        address = f"host=127.0.0.1 port={self.port} user={self.user} dbname={database}"
        environment = os.environ | {"PGPASSWORD": self.password}
        subprocess.run([*psql, address, "-c", statement], env=environment, check=True)

    def command(self) -> list[str]:
        if not self._data.exists():
            self._make()
        return [str(self._programs / "postgres"), "-D", str(self._data)]

    def is_ready(self) -> bool:
        return "ready to accept connections" in self.said() and accepts(self.port)

    def _make(self) -> None:
        secret = self.folder / "password"
        secret.write_text(self.password)
        who = [f"--username={self.user}", f"--pwfile={secret}", "--auth=scram-sha-256"]
        how = ["--encoding=UTF8", "--locale=C", "--no-sync", f"--pgdata={self._data}"]
        self.run([str(self._programs / "initdb"), *who, *how])
        settings = SETTINGS.format(
            port=self.port,
            folder=self.folder,
            certificate=self._certificate.certificate,
            key=self._certificate.key,
        )
        with (self._data / "postgresql.conf").open("a") as file:
            file.write(settings)
