"""The folder of a demo: settings, agents and schemas, and later everything that was made."""

import json
import shutil
from pathlib import Path

from fastdata.errors import FastdataError
from fastdata.kafka.connection import Broker

__all__ = ["AGENTS", "ARCHIVE", "EXAMPLE", "STORE", "write_folder"]

AGENTS, ARCHIVE, STORE = "agents", "archive", "fastdata.sqlite"
EXAMPLE = Path(__file__).with_name("example")
_GONE = """\
Its broker lived in the demo and is gone with it;
# query, replay and status read the store and the archive, which are here."""
_GIVEN = "A password of the broker is not here: set FASTDATA_BROKER_PASSWORD."
_SETTINGS = f"""\
# Written by `fastdata demo`. {{note}}
{{broker}}
registry = "schemas"
archive = "{ARCHIVE}"
store = "sqlite:///{STORE}"
state = "state"
agents = "{AGENTS}"
tile_age_s = 1.0
"""


def write_folder(folder: Path, broker: Broker, *, is_embedded: bool = True) -> None:
    """Make the folder of a new demo.

    Args:
        folder: New or empty.
        broker: What its processes connect to; its password is not written.
        is_embedded: Whether it is gone when the demo is.

    Raises:
        FastdataError: It holds something already, or cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise FastdataError(
                f"{folder} is not empty, and a new log does not go with an old store. "
                "Give another --dir, or remove it."
            )
        shutil.copytree(
            EXAMPLE, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__")
        )
        (folder / "logs").mkdir()
        note = _GONE if is_embedded else _GIVEN
        text = _SETTINGS.format(note=note, broker=_lines(broker))
        (folder / "fastdata.toml").write_text(text)
    except OSError as error:
        raise FastdataError(f"{folder} cannot be written: {error.strerror}") from error


def _lines(broker: Broker) -> str:
    """The settings of a broker, but for what is not set, and its password."""
    files = {"ca": broker.ca, "certificate": broker.certificate, "key": broker.key}
    settings = {
        "broker": broker.servers,
        "broker_security_protocol": broker.protocol if broker.protocol != "PLAINTEXT" else "",
        "broker_sasl_mechanism": broker.mechanism if broker.has_password else "",
        "broker_username": broker.username,
        **{f"broker_{name}": str(Path(path).resolve()) for name, path in files.items() if path},
    }
    return "\n".join(f"{name} = {json.dumps(text)}" for name, text in settings.items() if text)
