"""An answer as HTML: values, bounds, how sure, and nothing that a value could do."""

import json
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from fastdata.answer.notebook import answer_html
from tests.answer.folder import make_folder

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)


def answer(rows: int = 1, zone: str = "UTC", **columns: Any) -> pa.Table:
    """Rows of one hour by city, which counted 5 of 5 to 9."""
    instant = pa.timestamp("ms", tz="UTC")
    values: dict[str, pa.Array] = {
        "window_start": pa.array([NOON], instant),
        "window_end": pa.array([NOON.replace(hour=13)], instant),
        "city": pa.array(["Oslo"]),
        "n": pa.array([5]), "n_lower": pa.array([5]), "n_upper": pa.array([9]),
        "exact": pa.array([False]), "gap": pa.array([False]),
    }  # fmt: skip
    values |= {name: pa.array([value]) for name, value in columns.items()}
    about = {
        "metric": "<rides>", "zone": zone, "by": ["city"],
        "fresh_until": "2025-03-01T13:00:00Z", "read_until": None,
    }  # fmt: skip
    table = pa.table(values).take(pa.array([0] * rows, pa.int64()))
    return table.replace_schema_metadata({b"fastdata": json.dumps(about)})


def html(table: pa.Table) -> str:
    text = answer_html(table)
    assert text is not None
    return text


def cells(tag: str, table: pa.Table) -> list[str]:
    return re.findall(f"<{tag}>(.*?)</{tag}>", html(table))


def test_values_are_shown_with_their_bounds_and_how_sure_they_are() -> None:
    assert ["window_start", "window_end", "city", "n", "exact"] == cells("th", answer())
    assert ["2025-03-01 12:00", "2025-03-01 13:00", "Oslo", "5 [5, 9]", "no"] == cells(
        "td", answer()
    )


@pytest.mark.parametrize(
    ("exact", "gap", "expected"), [(True, False, "yes"), (False, False, "no"), (False, True, "gap")]
)
def test_a_row_says_whether_it_is_exact(exact: bool, gap: bool, expected: str) -> None:
    assert expected == cells("td", answer(exact=exact, gap=gap))[-1]


def test_a_row_says_that_its_window_is_in_progress() -> None:
    later = NOON.replace(hour=13, microsecond=1_000)
    table = answer(gap=True)
    table = table.set_column(1, "window_end", pa.array([later], pa.timestamp("ms", tz="UTC")))
    assert "in progress" == cells("td", table.replace_schema_metadata(answer().schema.metadata))[-1]


def test_windows_are_those_of_the_zone() -> None:
    table = answer(zone="Asia/Kathmandu")

    assert ["2025-03-01 17:45", "2025-03-01 18:45"] == cells("td", table)[:2]
    assert "windows in Asia/Kathmandu" in html(table)


@pytest.mark.parametrize("city", ["<script>alert(1)</script>", '"><img src=x onerror=y>', "a\x1bb"])
def test_every_value_is_escaped(city: str) -> None:
    text = html(answer(city=city))

    assert {"table", "thead", "tbody", "tr", "th", "td", "p"} == set(re.findall(r"<(\w+)", text))
    assert text.isprintable()
    assert "&lt;rides&gt;: 1 row " in text


def test_only_the_first_rows_are_shown() -> None:
    text = html(answer(rows=1_234))

    assert 50 == text.count("<td>Oslo</td>")
    assert "<p>… 1,184 more rows</p>" in text
    assert "1,234 rows" in text


def test_only_the_first_items_of_a_list_are_shown() -> None:
    items = list(range(12))
    table = answer(n=items, n_lower=items, n_upper=items)

    assert "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, … 2 more" == cells("td", table)[3]


def test_an_answer_without_rows_is_shown_too() -> None:
    assert [] == cells("td", answer(rows=0))


def test_a_table_that_is_no_answer_is_shown_as_ever() -> None:
    assert answer_html(pa.table({"a": [1]})) is None


SESSION = """
import sys
from IPython.core.interactiveshell import InteractiveShell

shell = InteractiveShell.instance()
shell.display_formatter.active_types = ["text/plain", "text/html"]
for cell in sys.argv[1:]:
    assert shell.run_cell(cell).success
for name in ("answer", "other"):
    print(shell.display_formatter.format(shell.user_ns[name])[0].get("text/html", "")[:14])
"""
ASK = """
import fastdata, pyarrow
rides = fastdata.load("agents/trips.py").rides
answer, other = await fastdata.query(rides, every="all"), pyarrow.table({"a": [1]})
"""
OF_THE_USER = """
import pyarrow
formatter = get_ipython().display_formatter.formatters["text/html"]
formatter.for_type(pyarrow.Table, lambda table: "mine")
"""


@pytest.mark.parametrize(
    ("cells", "expected"),
    [([ASK], ["<table><thead>", ""]), ([OF_THE_USER, ASK], ["mine", "mine"])],
    ids=["as a table", "as the user says"],
)
def test_ipython_shows_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cells: list[str], expected: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    make_folder(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", SESSION, *cells], capture_output=True, text=True, check=True
    )

    assert expected == [line.strip() for line in done.stdout.splitlines()[-2:]]
