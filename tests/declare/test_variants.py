"""An experiment's arms: of an id the same one everywhere, and by chance."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from datafusion import SessionContext
from scipy import stats

from fastdata import Count, Metric, Source, Variant
from fastdata.errors import DeclarationError, MapError
from fastdata.events.fieldtypes import FieldType
from fastdata.expressions import compile_value, parse_expression, to_sql

IDS = range(100_000)
SCORING = Variant("scoring", by="customer_id", share=0.1)
PAGES = Variant("pages", by="customer_id", arms={"old": 2, "new": 1, "bold": 1})


def test_the_arm_of_an_id_never_changes() -> None:
    ids: list[str | int | None] = ["c-1", "c-2", "c-3", "c-4", 17, "17", "", "Zoë", None]
    old, new, bold = "old", "new", "bold"

    assert [SCORING.arm(value) for value in ids] == ["a", "a", "a", "b", "a", "a", "a", "a", None]
    assert [PAGES.arm(n) for n in ids] == [old, new, old, bold, old, old, bold, old, None]
    assert [n for n in range(60) if SCORING.arm(n) == "b"] == [13, 21, 24, 37, 41]


def test_the_expression_never_changes() -> None:
    assert SCORING.expression == (
        "CASE WHEN blake2b('scoring:' || CAST(\"customer_id\" AS VARCHAR)) < '1999999999999999' "
        "THEN 'b' WHEN \"customer_id\" IS NOT NULL THEN 'a' END"
    )


def test_another_process_gives_the_same_arms() -> None:
    code = (
        "from fastdata import Variant; scoring = Variant('scoring', by='id', share=0.1)\n"
        "print(''.join(scoring.arm(n) for n in range(2000)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert run.stdout.strip() == "".join(str(SCORING.arm(n)) for n in range(2000))


@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.9])
def test_the_share_of_an_arm_is_as_declared_but_for_chance(share: float) -> None:
    variant = Variant("scoring", by="id", share=share)
    hits = sum(variant.arm(f"customer-{n}") == "b" for n in IDS)

    assert stats.binomtest(hits, len(IDS), share).pvalue > 0.001
    assert variant.shares == pytest.approx({"b": share, "a": 1 - share})


def test_weights_give_each_arm_its_share() -> None:
    counts = Counter(PAGES.arm(n) for n in IDS)

    assert PAGES.shares == {"old": 0.5, "new": 0.25, "bold": 0.25}
    expected = [len(IDS) * share for share in PAGES.shares.values()]
    assert stats.chisquare([counts[arm] for arm in PAGES.shares], expected).pvalue > 0.001


def test_the_arms_of_one_experiment_say_nothing_of_those_of_another() -> None:
    half = [Variant(name, by="id", share=0.5) for name in ("scoring", "scoring2")]
    counts = Counter(tuple(variant.arm(n) for variant in half) for n in IDS)
    table = [[counts[one, two] for two in "ab"] for one in "ab"]

    assert stats.chi2_contingency(table).pvalue > 0.001


def test_who_is_in_arm_b_stays_there_when_its_share_grows() -> None:
    larger = Variant("scoring", by="id", share=0.2)
    members = [n for n in IDS if SCORING.arm(n) == "b"]

    assert {larger.arm(n) for n in members} == {"b"}


@pytest.mark.parametrize("variant", [SCORING, PAGES])
@pytest.mark.parametrize("kind", ["string", "int"])
def test_both_engines_compute_the_arm_of_python(variant: Variant, kind: Any) -> None:
    values = [None, *[n if kind == "int" else f"Zoë-{n}" for n in range(-500, 500)]]
    fields = {"customer_id": FieldType(kind, nullable=True)}
    node = parse_expression(variant.expression, fields, "test")
    python = compile_value(node)
    context = SessionContext()
    context.from_pydict({"customer_id": values}, "events")
    table = context.sql(f"SELECT {to_sql(node)} AS arm FROM events").to_arrow_table()

    arms = [variant.arm(value) for value in values]
    assert {None, *variant.shares} == set(arms)
    assert arms == [python({"customer_id": value}) for value in values]
    assert arms == table.column("arm").to_pylist()


@pytest.mark.parametrize("by", ["order", "customer.id", "coalesce(order_id, customer.id)"])
def test_the_id_is_a_field_whatever_its_name_or_an_expression(by: str) -> None:
    text = FieldType("string", nullable=True)
    record = FieldType("record", fields=(("id", text),))
    fields = {"order": text, "customer": record, "order_id": text}
    arm = compile_value(parse_expression(Variant("x", by=by, share=0.5).expression, fields, "test"))
    event = {"order": "7", "customer": {"id": "7"}, "order_id": None}

    assert arm(event) == Variant("x", by="id", share=0.5).arm("7")


def test_the_arm_is_a_dimension_and_a_condition_of_a_metric(tmp_path: Path) -> None:
    fields = [{"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}}]
    fields += [{"name": name, "type": "string"} for name in ("customer_id", "version")]
    (tmp_path / "s.avsc").write_text(json.dumps({"type": "record", "name": "S", "fields": fields}))
    source = Source("scored", topic="scored", schema=str(tmp_path / "s.avsc"), time="at")

    def declare(variant: Variant) -> Metric:
        arm = variant.expression
        where = f"version = ({arm})"
        return Metric("m", source, by={"arm": arm}, measures={"n": Count()}, where=where)

    metric = declare(SCORING)
    rows = [metric.rows({"customer_id": "c-1", "version": version}) for version in "ab"]
    assert [[dims for dims, _ in row] for row in rows] == [[("a",)], []]
    assert declare(Variant("scoring", by="customer_id", share=0.2)).id != metric.id


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "give it the share of arm 'b', or arms with their weights"),
        ({"share": 0.1, "arms": {"a": 1, "b": 1}}, "give it the share of arm 'b', or arms"),
        ({"share": 1}, "its arms are {'b': 1, 'a': 0}; give two or more, each with a weight"),
        ({"share": float("nan")}, "each with a weight above 0"),
        ({"arms": {"a": 1}}, "its arms are {'a': 1}; give two or more, each with a weight above 0"),
        ({"arms": {"a": 1, "b": 0}}, "give two or more, each with a weight above 0"),
        ({"arms": {"a": 1, "it's": 1}}, '"it\'s" is no name: 1 to 48 of a-z'),
    ],
)
def test_a_wrong_variant_is_refused_with_its_place(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(DeclarationError) as refused:
        Variant("scoring", by="id", **arguments)

    assert str(refused.value).startswith(f"{__file__}:")
    assert message in str(refused.value)


@pytest.mark.parametrize("value", [1.5, True, ("c", 1)])
def test_what_is_no_id_has_no_arm(value: Any) -> None:
    with pytest.raises(MapError, match="an id is a str or an int; give it what 'customer_id'"):
        SCORING.arm(value)
