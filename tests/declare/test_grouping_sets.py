"""Grouping sets: what an event folds, what is stored, and which set answers."""

from collections.abc import Callable

import pytest

from fastdata import Count, Metric, Source, Sum
from fastdata.coordinates.dimensions import dump_dims
from fastdata.errors import DeclarationError, ExportError, QueryError
from fastdata.exports.table import flat_table
from fastdata.operate.sizing import Load, size
from tests.declare.test_metric_expressions import ORDER

Declare = Callable[[Source], object]


def by(*sets: object) -> Declare:
    return lambda orders: Metric("m", orders, by=sets)  # type: ignore[arg-type]


def sets(*given: object) -> Declare:
    by = {"country": "lower(country)", "device": "device"}
    return lambda orders: Metric("m", orders, by, grouping_sets=given)  # type: ignore[arg-type]


BAD = [
    pytest.param(
        by(("country",), "device"),
        "metric 'm': by holds grouping sets, and 'device' is none; write ('device',)",
    ),
    pytest.param(
        by(("country", "device"), (), ["device", "country"]),
        "metric 'm': the sets ('country', 'device') and ['device', 'country'] are the same; "
        "leave one out",
    ),
    pytest.param(
        by((), ("countri",)),
        "by of metric 'm': there is no field 'countri'; did you mean 'country'? There are: "
        "at, id, status, country, device, delay, quantity, price, total, paid, day, user, "
        "labels, tags, items, raw, mixed\n"
        "    countri\n"
        "    ^^^^^^^",
    ),
    pytest.param(
        by(
            ("country", "country"),
        ),
        "metric 'm': a dimension is named twice in the set ('country', 'country')",
    ),
    pytest.param(
        by(
            ("country", ["device"]),
        ),
        "metric 'm': by has ['device'] in it; give names of fields",
    ),
    pytest.param(
        sets((), ("country",)),
        "metric 'm': the dimension 'device' is in no grouping set; add it to one",
    ),
    pytest.param(
        sets(("country", "day"), ("device",)),
        "metric 'm': the set ('country', 'day') has 'day', no dimension; there are: country, "
        "device",
    ),
    pytest.param(
        sets((), "country", ("device",)),
        "metric 'm': grouping_sets has 'country' in it; write ('country',)",
    ),
    pytest.param(
        sets(),
        "metric 'm': grouping_sets is a list of sets, as in grouping_sets=[(), ('country',)]",
    ),
    pytest.param(
        lambda orders: Metric("m", orders, by=[("country",)], grouping_sets=[()]),
        "metric 'm': by holds grouping sets already; take grouping_sets away",
    ),
]


