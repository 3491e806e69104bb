"""An event with a key that is too long is left out by both layers, and by both engines alike."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastdata import Count, Metric, Source
from fastdata.batch.columnar.engine import fold_columns, is_columnar
from fastdata.batch.row_engine import fold
from fastdata.coordinates.dimensions import MAX_DIMS_BYTES, dims_bytes
from fastdata.errors import BadEventError
from tests.batch.test_grouping_sets_agree import START, folder, jobs, source

__all__ = ["folder", "source"]

LONG = [
    "x" * 2_044,  # with brackets and quotes 2,048 bytes
    "x" * 2_045,
    '"' * 1_022,  # two bytes each
    '"' * 1_023,
    "\x01" * 340,  # six bytes each, as \u0001
    "\x01" * 341,
    "\n" * 1_022,
    "\n" * 1_023,
    "€" * 681,  # three bytes each
    "€" * 682,
    "\U0001f600" * 511,  # four bytes each
    "\U0001f600" * 512,
]
FITTING = LONG[::2]


def event(**fields: object) -> dict[str, Any]:
    nothing = dict.fromkeys(("country", "device", "level", "user", "amount", "tags"))
    return {"at": START, "id": str(sorted(fields.items())), **nothing, **fields}


def counted(metric: Metric, log: Sequence[dict[str, Any]]) -> dict[tuple[object, ...], int]:
    """Events by stored dimensions, as both engines count them."""
    rows, columns = jobs(metric.source, log, 1)
    result = fold([metric], rows)
    assert is_columnar(metric, [metric.source.schema.canonical])
    assert fold_columns([metric], columns) == result
    counts: Counter[tuple[object, ...]] = Counter()
    for totals in result.totals.values():
        for _, dims, state in totals:
            number, values = metric.read_dims(dims)
            (count,) = metric.load(state)
            assert isinstance(count, int)
            counts[(number, *values)] += count
    return counts


def test_a_key_has_as_many_bytes_as_every_store_takes(source: Source) -> None:
    metric = Metric("m", source, ["country"], {"n": Count()})

    counts = counted(metric, [event(country=value) for value in [*LONG, None, ""]])

    assert counts == {(0, value): 1 for value in [*FITTING, None, ""]}


def test_dimensions_are_measured_together(source: Source) -> None:
    metric = Metric("m", source, ["country", "level", "device"], {"n": Count()})
    values = [("c" * 1_000, None, "d" * 1_036), ("c" * 1_000, None, "d" * 1_037), ("c", 7, "d")]

    counts = counted(metric, [event(country=c, level=n, device=d) for c, n, d in values])

    # ["ccc",null,"ddd"]: 1,000 + 1,036 and twelve others.
    assert counts == {(0, *values[0]): 1, (0, *values[2]): 1}


def test_no_grouping_set_has_an_event_that_another_leaves_out(source: Source) -> None:
    metric = Metric("m", source, [("country",), ("device",), ()], {"n": Count()})
    log = [event(country="c", device="d" * 2_045), event(country="c", device="d")]

    assert counted(metric, log) == {(0, "c"): 1, (1, "d"): 1, (2,): 1}


def test_one_element_that_is_too_long_leaves_the_event_out(source: Source) -> None:
    metric = Metric("m", source, {"tag": "unnest(tags)"}, {"n": Count()})
    log = [event(tags=["a", "b" * 2_045]), event(tags=["a", "a", "c"])]

    assert counted(metric, log) == {(0, "a"): 2, (0, "c"): 1}


def test_what_a_condition_leaves_out_is_not_measured(source: Source) -> None:
    metric = Metric(
        "m", source, {"tag": "unnest(tags)"}, {"n": Count()}, where="length(unnest(tags)) < 9"
    )

    assert counted(metric, [event(tags=["a", "b" * 2_045])]) == {(0, "a"): 1}


def test_a_metric_may_cut_what_is_too_long(source: Source) -> None:
    metric = Metric("m", source, {"country": "substring(country, 1, 200)"}, {"n": Count()})

    counts = counted(metric, [event(country="c" * 2_700), event(country="c" * 200)])

    assert counts == {(0, "c" * 200): 2}


def test_very_many_numbers_are_a_long_key_too(source: Source) -> None:
    by = {f"d{n}": "amount * 1" for n in range(100)}
    metric = Metric("m", source, by, {"n": Count()})
    log = [event(amount=10**18), event(amount=10**19 // 2), event(amount=3)]

    # 100 numbers of 19 digits, and 101 commas and brackets: 2,001; with 20 digits each, 2,101.
    assert counted(metric, [*log, event(amount=-(10**18))]) == {
        (0, *[amount] * 100): 1 for amount in (10**18, 10**19 // 2, 3)
    }


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.text('a"\\\n\x00\x1f\x7f€\U0001f600', min_size=0, max_size=12),
            st.integers(1, 250),
            st.none() | st.booleans(),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_both_engines_measure_alike(source: Source, texts: list[tuple[str, int, Any]]) -> None:
    metric = Metric("m", source, {"c": "country", "long": "amount > 1", "l": "level"})
    log = [
        event(id=str(n), country=text * times, amount=None if big is None else int(big) + 1)
        for n, (text, times, big) in enumerate(texts)
    ]

    counts = counted(metric, log)

    keys = [(t * times, big, None) for t, times, big in texts]
    assert sum(counts.values()) == sum(dims_bytes(key) <= MAX_DIMS_BYTES for key in keys)


def test_the_message_says_which_dimension_is_long_and_what_to_do(source: Source) -> None:
    metric = Metric("m", source, ["country", "device"])

    with pytest.raises(BadEventError) as caught:
        metric.rows(event(country="c" * 9, device="d" * 2_700))

    assert caught.value.detail == (
        "the dimensions take 2716 bytes, 2702 of them device; a key has at most 2048: let the "
        "metric cut it, as in substring(device, 1, 200)"
    )
