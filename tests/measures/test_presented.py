"""Estimates as they are stored."""

import math
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from fastdata.errors import CorruptStateError
from fastdata.measures.envelope import pack
from fastdata.measures.estimates import Estimate
from fastdata.measures.presented import NO_ESTIMATES, dump_estimates, load_estimates


@pytest.mark.parametrize(
    "estimate",
    [
        Estimate.exact(None),
        Estimate.exact(1 << 70),
        Estimate(3, 3.0, 3),
        Estimate(1_000, 990, 1_012, 0.997),
        Estimate(7, 7, None),
        Estimate.exact(Decimal("1.50")),
        Estimate.exact(math.nan),
        Estimate(-math.inf, None, -0.0, 0.5),
        Estimate.exact((("a", 3, 3, None), ("\u00fc", 2, 2, 2))),
        Estimate.exact(()),
    ],
)
def test_they_are_the_same_when_they_are_read(estimate: Estimate) -> None:
    stored = load_estimates(dump_estimates([Estimate.exact(1), estimate]))

    assert repr((Estimate.exact(1), estimate)) == repr(stored)


@pytest.mark.parametrize(
    "value", [date(2024, 5, 1), {"most": 3}, (1, [2, 3]), frozenset(), "x" * (1 << 20)]
)
def test_what_cannot_be_stored_is_said_to_be_so(value: Any) -> None:
    assert NO_ESTIMATES == dump_estimates([Estimate.exact(1), Estimate(1, 0, value)])
    with pytest.raises(CorruptStateError, match="0 parts"):
        load_estimates(NO_ESTIMATES)


def test_bytes_that_are_no_estimates_are_refused() -> None:
    with pytest.raises(CorruptStateError, match="part of code 0"):
        load_estimates(pack([(1, b"[[1]]")]))
    for text in (b"[[1]", b"[[1,2,3,4,5]]", b"[1]", b'[[{"e":1}]]'):
        with pytest.raises(CorruptStateError, match="estimates cannot be read"):
            load_estimates(pack([(0, text)]))
    with pytest.raises(CorruptStateError, match="checksum"):
        load_estimates(dump_estimates([Estimate.exact(1)])[:-1] + b"x")
