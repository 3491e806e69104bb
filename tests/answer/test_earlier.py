"""After a declaration was changed, the commands say where the answers are."""

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import fastdata
from fastdata import Metric
from fastdata.cli.main import commands
from fastdata.cli.status import _show_rest
from fastdata.coordinates.segments import Coverage
from fastdata.declare.catalog import load_folder
from fastdata.operate.status import SourceStatus, Status
from fastdata.store.earlier import EarlierDefinition, find_earlier
from fastdata.store.memory import MemoryStore
from fastdata.store.opening import open_store
from tests.verify.clicks import MINUTE, START, Clicks


@pytest.fixture
def before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Two hours that were replayed, and a measure that was added since: the id of before."""

    async def prepare() -> str:
        async with open_store(f"sqlite:///{tmp_path / 'store.db'}") as store:
            clicks = Clicks(tmp_path, store)
            for n in range(12):
                clicks.send(10 * n)
            await clicks.fold()
            await clicks.replay()
            return clicks.visits.id

    id = asyncio.run(prepare())
    monkeypatch.chdir(tmp_path)
    file = next(path for path in tmp_path.rglob("clicks.py"))
    added = '"most": Max("seconds"),\n        "users": Uniques("user"),'
    changed = file.read_text().replace('"users": Uniques("user"),', added)
    file.unlink()
    # Of the same name it would be the module that is loaded already.
    file.with_name("changed.py").write_text(changed)
    return id


def present() -> Metric:
    return load_folder(Path("agents")).metric("visits")


def hint(id: str) -> str:
    return (
        f"an earlier definition of the metric visits ({id}) has answers from 2023-11-14 00:00 to "
        "2023-11-16 00:00 UTC; fastdata replay --metric visits fills the present one "
        f"({present().id})"
    )


def run(*words: str) -> Result:
    return CliRunner().invoke(commands, words, catch_exceptions=False)


def test_a_query_says_it_in_one_line(before: str) -> None:
    shown, machine = run("query", "visits"), run("query", "visits", "--json")

    assert hint(before) == shown.stdout.splitlines()[-1]
    assert "" == shown.stderr
    assert f"fastdata: {hint(before)}\n" == machine.stderr
    assert {
        "definition": before,
        "start": "2023-11-14T00:00Z",
        "end": "2023-11-16T00:00Z",
        "hint": hint(before),
    } == json.loads(machine.stdout)["earlier"]
    assert (0, 0) == (shown.exit_code, machine.exit_code)


async def test_in_python_it_is_a_warning(before: str) -> None:
    with pytest.warns(UserWarning, match=r"an earlier definition of the metric visits") as said:
        await fastdata.query(present(), store="sqlite:///store.db")

    assert [hint(before)] == [str(warning.message) for warning in said]
    assert __file__ == said[0].filename


def test_an_export_says_it(before: str) -> None:
    shown = run("export", "visits", "--to", "flat")
    machine = run("export", "visits", "--to", "flat", "--json")

    assert hint(before) == shown.stdout.splitlines()[-1].strip()
    assert before == json.loads(machine.stdout)["earlier"]["definition"]


def test_after_a_replay_nothing_is_said(before: str) -> None:
    assert 0 == run("replay", "--metric", "visits", "--workers", "0").exit_code

    for words in (["query", "visits"], ["query", "visits", "--json"], ["export", "visits"]):
        assert "an earlier definition" not in run(*words).output
    assert before != present().id


def test_a_range_of_which_the_earlier_one_has_nothing_either_says_nothing(before: str) -> None:
    assert before
    assert "an earlier definition" not in run("query", "visits", "--from", "2024-01-01").output


async def test_fresh_rows_alone_say_it_too(before: str) -> None:
    async with open_store("sqlite:///store.db") as store:
        for partial in await store.partials(before, START, START + 30 * MINUTE):
            metric = present()
            states = metric.dump(metric.zero())
            fields = (metric.id, partial.window, partial.dims, 0, 0, 99, states)
            await store.upsert([type(partial)(*fields)], [])

        with pytest.warns(UserWarning, match="an earlier definition"):
            answer = await fastdata.query(present(), store=store)

    assert answer.num_rows


async def test_of_several_definitions_the_last_one_with_answers_is_meant(tmp_path: Path) -> None:
    clicks = Clicks(tmp_path, MemoryStore())
    for n in range(10):
        clicks.send(n)
    await clicks.replay()
    store = clicks.store
    for id in ("visits-000000000000", f"{clicks.visits.id}:error"):
        await store.open_run(id, START, START + 60 * MINUTE, Coverage())

    earlier = await find_earlier(store, "visits", "visits-111111111111")

    assert earlier is not None
    assert clicks.visits.id == earlier.id
    assert None is await find_earlier(store, "visits", clicks.visits.id)


def test_a_status_says_it(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console

    earlier = EarlierDefinition("visits", "visits-0", "visits-1", START, START + 60 * MINUTE)
    source = SourceStatus(
        "clicks", "clicks", (), (), {}, {"visits": None}, earlier={"visits": earlier}
    )

    _show_rest(Console(), source)

    assert f"visits: never replayed; {earlier.hint}\n" in capsys.readouterr().out
    (shown,) = json.loads(json.dumps(Status((source,), ()).as_dict()["sources"]))
    assert earlier.as_dict() == shown["earlier"]["visits"]
