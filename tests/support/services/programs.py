"""How a server's program is started: here, or in a container where its tools are missing."""

import os
import shutil
import subprocess
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.support.services import downloads, pins


@dataclass(frozen=True, slots=True)
class Program:
    """What comes before a server's own arguments.

    Args:
        command: The program, or an engine's command that runs it.
        libraries: The folder of its jars, as the program sees it.
        container: Its container's name; empty when it is a process of this machine.
    """

    command: tuple[str, ...]
    libraries: str = ""
    container: str = ""


def kafka(folder: Path) -> Program:
    """Java for Kafka."""

    def here() -> Program:
        return Program((downloads.java(),), str(downloads.jars(pins.KAFKA)))

    return _here_or_contained(here, pins.KAFKA_IMAGE, folder)


def mirror_maker(folder: Path) -> Program:
    """Java for MirrorMaker."""

    def here() -> Program:
        return Program((downloads.java(),), str(downloads.jars(pins.MIRROR_MAKER)))

    return _here_or_contained(here, pins.KAFKA_IMAGE, folder)


def cassandra(folder: Path) -> Program:
    """Java for Cassandra."""

    def here() -> Program:
        return Program((downloads.java(newest=17),), str(downloads.jars(pins.CASSANDRA)))

    return _here_or_contained(here, pins.CASSANDRA_IMAGE, folder)


def registry(folder: Path) -> Program:
    """Java for the registry."""

    def here() -> Program:
        return Program((downloads.java_21(),), str(downloads.apicurio()))

    return _here_or_contained(here, pins.APICURIO_IMAGE, folder)


def s3(folder: Path) -> Program:
    """The S3 server."""
    return _here_or_contained(
        lambda: Program((downloads.versitygw(),)), pins.VERSITYGW_IMAGE, folder
    )


def _here_or_contained(here: Callable[[], Program], image: pins.Image, folder: Path) -> Program:
    try:
        return here()
    except downloads.UnavailableError:
        if not _has_engine():
            raise
    if not _docker("image", "inspect", image.name) and not _docker("pull", image.name):
        raise downloads.UnavailableError(f"docker cannot pull {image.name}")
    name = f"fastdata-{uuid.uuid4()}"
    # Ports and files are those of this machine, so a server's settings are the same.
    command = (
        "docker",
        "run",
        "--rm",
        "--network=host",
        f"--name={name}",
        f"--user={os.getuid()}:{os.getgid()}",
        f"--volume={folder}:{folder}",
        f"--workdir={folder}",
        f"--entrypoint={image.program}",
        image.name,
    )
    return Program(command, image.libraries, name)


def _has_engine() -> bool:
    return shutil.which("docker") is not None and _docker("version")  # it asks the engine, too


def _docker(*arguments: str) -> bool:
    """Whether the engine did it."""
    done = subprocess.run(["docker", *arguments], capture_output=True, check=False)
    return done.returncode == 0


# All that has to be fetched, by what it is for.
NEEDED: dict[str, Callable[[], object]] = {
    "Kafka": lambda: kafka(Path()),
    "MirrorMaker": lambda: mirror_maker(Path()),
    "Cassandra": lambda: cassandra(Path()),
    "Registry": lambda: registry(Path()),
    "S3": lambda: s3(Path()),
    "PostgreSQL": downloads.postgres,
    "MariaDB": downloads.mariadb,
    "ClickHouse": downloads.chdb,
    "OpenSearch": downloads.opensearch,
}
