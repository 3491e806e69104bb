"""Derived metrics that are declared, rightly and wrongly, and the bounds of what they compute."""

import json
import math
from collections.abc import Callable
from fractions import Fraction
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastdata import Count, DerivedMetric, Last, Metric, Source, Sum
from fastdata.declare.catalog import Catalog, catalog_of, load_folder
from fastdata.declare.derived import Formula
from fastdata.errors import DeclarationError, LoadError, UnknownMetricError
from fastdata.measures.estimates import Estimate

SCHEMA = {
    "type": "record",
    "name": "Event",
    "fields": [
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "n", "type": "long"},
    ],
}
WHOLE = st.integers(-6, 6)


@st.composite
def estimates(draw: st.DrawFn) -> Estimate:
    low, value, high = sorted(draw(st.tuples(WHOLE, WHOLE, WHOLE)))
    return Estimate(value, low, high)


@pytest.fixture(scope="module")
def formula(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Formula]:
    """The formula of a text over `a.n` and `b.n`."""
    file = tmp_path_factory.mktemp("schemas") / "event.avsc"
    file.write_text(json.dumps(SCHEMA))
    source = Source("events", topic="events", schema=str(file), time="at")
    metrics = [Metric(name, source, measures={"n": Sum("n")}) for name in "ab"]
    return lambda text: Formula.parse(text, metrics, "test")


ONCE: dict[
    str, Callable[[int, int], float]
] = {  # each measure once, so that the corners are all that there is to a bound
    "a.n / b.n": lambda a, b: a / b,
    "1 - a.n / b.n": lambda a, b: float(1 - Fraction(a, b)),
    "100 * a.n / b.n": lambda a, b: float(Fraction(100 * a, b)),
    "(a.n + 0.5) / -b.n": lambda a, b: float((a + Fraction(1, 2)) / -b),
    "b.n * a.n - 1": lambda a, b: float(a * b - 1),
}


@pytest.mark.parametrize("text", ONCE)
@given(a=estimates(), b=estimates())
def test_bounds_are_the_least_and_the_largest_of_all_corners(
    formula: Callable[[str], Formula], text: str, a: Estimate, b: Estimate
) -> None:
    plain: Callable[..., float] = ONCE[text]
    answer = formula(text).derive({("a", "n"): a, ("b", "n"): b})
    has_quotient = "/" in text
    if has_quotient and b.value == 0:
        assert (None, None, None) == (answer.value, answer.lower, answer.upper)
        return
    assert plain(a.value, b.value) == answer.value
    if has_quotient and b.lower <= 0 <= b.upper:  # type: ignore[operator]
        assert (None, None) == (answer.lower, answer.upper)
        return
    corners = [plain(x, y) for x, y in product((a.lower, a.upper), (b.lower, b.upper))]
    assert (min(corners), max(corners)) == (answer.lower, answer.upper)
    assert answer.is_exact or not (a.is_exact and b.is_exact)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (Estimate(2, 2, None), Estimate.exact(4), Estimate(0.5, 0.5, None)),
        (Estimate(2, 1, 3), Estimate(4, 4, None), Estimate(0.5, 0.0, 0.75)),
        (Estimate.exact(2), Estimate(4, 0, 5), Estimate(0.5, None, None)),
        (Estimate.exact(2), Estimate.exact(0), Estimate.exact(None)),
        (Estimate.exact(2), Estimate(0, 0, 3), Estimate(None, None, None, 0.0)),
        (Estimate.exact(None), Estimate.exact(4), Estimate.exact(None)),
        (Estimate.exact(math.inf), Estimate.exact(4), Estimate.exact(None)),
        (Estimate.exact(10**400), Estimate.exact(1), Estimate.exact(math.inf)),
        (Estimate(2, 1, 3, 0.75), Estimate(4, 4, 4, 0.5), Estimate(0.5, 0.25, 0.75, 0.25)),
    ],
)
def test_what_is_not_known_of_a_part_is_not_of_the_answer(
    formula: Callable[[str], Formula], a: Estimate, b: Estimate, expected: Estimate
) -> None:
    assert expected == formula("a.n / b.n").derive({("a", "n"): a, ("b", "n"): b})


@pytest.fixture
def orders_by(orders: Source) -> Metric:
    return Metric(
        "orders",
        orders,
        by=["country", "device"],
        measures={"n": Count(), "sold": Sum("quantity"), "last": Last("country")},
    )


@pytest.fixture
def paid(orders: Source) -> Metric:
    return Metric("paid", orders, by=["device", "status"], where="paid", zone="Asia/Tokyo")


