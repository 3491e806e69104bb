"""The folder of a demo: settings, agents and schemas, and later everything that was made."""

import shutil
from pathlib import Path

from fastdata.errors import FastdataError

__all__ = ["AGENTS", "ARCHIVE", "STORE", "write_folder"]

AGENTS, ARCHIVE, STORE = "agents", "archive", "fastdata.sqlite"
_EXAMPLE = Path(__file__).with_name("example")
_SETTINGS = """\
# Written by `fastdata demo`. Its broker lived in the demo and is gone with it;
# query, replay and status read the store and the archive, which are here.
broker = "{broker}"
registry = "schemas"
archive = "{archive}"
store = "sqlite:///{store}"
state = "state"
agents = "{agents}"
tile_age_s = 1.0
"""


def write_folder(folder: Path, broker: str) -> None:
    """Make the folder of a new demo.

    Args:
        folder: New or empty.
        broker: Address that its processes connect to.

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
            _EXAMPLE, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__")
        )
        (folder / "logs").mkdir()
        text = _SETTINGS.format(broker=broker, archive=ARCHIVE, store=STORE, agents=AGENTS)
        (folder / "fastdata.toml").write_text(text)
    except OSError as error:
        raise FastdataError(f"{folder} cannot be written: {error.strerror}") from error
