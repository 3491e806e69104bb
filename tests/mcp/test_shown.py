"""Which bounds of a row are shown."""

from typing import Any

import pytest

from fastdata.mcp.shown import shown_rows

TOP = [{"item": "/home", "count": 3, "lower": 3, "upper": 4}]


@pytest.mark.parametrize(
    ("value", "lower", "upper", "is_shown"),
    [
        (3, 3, 3, False),
        (3, 3, 4, True),
        (3.5, None, None, True),
        (0, 0, None, True),
        (None, None, None, False),
        (TOP, None, None, False),
        ([0.5, 1.0], [0.5, 1.0], [0.5, 2.0], True),
        (True, True, True, False),
    ],
)
def test_bounds_are_shown_of_what_is_not_certain(
    value: object, lower: object, upper: object, is_shown: bool
) -> None:
    row: dict[str, Any] = {"city": "Oslo", "n": value, "n_lower": lower, "n_upper": upper}
    kept = {"n_lower": lower, "n_upper": upper} if is_shown else {}

    assert [{"city": "Oslo", "n": value, **kept}] == shown_rows([row], ["n"])
    assert {"n_lower", "n_upper"} < set(row)


@pytest.mark.parametrize("name", ["in_progress", "gap"])
def test_what_may_be_wrong_is_said_where_it_is(name: str) -> None:
    rows = [{"n": 0, "exact": False, name: True}, {"n": 0, "exact": True, name: False}]

    assert [{"n": 0, "exact": False, name: True}, {"n": 0, "exact": True}] == shown_rows(rows, [])
