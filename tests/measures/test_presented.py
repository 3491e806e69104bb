"""Estimates as they are stored."""

import math
from decimal import Decimal

import pytest

from fastdata.errors import CorruptStateError
from fastdata.measures.envelope import pack
from fastdata.measures.estimates import Estimate
from fastdata.measures.presented import dump_estimates, load_estimates


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


def test_bytes_that_are_no_estimates_are_refused() -> None:
    with pytest.raises(CorruptStateError, match="part of code 0"):
        load_estimates(pack([(1, b"[[1]]")]))
    for text in (b"[[1]", b"[[1,2,3,4,5]]", b"[1]", b'[[{"e":1}]]'):
        with pytest.raises(CorruptStateError, match="estimates cannot be read"):
            load_estimates(pack([(0, text)]))
    with pytest.raises(CorruptStateError, match="checksum"):
        load_estimates(dump_estimates([Estimate.exact(1)])[:-1] + b"x")
