"""Metrics with expressions: what they fold, what tells them apart, and how they are bounded."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from fastdata import Count, Max, Mean, Metric, Min, Ratio, Source, Sum, Uniques
from fastdata.declare.metric import Measure
from fastdata.errors import MapError
from fastdata.operate.states import state_bytes

ORDER: dict[str, object] = {
    "at": 1_706_745_599_000,
    "id": "1",
    "status": 200,
    "country": "DE",
    "device": "PC",
    "delay": 1.5,
    "quantity": 3,
    "price": Decimal("2.50"),
    "total": Decimal("0"),
    "paid": True,
    "day": 19_753,
    "user": {"id": "u1", "age": None},
    "labels": {"shop": "north"},
    "tags": ["a", "b", "a"],
    "items": [{"sku": "x", "number": 1}, {"sku": "y", "number": None}, {"sku": "x", "number": 5}],
    "raw": b"",
    "mixed": "m",
}


def values_of(metric: Metric, *events: dict[str, object]) -> list[object]:
    states = metric.zero()
    for event in events:
        metric.add(states, {**ORDER, **event})
    return [estimate.value for estimate in metric.estimate(states)]


def test_where_by_and_arguments_are_expressions(orders: Source) -> None:
    metric = Metric(
        "m",
        orders,
        where="status < 400 AND paid",
        by={"country": "coalesce(lower(country), 'unknown')", "hour": "extract(hour from at)"},
        measures={"revenue": Sum("quantity * price"), "buyers": Uniques("user.id")},
    )

    assert metric.by == ("country", "hour")
    assert metric.dimension_type("hour").kind == "int"
    assert metric.rows(ORDER) == ((("de", 23), ([Decimal("7.50"), "u1"],)),)
    assert metric.rows({**ORDER, "country": None})[0][0] == ("unknown", 23)
    assert metric.rows({**ORDER, "paid": None}) == ()
    assert metric.rows({**ORDER, "status": 404}) == ()
    assert values_of(metric, {}, {"quantity": 2, "user": {"id": "u2", "age": 1}}) == [
        Decimal("12.50"),
        2,
    ]


def test_a_null_argument_is_skipped(orders: Source) -> None:
    measures: dict[str, Measure] = {
        "n": Count(),
        "some": Count("delay > 1"),
        "mean": Mean("delay * 2"),
    }
    metric = Metric("m", orders, measures=measures)

    assert values_of(metric, {}, {"delay": None}, {"delay": 0.5}) == [3, 2, 2.0]


def test_each_element_folds_once_grouped_by_its_dimensions(orders: Source) -> None:
    metric = Metric(
        "m",
        orders,
        where="unnest(items).sku <> 'z'",
        by={"sku": "unnest(items).sku"},
        measures={"lines": Count(), "number": Sum("unnest(items).number * quantity")},
    )

    assert list(metric.rows(ORDER)) == [(("x",), [[(), 3], [(), 15]]), (("y",), [[(), None]])]
    assert values_of(metric, {}) == [3, 18]


@pytest.mark.parametrize("items", [None, [], [{"sku": "z", "number": 1}]])
def test_an_event_without_elements_folds_nothing(orders: Source, items: object) -> None:
    metric = Metric("m", orders, where="unnest(items).sku <> 'z'", by={"sku": "unnest(items).sku"})

    assert list(metric.rows({**ORDER, "items": items})) == []


def test_elements_that_are_no_records_are_values(orders: Source) -> None:
    metric = Metric("m", orders, by={"tag": "unnest(tags)"})

    assert list(metric.rows(ORDER)) == [(("a",), [[()], [()]]), (("b",), [[()]])]


def test_missing_events_may_have_any_number_of_elements(orders: Source) -> None:
    measures: dict[str, Measure | Ratio] = {
        "n": Count(),
        "sum": Sum("unnest(items).number"),
        "max": Max("unnest(items).number"),
        "min": Min("unnest(items).number"),
        "buyers": Uniques("user.id"),
        "share": Ratio("sum", "n"),
    }
    metric = Metric("m", orders, measures=measures)
    states = metric.zero()
    metric.add(states, ORDER)

    exact = metric.estimate(states)
    bounds = [(e.lower, e.upper) for e in metric.estimate(states, missing_events=1)]

    assert [e.value for e in exact] == [3, 6, 5, 1, 1]
    assert bounds == [(3, None), (None, None), (5, None), (None, 1), (1, None)]


def test_missing_events_of_a_metric_without_unnest_are_counted(orders: Source) -> None:
    metric = Metric("m", orders, measures={"n": Count()}, where="status < 400")
    states = metric.zero()
    metric.add(states, ORDER)

    (estimate,) = metric.estimate(states, missing_events=2)

    assert (estimate.lower, estimate.value, estimate.upper) == (1, 1, 3)


def test_equal_meaning_is_the_same_metric(orders: Source) -> None:
    def metric(where: str, by: str, argument: str) -> str:
        measures = {"revenue": Sum(argument)}
        return Metric("m", orders, by={"c": by}, measures=measures, where=where).id

    ids = {
        metric("status<400", "lower(country)", "quantity*price"),
        metric("(status  < 400)", "LOWER( country )", "quantity * price"),
    }

    assert len(ids) == 1


@pytest.mark.parametrize(
    "other",
    [
        lambda s: Metric("m", s, ["country"], {"n": Sum("quantity")}, where="status < 401"),
        lambda s: Metric("m", s, ["country"], {"n": Sum("quantity")}),
        lambda s: Metric("m", s, ["country"], {"n": Sum("quantity + 1")}, where="status < 400"),
        lambda s: Metric(
            "m", s, {"country": "lower(country)"}, {"n": Sum("quantity")}, where="status < 400"
        ),
        lambda s: Metric("m", s, {"c": "country"}, {"n": Sum("quantity")}, where="status < 400"),
    ],
    ids=["where", "no where", "argument", "dimension", "name"],
)
def test_another_expression_is_another_metric(
    orders: Source, other: Callable[[Source], Metric]
) -> None:
    metric = Metric("m", orders, ["country"], {"n": Sum("quantity")}, where="status < 400")

    assert other(orders).id != metric.id


def test_another_type_is_another_metric(orders: Source) -> None:
    metric = Metric("m", orders, measures={"n": Count("quantity")})
    before = metric.id
    orders.schema.fields["quantity"] = orders.schema.fields["price"]  # type: ignore[index]
    try:
        assert Metric("m", orders, measures={"n": Count("quantity")}).id != before
    finally:
        orders.schema.fields["quantity"] = orders.schema.fields["status"]  # type: ignore[index]


def test_plain_means_fields_alone(orders: Source) -> None:
    plain = Metric("m", orders, ["country"], {"n": Sum("quantity")})
    others: list[dict[str, Any]] = [
        {"by": {"country": "device"}},
        {"by": {"country": "lower(country)"}},
        {"where": "paid"},
        {"measures": {"n": Count("unnest(tags)")}},
        {"measures": {"n": Sum("quantity + 1")}},
    ]

    assert plain.is_plain
    assert not any(Metric("m", orders, **other).is_plain for other in others)


def test_a_field_that_a_map_function_spoils_is_named(orders: Source) -> None:
    metric = Metric("m", orders, by={"c": "lower(country)"}, measures={"n": Sum("quantity * 2")})

    with pytest.raises(MapError, match=r"field 'quantity' holds '3' \(str\) where an int belongs"):
        metric.rows({**ORDER, "quantity": "3"})
    with pytest.raises(MapError, match=r"LOWER\(country\): .* 'country'; the map function of sour"):
        metric.rows({"quantity": 3})


def test_a_load_is_sized_whatever_where_asks_for(orders: Source) -> None:
    metric = Metric(
        "m",
        orders,
        where="status = 200 AND unnest(items).sku LIKE 'a%'",
        measures={"n": Uniques("unnest(items).sku")},
    )

    assert state_bytes(metric, 100, exact=True) > state_bytes(metric, 1, exact=True) > 10
