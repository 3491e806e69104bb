"""Alerts that are declared, rightly and wrongly."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from fastdata import Alert, Count, DerivedMetric, Estimate, Metric, Source, load
from fastdata.declare.catalog import catalog_of, load_folder
from fastdata.errors import DeclarationError, LoadError
from tests.alerts.shop import declare


@pytest.fixture
def metric(tmp_path: Path) -> Metric:
    return declare(tmp_path)


def test_an_alert_knows_its_measures_windows_and_where_it_goes(metric: Metric) -> None:
    alert = Alert(
        "failures", metric, when="failed / orders > 0.2 and orders >= 10", every="5m",
        for_=timedelta(minutes=15), by="shop", to="https://hooks.example/T00/s3cret",
    )  # fmt: skip

    assert (("failed", "orders"), 3, ("shop",)) == (alert.measures, alert.windows, alert.by)
    assert "hooks.example" == alert.host


def test_another_condition_is_another_definition_and_another_receiver_is_none(
    metric: Metric,
) -> None:
    def definition(when: str, **more: str) -> str:
        return Alert("x", metric, when=when, every="1m", **more).definition

    assert definition("orders > 5") == definition("(orders>5)", to="https://hooks.example")
    assert definition("orders > 5") != definition("orders > 6")
    assert definition("orders > 5") != definition("orders > 5", for_="2m")
    assert definition("orders > 5") != definition("orders > 5", until="orders < 3")


def test_a_derived_measure_can_be_named(metric: Metric) -> None:
    assert ("share",) == Alert("x", metric, when="share > 0.1", every="1m").measures


@pytest.mark.parametrize("share", [0.1, 0.2, 0.3, 0.7])
def test_a_quotient_is_no_more_than_what_is_written_as_it(metric: Metric, share: float) -> None:
    shares = {"share": Estimate.exact(share)}

    def verdict(when: str) -> bool | None:
        return Alert("x", metric, when=f"share {when} {share}", every="1m").verdict(shares)

    assert (False, True, True, False) == tuple(map(verdict, (">", ">=", "<=", "<")))


def test_of_a_derived_metric_it_knows_what_is_read_and_what_is_computed(
    metric: Metric, tmp_path: Path
) -> None:
    parts = [metric, declare(tmp_path, "returns"), declare(tmp_path, "visits")]

    def alert(share: str) -> Alert:
        derived = DerivedMetric("quality", parts, {"share": share, "v": "visits.orders / 2"})
        return Alert("x", derived, when="share > 0.1", every="1m", by="shop")

    share = "returns.orders / orders.orders"
    assert parts[:2] == list(alert(share).metrics)
    assert {"orders", "returns"} == alert(share).topics
    assert alert(share).definition == alert(share).definition != alert(f"1 - {share}").definition
    catalog = catalog_of([alert(share)])
    assert (["quality"], ["orders", "returns", "visits"]) == (
        [*catalog.derived], sorted(catalog.metrics),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": ""}, "its name must be 1 to 64 printable characters"),
        ({"name": "a\nb"}, "its name must be 1 to 64 printable characters"),
        ({"metric": "orders"}, "it is of 'orders'; give it a Metric"),
        ({"when": "orderz > 5"}, "no measure of metric 'orders' that is a number, 'orderz'; did"),
        ({"when": "name = 'x'"}, "no measure of metric 'orders' that is a number, 'name'"),
        ({"when": "orders"}, "when is 'orders', no condition but float"),
        ({"until": "orders"}, "until is 'orders', no condition but float"),
        ({"until": "orderz < 1"}, "until of alert 'x': there is no measure of metric 'orders'"),
        ({"until": "1 > 2"}, "until is '1 > 2', which names no measure"),
        ({"when": "1 > 2"}, "which names no measure"),
        ({"when": "orders >"}, "cannot be read as SQL"),
        ({"when": 5}, "5 is no expression"),
        ({"when": "coalesce(orders, 0) > 1"}, "cannot be judged by bounds"),
        ({"every": "90s"}, "every is 90s; it must be a day at most and whole times 1 min"),
        ({"every": "2d"}, "every is 2d; it must be a day at most"),
        ({"every": "0m"}, "every is 0m"),
        ({"every": "often"}, "every: not a duration: 'often'"),
        ({"for_": "7m"}, "for_ is 7m; it must be a day at most and whole times 5 min"),
        ({"for_": "1m"}, "for_ is 1m"),
        ({"wait": "25h"}, "wait is 25h; it must be a day at most"),
        ({"by": "shp"}, "metric 'orders' has no dimension 'shp'; did you mean 'shop'?"),
        ({"where": "shp = 'x'"}, "there is no dimension 'shp'"),
        ({"to": "kafka://alerts"}, "`to` is no address"),
        ({"to": "hooks.example/x"}, "`to` is no address"),
        ({"to": "http:///x"}, "`to` is no address"),
        ({"to": "http://[x/"}, "`to` is no address"),
        ({"to": "http://x:99999/"}, "`to` is no address"),
        ({"to": 5}, "`to` is no address"),
        ({"to": "https://hooks.example/a b"}, "write %20 for a space"),
        ({"to": "https://hooks.example/caf\u00e9"}, "`to` has a character that no address has"),
        ({"to": "https://hooks.example/x\n"}, "`to` has a character that no address has"),
        ({"to": "https://me:s3cret@hooks.example/"}, "`to` has a user in it"),
    ],
)
def test_a_wrong_declaration_says_where_and_why(
    metric: Metric, change: dict[str, object], message: str
) -> None:
    right = {"name": "x", "metric": metric, "when": "orders > 5", "every": "5m"}
    with pytest.raises(DeclarationError, match=r"test_alerts.py:\d+: ") as error:
        Alert(**right | change)  # type: ignore[arg-type]

    assert message in str(error.value)
    assert "s3cret" not in str(error.value)


AGENTS = """
from pathlib import Path
from fastdata import Alert
from tests.alerts.shop import declare

