"""The measure that the documentation shows how to write is one."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fastdata import Estimate
from fastdata.errors import CorruptStateError, DeclarationError, MapError
from fastdata.schemas import FieldType
from fastdata.testing.laws import fold

PAGE = Path(__file__).parents[2] / "docs" / "measures.md"


@pytest.fixture(scope="module")
def page() -> dict[str, Any]:
    """What the two blocks of the section define."""
    section = PAGE.read_text().partition("## A measure of your own")[2]
    names: dict[str, Any] = {"__name__": "weighted"}
    for block in re.findall(r"^```python\n(.*?)^```$", section, re.MULTILINE | re.DOTALL):
        exec(compile(block, PAGE.name, "exec"), names)
    return names


def test_it_keeps_the_laws(page: dict[str, Any]) -> None:
    keeps: Callable[[], None] = page["test_a_weighted_mean_keeps_the_laws"]
    keeps()


def test_it_answers_and_refuses_as_it_says(page: dict[str, Any]) -> None:
    integer = FieldType("int")
    measure = page["WeightedMean"]("price", "quantity")
    mean = measure.bind(integer, integer)

    assert Estimate.exact(2.5) == mean.present(fold(mean, [(1, 1), (3, 3)]))
    assert Estimate.exact(None) == mean.present(fold(mean, [(1, 0)]))
    assert Estimate(2.5, None, None) == mean.widen(Estimate.exact(2.5), 1)
    with pytest.raises(DeclarationError):
        measure.bind(integer, FieldType("float"))
    with pytest.raises(MapError, match="field 'quantity' holds"):
        mean.add(mean.zero(), (1, True))
    for data in (b"", b"[1]", b"[1, null]", b"7"):
        with pytest.raises(CorruptStateError):
            mean.load(data)
