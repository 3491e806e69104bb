"""`fetch` brings everything that the services need; `run` starts them all, to work with."""

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from tests.support.services import programs
from tests.support.services.cassandra import Cassandra
from tests.support.services.downloads import UnavailableError
from tests.support.services.kafka import Kafka
from tests.support.services.postgres import Postgres
from tests.support.services.registry import Registry
from tests.support.services.s3 import S3
from tests.support.services.server import Server, new_folder

SERVICES: tuple[Callable[[Path], Server], ...] = (Cassandra, Kafka, Registry, Postgres, S3)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.support.services", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("fetch", help="download what is missing; says what cannot be had")
    run = commands.add_parser("run", help="start every service, empty, until Ctrl-C")
    run.add_argument("--store", choices=["cassandra", "postgresql"], default="cassandra")
    run.add_argument("--json", action="store_true", help="print the settings as one JSON object")
    arguments = parser.parse_args()
    if arguments.command == "fetch":
        fetch()
        return
    for interruption in (signal.SIGINT, signal.SIGTERM):
        signal.signal(interruption, signal.default_int_handler)
    with ExitStack() as stack:
        run_all(stack.enter_context(new_folder()), arguments.store, arguments.json, stack)


def fetch() -> None:
    """Bring all that is missing, several at a time."""
    with ThreadPoolExecutor(len(programs.NEEDED)) as pool:
        for line in pool.map(_fetch, programs.NEEDED):
            if line:
                say(line)


def _fetch(name: str) -> str:
    start = time.monotonic()
    try:
        programs.NEEDED[name]()
    except UnavailableError as error:
        return f"{name}: cannot run here: {error}"
    took_s = time.monotonic() - start
    return f"{name}: fetched in {took_s:.0f} s" if took_s > 1 else ""


def run_all(folder: Path, store: str, as_json: bool, stack: ExitStack) -> None:
    """Start what can run here, print its settings, and wait to be interrupted."""
    try:
        launched = [_launch(make, folder, stack) for make in SERVICES]
        servers = [server for server in launched if server is not None]
        found: dict[str, str] = {}
        for server in servers:
            server.wait_until_ready()
            found |= settings(server, store)
        lines = (f"export {name}='{value}'" for name, value in found.items())
        sys.stdout.write((json.dumps(found) if as_json else "\n".join(lines)) + "\n")
        sys.stdout.flush()
        say(f"{len(servers)} services run in {folder}; Ctrl-C ends them")
        signal.pause()
    except KeyboardInterrupt:
        say("ended")


def _launch(make: Callable[[Path], Server], folder: Path, stack: ExitStack) -> Server | None:
    place = folder / make.__name__.lower()
    place.mkdir()
    try:
        server = make(place)
    except UnavailableError as error:
        say(f"{make.__name__}: cannot run here: {error}")
        return None
    stack.callback(server.kill)
    server.launch()
    return server


def settings(server: Server, store: str) -> dict[str, str]:
    """The settings for one service; makes the keyspace, database or bucket that they name."""
    match server:
        case Kafka():
            return {"FASTDATA_BROKER": server.bootstrap}
        case Registry():
            return {"FASTDATA_REGISTRY": server.url}
        case S3():
            return {"FASTDATA_ARCHIVE": f"s3://{server.bucket('fastdata')}", **server.environment()}
        case Cassandra() if store == "cassandra":
            server.make_keyspace("fastdata")
            return {"FASTDATA_STORE": server.url("fastdata")}
        case Postgres() if store == "postgresql":
            return {"FASTDATA_STORE": server.url("fastdata")}
        case _:
            return {}


def say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    main()
