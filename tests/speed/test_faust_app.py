"""The app of the package, attaching to other apps, and what a worker says when it cannot start."""

import subprocess
import sys
from pathlib import Path
from typing import cast

import faust
import pytest
from faust.cli.base import find_app

from fastdata import Settings, attach, load
from fastdata.errors import DeclarationError, SettingsError
from fastdata.speed.agent import SourceAgent
from fastdata.speed.table import ChangelogTable
from fastdata.speed.topic_rules import changelog_topic
from tests.support.lab import Lab
from tests.support.mockbroker import MockBroker

OWN_APP = """
import faust
from fastdata import attach, load

app = faust.App(
    "own", broker="kafka://{broker}", store="rocksdb://", datadir="own-state",
    topic_allow_declare=False, topic_disable_leader=True,  # the broker has no admin API
)
visits = app.Table("visits", default=int)


@app.agent(app.topic("visits", key_type=str, value_type=str))
async def count_visits(stream):
    async for page in stream:
        visits[page] += 1


attach(app, load("agents/clicks.py").pages)
"""


@pytest.fixture
def app(tmp_path: Path) -> faust.App:
    return faust.App("own", broker="kafka://localhost:1", store="memory://", datadir=tmp_path)


def settings(tmp_path: Path) -> Settings:
    return Settings.load(store="memory:", state=str(tmp_path))


def run(lab: Lab, program: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=lab.folder,
        env=lab.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )


@pytest.mark.parametrize("name", ["fastdata", "fastdata.app", "fastdata.app:app"])
def test_faust_finds_the_app_of_the_package(lab: Lab, name: str) -> None:
    found = f"from faust.cli.base import find_app; app = find_app('{name}');"
    program = f"{found} print(app.conf.id, *app.agents, *app.tables)"

    assert run(lab, program).stdout == "fastdata fastdata-clicks fastdata-clicks\n"


def test_importing_the_module_reads_neither_settings_nor_agents(lab: Lab) -> None:
    lab.environment["FASTDATA_AGENTS"] = "nowhere"

    assert run(lab, "import fastdata.app; print('fine')").stdout == "fine\n"


def test_a_broken_file_of_agents_is_told_in_one_line(lab: Lab) -> None:
    (lab.folder / "agents/broken.py").write_text("x = 1\nraise ValueError('oh no')\n")
    with lab.worker("fastdata") as worker:
        assert worker.wait(120) == 1

    log = (lab.folder / "worker.log").read_text()
    assert log.startswith("fastdata: cannot load ")
    assert "agents/broken.py:2: ValueError: oh no" in log
    assert "Traceback" not in log


def test_an_unreachable_broker_is_told_within_seconds(lab: Lab) -> None:
    with lab.worker("fastdata", FASTDATA_BROKER="localhost:1") as worker:
        assert worker.wait(120) == 1

    log = (lab.folder / "worker.log").read_text()
    assert "fastdata cannot start: the broker cannot be used: localhost:1 refuses" in log
    assert "see FASTDATA_BROKER" in log


def test_a_worker_that_cannot_start_leaves_the_terminal_its_cursor(lab: Lab) -> None:
    lab.environment["FASTDATA_BROKER"] = "localhost:1"

    done = run(lab, "from fastdata.app import run_worker; run_worker()")

    assert (1, "") == (done.returncode, done.stdout)
    assert "fastdata cannot start" in done.stderr
    assert "\x1b[?25l" not in done.stderr


def test_a_store_that_is_not_understood_is_told(lab: Lab) -> None:
    with lab.worker("fastdata", FASTDATA_STORE="mysql://me:secret@host/db") as worker:
        assert worker.wait(120) == 1

    log = (lab.folder / "worker.log").read_text()
    assert "fastdata cannot start: " in log
    assert "secret" not in log