orders = declare(Path(__file__).parent)
many = Alert("many", orders, when="orders > 5", every="5m"MORE)
"""


def write(folder: Path, more: str = "") -> Path:
    (folder / "agents").mkdir()
    file = folder / "agents" / "orders.py"
    file.write_text(AGENTS.replace("MORE", more))
    return file


def test_alerts_are_found_beside_metrics_and_bring_theirs(tmp_path: Path) -> None:
    file = write(tmp_path)

    catalog = load_folder(tmp_path / "agents")

    assert {"many": load(file).many} == catalog.alerts
    assert (["orders"], ["orders"]) == (list(catalog.metrics), list(catalog.sources))


def test_an_argument_that_does_not_exist_is_told(tmp_path: Path) -> None:
    file = write(tmp_path, ", whenever=1")

    with pytest.raises(LoadError, match="Alert takes no argument 'whenever'"):
        load(file)


def test_two_alerts_of_one_name_are_refused(metric: Metric) -> None:
    alerts = [Alert("x", metric, when=f"orders > {n}", every="5m") for n in (1, 2)]

    with pytest.raises(DeclarationError, match="two alerts are named 'x'"):
        catalog_of(alerts)


def test_dates_and_instants_among_dimensions_are_iso_text(tmp_path: Path) -> None:
    instant = {"type": "long", "logicalType": "timestamp-micros"}
    fields = [
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "day", "type": ["null", {"type": "int", "logicalType": "date"}]},
        {"name": "since", "type": instant},
        {"name": "line", "type": "int"},
    ]
    schema = {"type": "record", "name": "Trip", "fields": fields}
    (tmp_path / "trip.avsc").write_text(json.dumps(schema))
    source = Source("trips", topic="trips", schema=str(tmp_path / "trip.avsc"), time="at")
    by = ["day", "since", "line"]
    trips = Metric("trips", source, by=by, measures={"n": Count()})
    alert = Alert("many", trips, when="n > 1", every="1m", by=by)

    assert alert.dimensions("[19782,1709208000000001,7]") == {
        "day": "2024-02-29",
        "since": "2024-02-29T12:00:00.000001Z",
        "line": 7,
    }
    assert alert.dimensions("[null,9223372036854775807,7]") == {
        "day": None,
        "since": 9223372036854775807,
        "line": 7,
    }
