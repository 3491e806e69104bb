"""What no file of the repository says."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# In pieces, so that this file does not say them either.
FORBIDDEN = {
    "a registry's host": "py" + r"pi\.org|python" + r"hosted|conda\.anaconda|test\.py" + "pi",
    "a machine's path": r"/wo" + r"rk/(main|shared|plan)|/ro" + r"ot/|/ho" + r"me/\w+/|/tm" + "p/",
    "something left to do": r"\bTO" + r"DO\b|\bFIX" + r"ME\b|\bXX" + r"X\b",
}


def tracked() -> list[Path]:
    """The files of the repository; outside of one, as in an unpacked archive, the text files."""
    command = ["git", "ls-files", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode == 0:
        files = [ROOT / name for name in listed.stdout.split("\0") if name]
    else:
        files = [p for suffix in ("py", "md", "toml", "lock") for p in ROOT.glob(f"**/*.{suffix}")]
    return [path for path in files if path.is_file() and ".venv" not in path.parts]


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_says(what: str) -> None:
    pattern = re.compile(FORBIDDEN[what])
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in tracked()
        if (match := pattern.search(path.read_text(errors="replace")))
    ]

    assert found == []


LOCKS = ["requirements.lock", "requirements-build.lock", "requirements-worker.lock"]


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_requirement_is_pinned_and_hashed(lock: str) -> None:
    text = (ROOT / lock).read_text()
    requirements = re.split(r"\n(?=\S)", text.strip())

    assert requirements
    assert [r for r in requirements if not re.match(r"[a-z0-9-]+==\S+", r)] == []
    assert [r for r in requirements if "--hash=sha256:" not in r] == []