@pytest.mark.parametrize(("declare", "message"), BAD)
def test_wrong_sets_say_what_to_do(orders: Source, declare: Declare, message: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        declare(orders)

    _, _, said = str(caught.value).partition(": ")
    assert said == message


def test_an_event_folds_once_for_each_set(orders: Source) -> None:
    metric = Metric("m", orders, by=[(), ("country",), ("device", "country")])

    assert metric.by == ("country", "device")
    assert metric.sets == ((), ("country",), ("country", "device"))
    assert metric.rows(ORDER) == (
        ((0,), ([()],)),
        ((1, "DE"), ([()],)),
        ((2, "DE", "PC"), ([()],)),
    )


def test_sets_are_of_expressions_by_their_names(orders: Source) -> None:
    metric = Metric(
        "m",
        orders,
        where="status < 400",
        by={"country": "coalesce(lower(country), 'unknown')", "sku": "unnest(items).sku"},
        measures={"lines": Count(), "quantity": Sum("quantity")},
        grouping_sets=[("country",), ("sku",)],
    )

    assert list(metric.rows({**ORDER, "country": None})) == [
        ((0, "unknown"), [[(), 3], [(), 3], [(), 3]]),
        ((1, "x"), [[(), 3], [(), 3]]),
        ((1, "y"), [[(), 3]]),
    ]
    assert list(metric.rows({**ORDER, "status": 404})) == []


def test_folding_without_dimensions_counts_once(orders: Source) -> None:
    metric = Metric("m", orders, by=[("country",), ("device",)])
    states = metric.zero()
    metric.add(states, ORDER)

    assert [estimate.value for estimate in metric.estimate(states)] == [1]


def test_a_set_alone_is_the_plain_metric(orders: Source) -> None:
    plain = Metric("m", orders, by=["country", "device"])
    alone = Metric("m", orders, by=[("country", "device")])

    assert alone.id == plain.id
    assert alone.sets == plain.sets == (("country", "device"),)
    assert alone.rows(ORDER) == plain.rows(ORDER) == ((("DE", "PC"), ([()],)),)
    assert Metric("m", orders).sets == Metric("m", orders, by=[()]).sets == ((),)


def test_other_sets_are_another_metric(orders: Source) -> None:
    def declared(*sets: tuple[str, ...]) -> str:
        return Metric("m", orders, by=["country", "device"], grouping_sets=sets).id

    both = ("country", "device")
    assert declared((), both) == Metric("m", orders, by=[(), both]).id
    ids = {declared(both), declared((), both), declared(both, ()), declared(both, ("device",))}
    assert len(ids) == 4


def test_what_is_stored_tells_the_set(orders: Source) -> None:
    several = Metric("m", orders, by=[(), ("country",), ("device",)])
    plain = Metric("m", orders, by=["quantity", "device"])

    stored = [dump_dims(dims) for dims, _ in several.rows({**ORDER, "country": None})]
    assert stored == ["[0]", "[1,null]", '[2,"PC"]']
    assert [several.read_dims(text) for text in stored] == [(0, ()), (1, (None,)), (2, ("PC",))]
    assert plain.read_dims('[1,"PC"]') == (0, (1, "PC"))
    begin = [several.dims_prefix(by) for by in ([], ["country"], ["device"])]
    assert begin == ["[0]", "[1,", "[2,"]
    assert plain.dims_prefix(["device"]) == ""


def test_the_smallest_set_answers_and_of_equals_the_first(orders: Source) -> None:
    metric = Metric(
        "m", orders, by=[("country", "device", "day"), ("country", "day"), ("device", "day")]
    )

    assert metric.set_for(["device", "country"]) == 0
    assert metric.set_for(["day"]) == metric.set_for([]) == metric.set_for(["day", "country"]) == 1
    assert metric.set_for(["device"]) == 2


def test_what_no_set_holds_is_refused(orders: Source) -> None:
    metric = Metric("m", orders, by=[(), ("country",), ("device", "day")])
    have = "its sets are: (), (country), (device, day)"

    with pytest.raises(QueryError) as caught:
        metric.set_for(["day", "country"])
    assert str(caught.value) == (f"metric 'm' has no grouping set that holds day, country; {have}")
    with pytest.raises(ExportError) as refused:
        flat_table(metric, "1h")
    assert str(refused.value) == (
        f"metric 'm' has no grouping set that holds country, device, day; {have}; say with `by` "
        "by which dimensions the table is to be"
    )
    assert flat_table(metric, "1h", by=["day"]).by == ("day",)


def test_a_table_is_by_all_dimensions_where_a_set_holds_them(orders: Source) -> None:
    table = flat_table(Metric("m", orders, by=[(), ("country", "device"), ("device",)]), "1h")

    assert (table.name, table.by) == ("m_1h", ("country", "device"))


def test_a_load_is_sized_by_the_cells_of_each_set(orders: Source) -> None:
    def totals(metric: Metric) -> int:
        load = Load(events_per_s=10, peak_per_s=10, keys=10)
        return size(load, orders, [metric]).totals_per_day

    nothing, country = Metric("m", orders), Metric("m", orders, by=["country"])
    several = Metric("m", orders, by=[(), ("country",), ("country", "device")])

    # Of each minute, and of each hour.
    assert totals(several) == totals(nothing) + 2 * totals(country) == 21 * (1_440 + 24)
