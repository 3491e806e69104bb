"""The files of agents/ are fit to be copied."""

from pathlib import Path

from fastdata.decoding import Decoder
from fastdata.loading import Catalog, load_folder
from fastdata.metric import Metric
from fastdata.schemas import encode, open_registry
from fastdata.source import Source

REPOSITORY = Path(__file__).parents[2]
VIEW = {
    "view_id": "v1",
    "viewed_at": 1_700_000_000_000,
    "visitor_id": "ann",
    "site": "shop",
    "path": "/shoes?size=42",
    "country": "DE",
    "load_ms": 300,
    "bytes_sent": 1_000,
    "is_bot": False,
}


def fields_of(source: Source, record: dict[str, object]) -> dict[str, object] | None:
    decoder = Decoder(source, open_registry(str(REPOSITORY / "schemas")))
    return decoder.decode(encode(source.schema, record)).fields


def catalog() -> Catalog:
    return load_folder(REPOSITORY / "agents")


def folded(metric: Metric, *records: dict[str, object]) -> dict[str, object]:
    states = metric.zero()
    for record in records:
        fields = fields_of(metric.source, record)
        assert fields is not None
        metric.add(states, fields)
    estimates = [a.present(s).value for a, s in zip(metric.aggregates, states, strict=True)]
    return dict(zip(metric.measures, estimates, strict=True))


def test_all_of_them_load_together() -> None:
    assert sorted(catalog().metrics) == ["audience", "departures", "traffic"]


def test_page_views_of_robots_are_dropped() -> None:
    assert fields_of(catalog().sources["page_views"], {**VIEW, "is_bot": True}) is None


def test_page_views_are_counted_by_path_without_its_query() -> None:
    traffic = catalog().metric("traffic")
    fields = fields_of(traffic.source, VIEW)
    assert fields is not None
    assert traffic.rows(fields)[0][0] == ("shop", "/shoes")


def test_page_views_have_their_load_time_and_visitors() -> None:
    views = [VIEW, {**VIEW, "visitor_id": "bob", "load_ms": None}, {**VIEW, "load_ms": 500}]
    assert folded(catalog().metric("traffic"), *views) == {
        "views": 3,
        "timed": 2,
        "load_ms": 400.0,
        "slowest_ms": 500,
        "bytes": 3_000,
    }
    assert folded(catalog().metric("audience"), *views) == {"views": 3, "visitors": 2}
