"""MariaDB, which speaks as MySQL does, with TLS for those who want it."""

import itertools
import os
import shutil
from pathlib import Path

import pymysql

from tests.support.services import downloads
from tests.support.services.certificates import Authority
from tests.support.services.server import Server, accepts, free_port, lent_account

INIT = """CREATE USER IF NOT EXISTS tester@'%' IDENTIFIED BY 'secret';
GRANT ALL ON *.* TO tester@'%';
"""


class MariaDb(Server):
    """A server whose user may do all; its data survive a kill."""

    user = "tester"
    password = "secret"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.port = free_port()
        self._program = Path(downloads.mariadb())
        self._data = folder / "data"
        self._numbers = itertools.count(1)
        authority = Authority(folder)
        self.ca = authority.ca
        self.other_ca = Authority(folder, "stranger").ca
        self._certificate = authority.sign("localhost")
        if os.geteuid() == 0:
            self.account = lent_account("mysql")
            for path in (folder, *folder.iterdir()):
                shutil.chown(path, self.account)

    def url(self) -> str:
        """The URL of a new, empty database."""
        database = f"test_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {database}")
        return f"mysql://{self.user}:{self.password}@127.0.0.1:{self.port}/{database}"

    def connect(self, database: str | None = None) -> "pymysql.Connection[pymysql.cursors.Cursor]":
        """A connection of its user, which commits each statement."""
        return pymysql.connect(
            host="127.0.0.1",
            port=self.port,
            user=self.user,
            password=self.password,
            database=database,
            autocommit=True,
        )

    def execute(self, statement: str, database: str | None = None) -> None:
        """Run one statement."""
        with self.connect(database) as connection, connection.cursor() as cursor:
            cursor.execute(statement)

    def command(self) -> list[str]:
        if not self._data.exists():
            install = shutil.which("mariadb-install-db") or "/usr/bin/mariadb-install-db"
            how = ["--auth-root-authentication-method=normal", "--skip-test-db"]
            self.run([install, "--no-defaults", f"--datadir={self._data}", *how])
        init = self.folder / "init.sql"
        init.write_text(INIT)
        init.chmod(0o644)
        return [
            str(self._program), "--no-defaults", f"--datadir={self._data}", f"--port={self.port}",
            "--bind-address=127.0.0.1", f"--socket={self.folder}/socket", f"--init-file={init}",
            f"--pid-file={self.folder}/pid", "--innodb-buffer-pool-size=64M",
            "--character-set-server=latin1", f"--ssl-cert={self._certificate.certificate}",
            f"--ssl-key={self._certificate.key}",
        ]  # fmt: skip

    def is_ready(self) -> bool:
        return "ready for connections" in self.said() and accepts(self.port)
