"""One command works in a project, and changes of its files are seen."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fastdata import Settings
from fastdata.errors import SettingsError
from fastdata.local.project import Project, Watch
from fastdata.local.running import find_running, with_running

# Takes the project, and leaves a process behind that has it, too.
HOLDING = """
import subprocess, sys, time
from pathlib import Path
from fastdata.local.project import Project
with Project(Path(sys.argv[1])) as project:
    assert project.take()
    left = subprocess.Popen(
        [sys.executable, "-c", "input()"], pass_fds=[project.descriptor], stdin=sys.stdin
    )
    print(left.pid, flush=True)
    time.sleep(600)
"""


def test_a_project_that_was_left_in_order_is_taken_again(tmp_path: Path) -> None:
    for _ in range(2):
        with Project(tmp_path / "state") as project:
            assert project.take()
            assert not project.was_cut_off
            project.begin({})
            project.leave()


def test_one_that_was_not_left_in_order_is_told_until_it_is(tmp_path: Path) -> None:
    with Project(tmp_path) as project:
        assert project.take()  # and nothing is begun
    with Project(tmp_path) as project:
        assert project.take()
        assert not project.was_cut_off
        project.begin({})
    for _ in range(2):
        with Project(tmp_path) as project:
            assert project.take()
            assert project.was_cut_off


def test_who_runs_here_is_found_until_all_of_it_has_ended(tmp_path: Path) -> None:
    settings = Settings.load(state=str(tmp_path))
    assert find_running(settings) is None
    with Project(tmp_path) as project:
        assert project.take()
        assert find_running(settings) is None  # it has no address yet
        project.begin({"page": "http://127.0.0.1:8000", "broker": "127.0.0.1:41429"})
        found = find_running(settings)
    after = find_running(settings)  # it was killed, say
    assert "fastdata dev is running here: http://127.0.0.1:8000, broker 127.0.0.1:41429" in str(
        found
    )
    assert after is None


def test_its_broker_is_taken_where_the_settings_name_none(tmp_path: Path) -> None:
    named = Settings.load(state=str(tmp_path), broker="kafka:9092")
    plain = Settings.load(state=str(tmp_path))
    with Project(tmp_path) as project:
        assert project.take()
        project.begin({"page": None, "broker": "127.0.0.1:41429"})
        brokers = [with_running(settings).broker for settings in (plain, named)]
        project.begin({"page": "http://127.0.0.1:8000", "broker": None})  # it uses a given one
        brokers.append(with_running(plain).broker)
    assert ["127.0.0.1:41429", "kafka:9092", "localhost:9092"] == brokers


def test_who_works_there_is_named_and_whom_the_killed_left_behind_is_waited_for(
    tmp_path: Path,
) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDING, str(tmp_path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert holder.stdout is not None
    left = int(holder.stdout.readline())
    try:
        with Project(tmp_path) as project:
            with pytest.raises(SettingsError, match=f"as process {holder.pid}: stop that"):
                project.take()
            holder.kill()
            holder.wait()
            assert not project.take()
            os.kill(left, signal.SIGKILL)
            while not project.take():
                pass
    finally:
        holder.communicate()


def test_files_that_come_change_or_go_are_seen_once(tmp_path: Path) -> None:
    agents, schemas = tmp_path / "agents", tmp_path / "schemas"
    agents.mkdir()
    first, second = agents / "a.py", schemas / "b.avsc"
    first.write_text("1")
    watch = Watch([agents, schemas])
    assert watch.changed() == []

    first.write_text("22")
    schemas.mkdir()
    second.write_text("{}")
    (agents / "a.pyc").write_text("not a declaration")
    assert watch.changed() == [first, second]
    assert watch.changed() == []

    second.unlink()
    assert watch.changed() == [second]
