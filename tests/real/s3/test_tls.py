"""S3 over TLS, with an authority of one's own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fastdata.archive import open_archive_storage
from fastdata.errors import ArchiveUnavailableError
from tests.support.services.certificates import Authority
from tests.support.services.s3 import S3


class SecureS3(S3):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.authority = Authority(folder)
        self.endpoint = f"https://localhost:{self.port}"

    def command(self) -> list[str]:
        program, *rest = super().command()
        own = self.authority.sign()
        return [program, "--cert", str(own.certificate), "--key", str(own.key), *rest]


@pytest.fixture
def secure(s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SecureS3]:
    with SecureS3(tmp_path) as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_CA_BUNDLE", str(server.authority.ca))
        yield server


async def test_a_server_of_a_trusted_authority_keeps_objects(secure: SecureS3) -> None:
    storage = open_archive_storage(f"s3://{secure.bucket()}/a")

    assert await storage.create("b", b"c")
    assert await storage.get("b") == b"c"


async def test_a_server_that_nobody_vouches_for_is_not_talked_to(
    secure: SecureS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Authority(tmp_path, "other")
    monkeypatch.setenv("AWS_CA_BUNDLE", str(other.ca))
    storage = open_archive_storage(f"s3://{secure.bucket()}/a")

    with pytest.raises(ArchiveUnavailableError, match="not trusted: set AWS_CA_BUNDLE"):
        await storage.create("b", b"c")


async def test_the_region_has_a_default(secure: SecureS3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REGION")

    assert await open_archive_storage(f"s3://{secure.bucket()}").names("a") == []