def derive(*metrics: Metric, **changes: object) -> DerivedMetric:
    arguments: dict[str, object] = {
        "name": "share", "metrics": metrics, "measures": {"share": "paid.events / orders.n"},
        "zone": "UTC",
    }  # fmt: skip
    return DerivedMetric(**arguments | changes)  # type: ignore[arg-type]


def test_it_has_the_dimensions_that_all_have_and_its_zone(orders_by: Metric, paid: Metric) -> None:
    share = derive(paid, orders_by, zone="Europe/Berlin")

    assert (("device",), "Europe/Berlin") == (share.by, share.calendar.zone)
    assert (("paid", "events"), ("orders", "n")) == share.columns["share"].parts


def test_its_definition_is_that_of_its_metrics_and_measures(
    orders: Source, orders_by: Metric, paid: Metric
) -> None:
    share = derive(paid, orders_by)
    spaced = derive(paid, orders_by, measures={"share": "paid.events/(orders.n)"})
    other = derive(paid, orders_by, measures={"share": "paid.events / orders.sold"})
    unpaid = derive(Metric("paid", orders, where="not paid"), orders_by)

    assert share.id == spaced.id
    assert 3 == len({share.id, other.id, unpaid.id})
    assert share.id.startswith("share-")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "a share"}, "'a share' is no name"),
        ({"metrics": []}, "its metrics are []; give a list of them"),
        ({"metrics": "orders"}, "its metrics are 'orders'; give a list of them"),
        ({"zone": None}, "have the zones Asia/Tokyo, UTC; give it one: zone='Asia/Tokyo'"),
        ({"zone": "Mars/Base"}, "Mars/Base"),
        ({"measures": {}}, "measures is {}; name some"),
        ({"measures": {"device": "paid.events + 1"}}, "gives the column 'device', which is taken"),
        ({"measures": {"x": "pay.events / orders.n"}}, "there is no metric 'pay'; there are"),
        ({"measures": {"x": "paid.event / 2"}}, "no measure that is a number in paid 'event'; did"),
        ({"measures": {"x": "orders.last"}}, "no measure that is a number in orders 'last'"),
        ({"measures": {"x": "paid"}}, "measure 'x' of derived metric 'share': 'paid' is record"),
        ({"measures": {"x": "1.0"}}, "it must be a number that is computed from measures"),
        ({"measures": {"x": "paid.events > 1"}}, "'paid.events > 1' is bool; it must be a number"),
        ({"measures": {"x": "sqrt(paid.events)"}}, "sqrt"),
        ({"measures": {"x": "coalesce(paid.events, 0)"}}, "cannot be judged by bounds"),
        ({"measures": {"x": 5}}, "5 is no expression"),
    ],
)  # fmt: skip
def test_a_wrong_declaration_says_where_and_why(
    orders_by: Metric, paid: Metric, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(DeclarationError, match=r"test_derived_metrics.py:\d+: ") as error:
        derive(paid, orders_by, **changes)
    assert message in str(error.value)


def test_a_dimension_is_of_one_kind_and_a_metric_is_named_once(
    orders: Source, orders_by: Metric, paid: Metric
) -> None:
    other = Metric("paid", orders, by={"device": "quantity"})
    with pytest.raises(DeclarationError, match="'device' is int in paid, string in orders; cast"):
        derive(other, orders_by)
    with pytest.raises(DeclarationError, match="two of its metrics have one name"):
        derive(paid, other, orders_by)


def test_a_catalog_has_it_and_its_metrics(orders_by: Metric, paid: Metric) -> None:
    share = derive(paid, orders_by)
    catalog = catalog_of([share])

    assert {"paid": paid, "orders": orders_by} == catalog.metrics
    assert Catalog(catalog.metrics, catalog.sources, {}, {"share": share}) == catalog
    with pytest.raises(UnknownMetricError, match="'share' is a derived metric, of which nothing"):
        catalog.metric("share")
    with pytest.raises(UnknownMetricError, match="did you mean 'share'"):
        catalog.metric("shar")


def test_no_two_metrics_share_a_name_derived_or_not(orders_by: Metric, paid: Metric) -> None:
    with pytest.raises(DeclarationError, match="two metrics are named 'paid'"):
        catalog_of([paid, derive(paid, orders_by, name="paid")])


def test_an_argument_that_there_is_not_is_told(tmp_path: Path) -> None:
    text = "from fastdata import DerivedMetric\nDerivedMetric('x', [], measures={}, by=['y'])\n"
    (tmp_path / "x.py").write_text(text)
    with pytest.raises(LoadError, match="DerivedMetric takes no argument 'by'"):
        load_folder(tmp_path)
