"""`fastdata.ask`: a query without `await`, wherever it is called."""

import asyncio
import inspect
from pathlib import Path

import pyarrow as pa
import pytest

import fastdata
from fastdata import Metric
from fastdata.errors import QueryError
from fastdata.store.memory import MemoryStore
from tests.answer.folder import make_folder


@pytest.fixture
def rides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Metric:
    monkeypatch.chdir(tmp_path)
    return make_folder(tmp_path)


def test_a_script_gets_the_answer_of_a_query(rides: Metric) -> None:
    table = fastdata.ask(rides, "2013-01-01", "2013-01-02", every="all", by="city")

    assert table.equals(
        asyncio.run(fastdata.query(rides, "2013-01-01", "2013-01-02", every="all", by="city"))
    )
    assert [1, 1, 2] == table["n"].to_pylist()


def test_a_notebook_gets_it_though_a_loop_is_running(rides: Metric) -> None:
    async def cell() -> pa.Table:
        return fastdata.ask(rides, every="all", store="sqlite:///store.db")

    assert [4] == asyncio.run(cell())["n"].to_pylist()


def test_an_error_is_that_of_the_query(rides: Metric) -> None:
    async def cell() -> None:
        fastdata.ask(rides, by="town")

    with pytest.raises(QueryError, match="no dimension 'town'"):
        asyncio.run(cell())
    with pytest.raises(QueryError, match="no dimension 'town'"):
        fastdata.ask(rides, by="town")


def test_an_open_store_is_refused(rides: Metric) -> None:
    with pytest.raises(QueryError, match="give its URL"):
        fastdata.ask(rides, store=MemoryStore())


def test_help_shows_the_arguments_of_a_query() -> None:
    assert inspect.signature(fastdata.query) == inspect.signature(fastdata.ask)


def test_an_answer_goes_to_other_tables_by_the_protocol_of_arrow(rides: Metric) -> None:
    table = fastdata.ask(rides, every="all")

    assert hasattr(table, "__arrow_c_stream__")
    assert hasattr(table, "to_pandas")
