"""Declarations: what is right, and what a wrong one says."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fastdata import Count, Max, Mean, Metric, Sessions, Source, Sum, Uniques
from fastdata.declare.catalog import catalog_of, load, load_folder
from fastdata.declare.metric import Measure
from fastdata.errors import CorruptStateError, DeclarationError, LoadError, UnknownMetricError
from fastdata.events.fieldtypes import FieldType
from fastdata.measures.aggregate import Aggregate

FIELDS = [
    {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    {"name": "id", "type": "string"},
    {"name": "origin", "type": ["null", "string"]},
    {"name": "delay", "type": ["null", "double"]},
    {"name": "raw", "type": "bytes"},
]


@pytest.fixture
def schema(tmp_path: Path) -> str:
    path = tmp_path / "flight.avsc"
    path.write_text(json.dumps({"type": "record", "name": "Flight", "fields": FIELDS}))
    return str(path)


@pytest.fixture
def flights(schema: str) -> Source:
    return Source("flights", topic="flights", schema=schema, time="at", id="id")


def test_a_metric_folds_nulls_in_by_and_skips_them_in_measures(flights: Source) -> None:
    metric = Metric("m", flights, by=["origin"], measures={"n": Count(), "d": Count("delay")})
    states = metric.zero()
    for delay in (1.5, None):
        metric.add(states, {"origin": None, "delay": delay})

    assert [a.present(s).value for a, s in zip(metric.aggregates, states, strict=True)] == [2, 1]
    assert metric.rows({"origin": None, "delay": None})[0][0] == (None,)


def test_another_oldest_event_is_another_definition(schema: str) -> None:
    def described(**more: Any) -> str:
        return Source("f", topic="f", schema=schema, time="at", id="id", **more).describe()

    assert described() == '["f", "f", "at", "id", 10000, null]'
    assert described(oldest="1971-01-01") == described()
    assert described(oldest=datetime(1980, 1, 1, tzinfo=UTC)) == described(oldest="1980-01-01")
    assert described(oldest="1980-01-01") != described()


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("from fastdata import Avg", "there is no fastdata.Avg; did you mean 'Mean'?"),
        ("from fastdata import Metrics", "there is no fastdata.Metrics; did you mean 'Metric'?"),
        (
            "from fastdata import Metric\nMetric('m', None, window='1h')",
            (
                "Metric takes no argument 'window'; a metric counts by the minute, and a query "
                "asks for more, as in every='1h'"
            ),
        ),
        (
            "from fastdata import Source\nSource('s', key='a')",
            "Source takes no argument 'key'; help(fastdata.Source) lists what there is",
        ),
    ],
)
def test_what_fastdata_has_not_is_told_with_what_it_has(
    tmp_path: Path, code: str, message: str
) -> None:
    file = tmp_path / "agents.py"
    file.write_text(code)

    with pytest.raises(LoadError) as caught:
        load(file)

    assert str(caught.value) == f"cannot load {file}:{code.count(chr(10)) + 1}: {message}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"measures": {"n": Count}}, "measure 'n' is the class Count; call it, as in Count("),
        ({"measures": [Count()]}, "give them names, as in measures={'events': Count()}"),
        ({"source": [1, 2]}, "its source is [1, 2]; a metric is of one Source: declare one for"),
    ],
)
def test_what_is_of_another_kind_is_told_with_what_to_write(
    flights: Source, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(DeclarationError) as caught:
        Metric("m", **{"source": flights, **arguments})

    assert message in str(caught.value)


def test_a_decimal_that_no_answer_can_hold_is_refused(tmp_path: Path) -> None:
    number = {"type": "bytes", "logicalType": "decimal", "precision": 50, "scale": 2}
    fields = [FIELDS[0], {"name": "n", "type": number}]
    path = tmp_path / "n.avsc"
    path.write_text(json.dumps({"type": "record", "name": "N", "fields": fields}))
    numbers = Source("n", topic="n", schema=str(path), time="at")

    Metric("m", numbers, measures={"n": Count("n")})
    for measure in (Sum("n"), Mean("n"), Max("n")):
        with pytest.raises(DeclarationError, match="a decimal of 50 digits; an answer has 38 at"):
            Metric("m", numbers, measures={"n": measure})


def test_a_timed_measure_is_given_the_event_time(flights: Source) -> None:
    class Latest(Max):
        timed = True

    metric = Metric("m", flights, measures={"n": Count(), "d": Latest("delay"), "e": Max("delay")})

    ((_, (values,)),) = metric.rows({"delay": 1.5}, 70)
    assert [(1.5, 70), 1.5] == list(values[1:])
    ((_, (nulls,)),) = metric.rows({"delay": None}, 70)
    assert [None, None] == list(nulls[1:])


def test_a_state_that_is_too_large_is_told_with_its_metric(flights: Source) -> None:
    metric = Metric("m", flights, measures={"s": Sessions("id")})
    states = metric.zero()
    for number in range(60_000):
        metric.add_values(states, [(f"{number:020}", number * 10_000_000)])

    with pytest.raises(CorruptStateError, match=r"metric 'm': a state of .* one dimension more"):
        metric.dump(states)


class Unnamed:
    """As Count; but its text has the address of the object in it."""

    arguments: tuple[str, ...] = ()

    def bind(self, *types: FieldType) -> Aggregate:
        return Count().bind()


class Coded(Count):
    """As Count, with a code that does not fit into a byte."""

    def bind(self, *types: FieldType) -> Aggregate:
        far: Aggregate = type("Far", (type(Count().bind()),), {"code": 256})()
        return far


def test_a_changed_definition_is_another_metric(flights: Source) -> None:
    definitions: list[tuple[list[str], dict[str, Measure]]] = [
        (["origin"], {"n": Count()}),
        ([], {"n": Count()}),
        (["origin"], {"n": Sum("delay")}),
        (["origin"], {"n": Count(), "m": Max("delay")}),
        (["origin"], {"n": Uniques("id")}),
        (["origin"], {"n": Uniques("id", lg_k=11)}),
    ]
    ids = {Metric("m", flights, by=by, measures=measures).id for by, measures in definitions}

    assert len(ids) == 6


def test_a_map_function_is_part_of_the_definition(flights: Source) -> None:
    metric = Metric("m", flights)
    before = metric.id
    flights.map(lambda event: None)

    assert metric.id != before


def test_the_same_declaration_has_the_same_id(schema: str) -> None:
    ids = {
        Metric("m", Source("f", topic="f", schema=schema, time="at"), by=["origin"]).id
        for _ in range(2)
    }

    assert len(ids) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"time": "when"}, "no field 'when'; it has: at, id, origin, delay, raw"),
        ({"time": "delay"}, "time field 'delay' holds float"),
        ({"id": "delay"}, "id field 'delay' holds float"),
        ({"name": "Flights"}, "a name is"),
        ({"topic": "a b"}, "no name of a Kafka topic"),
        ({"topic": ".."}, "no name of a Kafka topic"),
        ({"oldest": "1969-12-31"}, "it must be a whole hour of the years 1970 to 2199"),
        ({"oldest": "1999-01-01T00:30Z"}, "it must be a whole hour of the years 1970 to 2199"),
        ({"oldest": "early"}, "source 'flights': oldest: not a date or time: 'early'"),
        ({"oldest": 1999}, "oldest: not a date or time: 1999; give text or an aware datetime"),
        ({"lateness": 3600}, "lateness of source 'flights': not a duration: 3600; write a whole"),
        ({"lateness": "soon"}, "lateness of source 'flights': not a duration"),
        ({"skip_after": "3 min"}, "skip_after of source 'flights': not a duration: '3 min'"),
        ({"segment_size": 0}, "segment_size must be at least 1"),
        ({"schema": "nowhere.avsc"}, "there is no schema 'nowhere.avsc'"),
    ],
)
def test_a_wrong_source_says_where_and_what(
    schema: str, arguments: dict[str, object], message: str
) -> None:
    right = {"name": "flights", "topic": "flights", "schema": schema, "time": "at"}
    with pytest.raises(DeclarationError) as caught:
        Source(**{**right, **arguments})  # type: ignore[arg-type]

    assert message in str(caught.value)
    assert f"{Path(__file__).name}:" in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"by": ["orign"]}, "no field 'orign'; did you mean 'origin'? There are: at, id"),
        ({"by": "origin"}, "by is a list of fields, as in by=['origin']"),
        ({"by": ["delay"]}, "the dimension 'delay' holds float"),
        ({"by": ["origin", "origin"]}, "named twice"),
        ({"name": "My metric"}, "is no name"),
        ({"measures": {"n": Sum("dellay")}}, "measure 'n' of metric 'm': there is no"),
        ({"measures": {"n": Mean("origin")}}, "measure 'n' of metric 'm':"),
        ({"measures": {"n": Uniques("raw")}}, "measure 'n' of metric 'm':"),
        ({"measures": {"n": "count"}}, "use Count(), Sum('field')"),
        ({"measures": {"n": Unnamed()}}, "measure 'n' has no repr to be told by"),
        ({"measures": {"n": Coded()}}, "the code of measure 'n' is 256; yours are 128 to 255"),
        ({"measures": {"exact": Count()}}, "the column 'exact', which is taken"),
        ({"measures": {"a": Count(), "a_lower": Count()}}, "the column 'a_lower'"),
        ({"by": ["origin"], "measures": {"origin": Count()}}, "the column 'origin'"),
    ],
)
def test_a_wrong_metric_says_where_and_what(
    flights: Source, arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(DeclarationError) as caught:
        Metric(**{"name": "m", "source": flights, **arguments})  # type: ignore[arg-type]

    assert message in str(caught.value)
    assert f"{Path(__file__).name}:" in str(caught.value)


def test_two_metrics_of_one_name_are_refused(flights: Source) -> None:
    with pytest.raises(DeclarationError, match="two metrics are named 'm'"):
        catalog_of([Metric("m", flights), Metric("m", flights, by=["origin"])])


def test_an_unknown_metric_gets_a_hint(flights: Source) -> None:
    with pytest.raises(UnknownMetricError, match=r"did you mean 'departures'\?"):
        catalog_of([Metric("departures", flights)]).metric("depatures")


def agents(folder: Path, text: str) -> Path:
    file = folder / "agents" / "mine.py"
    file.parent.mkdir()
    file.write_text(text)
    return file


DECLARATION = """
from fastdata import Metric, Source
flights = Source("flights", topic="flights", schema="flight.avsc", time="at")
departures = Metric("departures", flights, by=["origin"])
"""


def test_a_file_is_loaded_by_path_from_anywhere(
    schema: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = agents(tmp_path, DECLARATION)
    monkeypatch.chdir("/")
    module = load(file)

    assert load(str(file)) is module
    assert load_folder(file.parent).metric("departures") is module.departures


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import nothing_of_that_name", "mine.py:1: ModuleNotFoundError"),
        ("x = 1\nx = (", "mine.py:2: SyntaxError"),
        ("x = 1\n\n1 / 0", "mine.py:3: ZeroDivisionError"),
    ],
)
def test_a_broken_file_says_where(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(LoadError) as caught:
        load(agents(tmp_path, text))

    assert message in str(caught.value)


def test_a_wrong_declaration_in_a_file_says_the_line(schema: str, tmp_path: Path) -> None:
    file = agents(tmp_path, DECLARATION.replace('"origin"', '"orign"'))

    with pytest.raises(DeclarationError, match=r"mine\.py:4: by of metric 'departures'"):
        load(file)


def test_an_empty_folder_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="FASTDATA_AGENTS"):
        load_folder(tmp_path)