async def test_bad_events_become_dead_letters_and_the_rest_is_folded(lab: Lab) -> None:
    lab.produce(100)
    lab.send(b"no Avro at all", partition=2)
    lab.produce(100)
    with lab.worker():
        lab.wait_until_folded(201)
        (letter,) = lab.read(f"{lab.topic}.dead-letters", 1)

    assert await lab.answer() == lab.expected()
    assert letter.value() == b"no Avro at all"
    headers = dict(cast(list[tuple[str, bytes]], letter.headers()))
    assert headers["fastdata.topic"] == lab.topic.encode()
    assert (headers["fastdata.partition"], headers["fastdata.offset"]) == (b"2", b"25")
    assert (headers["fastdata.stage"], headers["fastdata.reason"]) == (b"decode", b"no-magic")


async def test_a_bug_in_a_map_function_stops_the_worker_with_the_cause(lab: Lab) -> None:
    with (lab.folder / "agents/clicks.py").open("a") as file:
        file.write("\n\n@clicks.map\ndef broken(event):\n    return event['nothing']\n")
    lab.produce(10)
    with lab.worker() as worker:
        assert worker.wait(180) == 70

    log = (lab.folder / "worker.log").read_text()
    assert "fastdata ends this worker: folding" in log
    assert "KeyError" in log
    assert lab.folded() == 0


def test_a_source_has_an_agent_and_a_table_with_explicit_names(
    app: faust.App, lab: Lab, tmp_path: Path
) -> None:
    attach(app, lab.pages, settings=settings(tmp_path))

    assert list(app.agents) == list(app.tables) == ["fastdata-clicks"]
    table = cast(ChangelogTable, app.tables["fastdata-clicks"])
    assert table.changelog_topic_name == "own-fastdata-clicks-changelog"
    assert table.changelog_topic_name == changelog_topic("own", "clicks")


def test_attaching_twice_adds_metrics_to_the_same_agent(
    app: faust.App, lab: Lab, tmp_path: Path
) -> None:
    with (lab.folder / "agents/clicks.py").open("a") as file:
        file.write("\nall_clicks = Metric('all_clicks', clicks, measures={'n': Count()})\n")
    declared = load(lab.folder / "agents/clicks.py")
    attach(app, declared.pages, settings=settings(tmp_path))
    attach(app, declared.all_clicks)
    attach(app, declared.pages)

    assert list(app.agents) == ["fastdata-clicks"]
    agent = app.agents["fastdata-clicks"].fun.__self__
    assert isinstance(agent, SourceAgent)
    assert agent.metrics == [declared.pages, declared.all_clicks]


def test_two_sources_of_one_topic_are_refused(app: faust.App, lab: Lab, tmp_path: Path) -> None:
    with (lab.folder / "agents/clicks.py").open("a") as file:
        file.write(
            f"\nagain = Source('again', topic='{lab.topic}', schema='schemas/click.avsc',"
            " time='at')\n"
        )
    declared = load(lab.folder / "agents/clicks.py")

    with pytest.raises(DeclarationError, match="has a source in this app already"):
        attach(app, declared.pages, declared.again, settings=settings(tmp_path))


def test_exactly_once_of_faust_is_refused(lab: Lab, tmp_path: Path) -> None:
    app = faust.App(
        "own", broker="kafka://localhost:1", datadir=tmp_path, processing_guarantee="exactly_once"
    )

    with pytest.raises(SettingsError, match="exactly_once, which loses data"):
        attach(app, lab.pages, settings=settings(tmp_path))


def test_other_settings_for_the_same_app_are_refused(
    app: faust.App, lab: Lab, tmp_path: Path
) -> None:
    attach(app, lab.pages, settings=settings(tmp_path))

    with pytest.raises(SettingsError, match="other settings already"):
        attach(app, lab.pages, settings=Settings.load(store="memory:"))


def test_find_app_of_a_module_with_an_app_of_its_own(
    lab: Lab, broker: MockBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    (lab.folder / "own_found.py").write_text(OWN_APP.format(broker=broker.address))
    monkeypatch.chdir(lab.folder)
    monkeypatch.syspath_prepend(lab.folder)

    assert find_app("own_found").conf.id == "own"
