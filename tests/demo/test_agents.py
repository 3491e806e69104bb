"""The files of agents/ are fit to be copied."""

from collections import Counter
from pathlib import Path

import pytest

from fastdata.declare.catalog import Catalog, load_folder
from fastdata.declare.metric import Metric
from fastdata.declare.source import Source
from fastdata.errors import BadEventError
from fastdata.events.decoder import Decoder, Event
from fastdata.events.registry import open_registry
from fastdata.events.schema import encode

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
    names = ["audience", "departures", "requests", "revenue", "traffic", "words"]
    assert sorted(catalog().metrics) == names


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
    audience = folded(catalog().metric("audience"), *views)
    assert audience["top_paths"] == (("/shoes", 3, 3, 3),)  # at least and at most three
    assert (audience["views"], audience["visitors"]) == (3, 2)


LINES = b"""\
127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] "GET /apache_pb.gif HTTP/1.0" 200 2326
2001:db8::1 - - [10/Oct/2000:20:55:37 +0000] "GET / HTTP/1.1" 304 - "-" "Mozilla/5.0 (X11)"
127.0.0.1 - - [10/Oct/2000:20:55:38 +0000] "POST /a?q=1 HTTP/2.0" 404 12 "-" "b \\"c\\""
""".splitlines()
FIRST_MS = 971_211_336_000  # 2000-10-10T20:55:36Z


def events(source: Source, values: list[bytes]) -> list[Event]:
    decoder = Decoder(source, open_registry(str(REPOSITORY / "schemas")))
    return [decoder.decode(value, FIRST_MS) for value in values]


def test_lines_of_an_access_log_are_requests() -> None:
    found = events(catalog().sources["access_log"], LINES)

    assert [event.time for event in found] == [FIRST_MS, FIRST_MS + 1_000, FIRST_MS + 2_000]
    assert [list((event.fields or {}).values())[1:] for event in found] == [
        ["127.0.0.1", "GET", "/apache_pb.gif", 200, 2326],
        ["2001:db8::1", "GET", "/", 304, None],
        ["127.0.0.1", "POST", "/a?q=1", 404, 12],
    ]


def test_requests_have_their_bytes_and_hosts() -> None:
    requests = catalog().metric("requests")
    states = requests.zero(exact=True)
    for event in events(requests.source, LINES):
        requests.add(states, event.fields or {}, event.time)

    estimates = [a.present(s).value for a, s in zip(requests.aggregates, states, strict=True)]
    assert dict(zip(requests.measures, estimates, strict=True)) == {
        "requests": 3, "bytes": 2338, "mean_bytes": 1169.0, "largest": 2326,
        "p50_p99": (12.0, 2326.0), "hosts": 2,
    }  # fmt: skip


@pytest.mark.parametrize("line", [LINES[0][:40], b'1 - - [x] "GET / HTTP/1.1" 200 1', b""])
def test_lines_that_are_no_requests_are_told(line: bytes) -> None:
    with pytest.raises(BadEventError, match=r"match the pattern|no time"):
        events(catalog().sources["access_log"], [line])


def test_words_of_lines_are_counted() -> None:
    words = catalog().metric("words")
    counts = Counter[object]()
    for event in events(words.source, [b"To be, or not to be,", b"", b"that is\n"]):
        assert event.time == FIRST_MS
        for (word,), several in words.rows(event.fields or {}, event.time):
            counts[word] += len(several)

    assert counts == {"to": 2, "be,": 2, "or": 1, "not": 1, "that": 1, "is": 1}
