"""Where a tool is missing and there is an engine, the same server runs in a container.

The engine of this test is a script that takes the same words and runs the program here.
"""

from pathlib import Path

import psutil
import pytest

from tests.support.services.s3 import S3

ENGINE = """#!/bin/sh
case $1 in
  version | image) exit 0 ;;
  run) shift
    for word; do
      shift
      case $word in
        --name=*) echo $$ > {folder}/${{word#--name=}} ;;
        --entrypoint=versitygw) ;;
        --*) ;;
        versity/versitygw:*) exec {program} "$@" ;;
        *) exit 125 ;;
      esac
    done ;;
  kill) kill -9 "$(cat {folder}/$2)" ;;
esac
"""


def test_a_server_starts_and_is_killed_in_a_container(
    s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert s3.pid is not None
    engine, place = tmp_path / "docker", tmp_path / "server"
    engine.write_text(ENGINE.format(folder=tmp_path, program=psutil.Process(s3.pid).exe()))
    engine.chmod(0o755)
    place.mkdir()
    monkeypatch.setenv("FASTDATA_TEST_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cat").symlink_to("/bin/cat")
    monkeypatch.setenv("PATH", str(tmp_path))

    with S3(place) as server:
        assert server.container.startswith("fastdata-")
        process = psutil.Process(server.pid)

    assert not process.is_running()
