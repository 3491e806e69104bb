"""`fastdata init`: what it writes loads, is formatted and typed, and replaces nothing."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fastdata import Settings
from fastdata.cli.main import commands
from fastdata.declare.catalog import Catalog, load_folder
from fastdata.errors import FastdataError
from tests.scaffold.made import write_clicks, write_orders, write_readings

RUFF, MYPY = (str(Path(sys.executable).parent / name) for name in ("ruff", "mypy"))
BROKEN = (
    "  3 rows more cannot be read; line 8: it is no JSON: Unterminated string starting at: line 1 "
    "column 14 (char 13)"
)
MONEY = (
    "  guessed  amount               decimal, so that sums of money are exact; with more than 2 "
    'digits after the point an event is a dead letter: then "double" is right'
)
ODD = {
    "at": "2025-10-09T08:53:20Z",
    "exact": True,
    "events": "x",
    "Größe (cm)": 180.5,
    "order": {"from": "here", "a b": 1},
    "x" * 70: 1.5,
    "y" * 48: 2.5,
    "\\\"'": "z",
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_orders(tmp_path / "orders.jsonl")
    return tmp_path


def run(*words: str, data: str | None = None) -> Result:
    return CliRunner().invoke(commands, ["init", *words], input=data)


def done(*words: str, data: str | None = None) -> str:
    result = run(*words, data=data)
    assert result.exception is None, result.exception
    return result.stdout


def refusal(*words: str) -> str:
    error = run(*words).exception
    assert isinstance(error, FastdataError)
    return str(error)


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def odd_file(folder: Path) -> None:
    rows = [ODD | {"events": f"x{number % 3}", "exact": number % 2 > 0} for number in range(60)]
    (folder / "2 odd.file.jsonl").write_text("\n".join(map(json.dumps, rows)))


def test_files_of_all_kinds_become_what_tools_leave_alone(folder: Path) -> None:
    write_readings(folder / "readings.csv")
    write_clicks(folder / "clicks.parquet")
    odd_file(folder)

    for name in ("orders.jsonl", "readings.csv", "clicks.parquet", "2 odd.file.jsonl"):
        done("p", "--from", name)
    done("p", "--name", "template")

    catalog = load_folder(folder / "p" / "agents")
    assert sorted(catalog.sources) == ["clicks", "field_2_odd", "orders", "readings", "template"]
    assert len(catalog.metrics) == 15
    agents = [str(path) for path in (folder / "p" / "agents").iterdir() if path.suffix == ".py"]
    for tool in (
        [RUFF, "format", "--isolated", "--check", "p"],
        [RUFF, "check", "--isolated", "--select", "E4,E7,E9,F,I,UP,B", "p"],
        [MYPY, "--strict", "--cache-dir", "cache", *agents],
    ):
        told = subprocess.run(tool, capture_output=True, text=True, check=False)
        assert told.returncode == 0, told.stdout + told.stderr


def test_the_declaration_is_what_was_guessed(folder: Path) -> None:
    done("--from", "orders.jsonl")

    catalog = load_folder(folder / "agents")
    orders = catalog.sources["orders"]
    assert (orders.time, orders.id, orders.format, orders.topic) == (
        "ordered_at", "order_id", "json", "orders",
    )  # fmt: skip
    assert list(catalog.metrics) == ["orders_by_customer_country", "orders_uniques", "orders_total"]
    by_country, uniques, total = catalog.metrics.values()
    assert list(by_country.measures) == [
        "events", "amount_sum", "quantity_sum", "amount_mean", "quantity_mean",
    ]  # fmt: skip
    assert (uniques.by, list(uniques.measures)) == (("status",), ["events", "customer_id_uniques"])
    assert total.by == ()


@pytest.mark.parametrize(
    ("by", "dimensions"),
    [
        (["status", "order_no"], ("status", "order_no")),
        (["customer.id", "status"], ("customer_id", "status")),
        (["customer.id,status"], ("customer_id", "status")),
    ],
)
def test_dimensions_that_are_told_are_those_of_one_metric(
    by: list[str], dimensions: tuple[str, ...], folder: Path
) -> None:
    done("--from", "orders.jsonl", *(word for name in by for word in ("--by", name)))

    first = next(iter(load_folder(folder / "agents").metrics.values()))
    assert first.by == dimensions
    assert first.name == "orders_by_" + "_".join(dimensions)


def test_it_says_what_it_read_chose_and_wrote() -> None:
    assert done("shop", "--from", "orders.jsonl").splitlines()[:15] == [
        "orders.jsonl: 3,030 rows of json read, all of it",
        "  30 rows came before as a whole",
        BROKEN,
        "  time     ordered_at           ms since 1970",
        "  id       order_id             another one in each of 3,000 different rows",
        "  by       customer.country     3 different values",
        "  by       status               3 different values",
        "  uniques  customer.id          397 different values in 3,000 rows",
        "  sum      amount               a number; sums, means and extremes",
        "  sum      quantity             a number; sums, means and extremes",
        "  misfits  ordered_at           6 rows of another type or unit will be dead letters",
        MONEY,
        "  named    order_no             'order no.' in the file, which Avro does not take",
        "written   shop/schemas/orders.avsc",
        "written   shop/agents/orders.py",
    ]


def test_guesses_are_comments_in_the_files(folder: Path) -> None:
    rows = [{"when": "2025-10-09 08:53", "price": 1.5}, {"when": "2025-10-09 08:54", "price": 2}]
    (folder / "few.jsonl").write_text("\n".join(map(json.dumps, rows)))

    done("--from", "few.jsonl")

    agents = (folder / "agents" / "few.py").read_text()
    assert (
        "    # guessed the time: ISO 8601; it names no time zone, so it is read as UTC\n" in agents
    )
    assert (
        "    # no id: no field is another one in each of 2 different rows. An event that" in agents
    )
    schema = json.loads((folder / "schemas" / "few.avsc").read_text())
    assert schema["fields"][1]["doc"].startswith(
        "guessed: decimal, so that sums of money are exact"
    )


def test_nothing_is_replaced_unless_it_is_told(folder: Path) -> None:
    done("--from", "orders.jsonl")
    (folder / "agents" / "orders.py").write_text("mine = 1\n")
    (folder / "fastdata.toml").write_text('broker = "kafka:9092"\n')

    assert refusal("--from", "orders.jsonl") == (
        "schemas/orders.avsc and agents/orders.py in . would be replaced, and nothing was written: "
        "give another --name, or --force"
    )
    assert (folder / "agents" / "orders.py").read_text() == "mine = 1\n"
    assert "kept      fastdata.toml" in done("--from", "orders.jsonl", "--force")
    assert "orders = Source(" in (folder / "agents" / "orders.py").read_text()
    assert Settings.load().broker == "kafka:9092"


def test_a_dry_run_writes_nothing(folder: Path) -> None:
    said = done("new", "--from", "orders.jsonl", "--dry-run")

    assert "would write new/agents/orders.py" in said
    assert files(folder) == {"orders.jsonl"}


def test_json_is_one_document(folder: Path) -> None:
    found: Any = json.loads(done("--from", "orders.jsonl", "--json", "--dry-run"))

    assert (found["rows"], found["bad"], found["repeated"]) == (3_030, 3, 30)
    assert found["time"] == {"field": "ordered_at", "why": "ms since 1970", "sure": True}
    assert found["files"][2] == {"path": "fastdata.toml", "outcome": "written"}
    assert found["next"][1] == (
        "fastdata query orders_by_customer_country --every all --by customer_country"
    )


def test_a_pipe_is_read(folder: Path) -> None:
    data = "at,kind,n\n" + "2025-10-09T08:53:20Z,a,1\n2025-10-09T08:53:20Z,b,2\n" * 9

    done("--from", "-", "--format", "csv", "--name", "piped", "--topic", "raw.piped", data=data)

    assert load_folder(folder / "agents").sources["piped"].topic == "raw.piped"


def test_the_template_has_events_of_its_own(folder: Path) -> None:
    said = done("new")

    assert files(folder / "new") == {
        "agents/events.py", "events.jsonl", "fastdata.toml", "schemas/events.avsc",
    }  # fmt: skip
    assert "fastdata send events --from-file events.jsonl" in said
    catalog: Catalog = load_folder(folder / "new" / "agents")
    assert catalog.sources["events"].id == "event_id"
    assert tomllib.loads((folder / "new" / "fastdata.toml").read_text())["agents"] == "agents"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--name", "My Shop"), "--name My Shop: a name is 1 to 32 of a-z, 0-9 and _"),
        (("--topic", "my topic"), "--topic my topic: that is no name of a Kafka topic"),
        (("--by", "order_no"), "--by order_no: there is no such field"),
        (("--format", "parquet"), "orders.jsonl: the file is no Parquet"),
    ],
)
def test_what_cannot_be_is_told(words: tuple[str, ...], message: str, folder: Path) -> None:
    options = ("--from", "orders.jsonl", *words)
    if "--by" in words:
        options = (*options, "--id", "order_no")

    assert refusal(*options).startswith(message)
    assert files(folder) == {"orders.jsonl"}
