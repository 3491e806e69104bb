"""Conditions on dimensions, and what they leave of them."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from fastdata import Metric
from fastdata.coordinates.dimensions import Dimension
from fastdata.declare.filters import Filter
from fastdata.errors import QueryError
from tests.answer.trips import declare_source


@pytest.fixture
def rides(tmp_path: Path) -> Metric:
    by = ["city", "line", "is_night", "day"]
    return Metric("rides", declare_source(tmp_path), by=by)


@pytest.mark.parametrize(
    ("text", "names", "choices"),
    [
        ("city = 'Oslo'", ["city"], {"city": {"Oslo"}}),
        ("'Oslo' = city and line in (1, 2)", ["city", "line"], {"city": {"Oslo"}, "line": {1, 2}}),
        ("city = 'a' or city = 'b' or city is null", ["city"], {"city": {"a", "b", None}}),
        ("city in ('a', 'b') and city in ('b', 'c')", ["city"], {"city": {"b"}}),
        ("city = 'a' and city = 'b'", ["city"], {"city": set()}),
        ("is_night and line = -1", ["is_night", "line"], {"is_night": {True}, "line": {-1}}),
        # Any other city may be there, too.
        ("city = 'a' or line = 1", ["city", "line"], {}),
        ("not city = 'a'", ["city"], {}),
        ("city is not null", ["city"], {}),
        ("upper(city) = 'A'", ["city"], {}),
        ("line = 1.0", ["line"], {}),
        ("line > 1 and city like 'O%'", ["line", "city"], {}),
        ("(city = 'a' or line = 1) and line = 2", ["city", "line"], {"line": {2}}),
        ("day = DATE '2013-01-01'", ["day"], {}),
        ("1 = 1", [], {}),
    ],
)
def test_a_filter_knows_the_few_values_that_it_leaves(
    rides: Metric, text: str, names: list[str], choices: dict[str, set[object]]
) -> None:
    parsed = Filter.parse(rides, text)
    assert tuple(names) == parsed.names
    assert choices == dict(parsed.choices)


def test_a_value_that_is_not_there_meets_no_condition_but_that(rides: Metric) -> None:
    nowhere: Mapping[str, Dimension] = {"city": None, "line": 1, "is_night": False, "day": 15_706}
    assert [False, False, True, True] == [
        Filter.parse(rides, text).accepts(nowhere)
        for text in ("city = 'Oslo'", "city <> 'Oslo'", "city is null", "day = DATE '2013-01-01'")
    ]


def test_what_only_a_map_function_can_have_made_is_accepted_by_no_condition(rides: Metric) -> None:
    strange: Mapping[str, Dimension] = {"city": 7, "line": "one", "is_night": None, "day": None}
    texts = ("city = 'Oslo'", "city > 'Oslo'", "line < 2", "is_night")
    assert not any(Filter.parse(rides, text).accepts(strange) for text in texts)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("town = 'Oslo'", "there is no dimension 'town'; there are: city, line, is_night, day"),
        ("km > 3", "there is no dimension 'km'"),
        ("city", "'city' is no condition but string"),
        ("city = 3", "city is string and 3 is int"),
        ("city =", "cannot be read as SQL"),
        ("", "is empty"),
        ("unnest(city) = 'a'", "unnest takes an array"),
    ],
)
def test_what_is_no_condition_on_dimensions_is_refused(
    rides: Metric, text: str, message: str
) -> None:
    with pytest.raises(QueryError, match=f"(?s)where of a query of metric 'rides'.*{message}"):
        Filter.parse(rides, text)
