"""What is wrong with an archive on S3 is said in one line, with what to do and no secret."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastdata.archive import open_archive_storage
from fastdata.errors import ArchiveError, ArchiveRefusedError, ArchiveUnavailableError
from tests.archive.sink import declare
from tests.support.services.s3 import S3

WRONG = [
    ({"BUCKET": "no-such-bucket"}, "there is no such bucket: create it"),
    ({"AWS_ACCESS_KEY_ID": "nobody"}, "does not know the key: check AWS_ACCESS_KEY_ID"),
    ({"AWS_SECRET_ACCESS_KEY": "hunter2"}, "the secret is not that of the key"),
    ({"AWS_REGION": "eu-west-1"}, "in another region: check AWS_REGION"),
]


class ReadOnlyS3(S3):
    def command(self) -> list[str]:
        program, *rest = super().command()
        return [program, "--readonly", *rest]


@pytest.fixture(scope="module")
def guarded(s3: S3, tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    with ReadOnlyS3(tmp_path_factory.mktemp("guarded")) as server:
        yield server


@pytest.mark.parametrize(("changes", "expected"), WRONG, ids=lambda value: str(value)[:24])
async def test_what_s3_refuses_is_explained(
    bucket: str, monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], expected: str
) -> None:
    bucket = changes.get("BUCKET", bucket)
    for name, value in changes.items():
        monkeypatch.setenv(name, value)
    storage = open_archive_storage(f"s3://{bucket}/a")
    said = []
    for action in (
        storage.get("b"), storage.names("b"), storage.create("b", b""), storage.delete("b"),
    ):  # fmt: skip
        with pytest.raises(ArchiveRefusedError, match=expected) as caught:
            await action
        said.append(str(caught.value))

    assert all("\n" not in text and "hunter2" not in text for text in said)


async def test_a_key_without_permission_is_told_which_ones_to_grant(
    guarded: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in guarded.environment().items():
        monkeypatch.setenv(name, value)
    storage = open_archive_storage(f"s3://{guarded.bucket()}")

    with pytest.raises(ArchiveRefusedError, match="no permission: grant it s3:ListBucket"):
        await storage.create("a", b"b")


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:1", "http://no.such.host.invalid"])
async def test_a_wrong_endpoint_is_named(
    bucket: str, monkeypatch: pytest.MonkeyPatch, endpoint: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    storage = open_archive_storage(f"s3://{bucket}")

    with pytest.raises(ArchiveUnavailableError, match=f"S3 at {endpoint} .* AWS_ENDPOINT_URL"):
        await storage.names("a")


async def test_https_to_a_server_without_it_is_an_error(
    s3: S3, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.endpoint.replace("http:", "https:"))
    storage = open_archive_storage(f"s3://{bucket}")

    with pytest.raises(ArchiveError, match="AWS_ENDPOINT_URL"):
        await storage.names("a")


def test_the_command_line_ends_with_the_one_line(bucket: str, tmp_path: Path) -> None:
    declare(tmp_path)
    env = {
        **os.environ,
        "FASTDATA_ARCHIVE": "s3://no-such-bucket/a",
        "FASTDATA_STORE": "memory:",
        "PYTHONPATH": str(Path(__file__).parents[3]),
    }
    done = subprocess.run(
        [sys.executable, "-m", "fastdata.cli.main", "replay"],
        cwd=tmp_path, env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("fastdata: S3 at http://127.0.0.1:")
    assert done.stderr.endswith("correct the URL of the archive (NoSuchBucket)\n")
    assert done.stderr.count("\n") == 1
