"""What expressions are read as, and what the page about them says."""

import math
import re
from decimal import Decimal
from pathlib import Path

import pytest

from fastdata.errors import DeclarationError, MapError
from fastdata.expressions import (
    Node,
    Selection,
    compile_rows,
    compile_value,
    parse_expression,
    to_sql,
)
from tests.expressions.expression_texts import FIELDS
from tests.expressions.test_agree import answers, bits

PAGE = Path(__file__).parents[2] / "docs" / "expressions.md"
EXAMPLE = re.compile(r"^\| `(.+)` \| `(.+)` \|$", re.MULTILINE)
ROW: dict[str, object] = dict.fromkeys(FIELDS)
ROW |= {"j": 1, "small": 1, "y": 1.0, "price": Decimal("1.500"), "t": "x", "sure": True, "at": 0}
ROW |= {"items": []}


def examples() -> list[tuple[str, str]]:
    text = PAGE.read_text().split("## What they mean")[1].split("## Not supported")[0]
    return [(a.replace(r"\|", "|"), b) for a, b in EXAMPLE.findall(text)]


def of(text: str, row: dict[str, object]) -> object:
    return compile_value(parse_expression(text, FIELDS, "here"))({**ROW, **row})


@pytest.mark.parametrize(("text", "shown"), examples())
def test_an_example_of_the_page_is_so_in_both_engines(text: str, shown: str) -> None:
    node = parse_expression(text, FIELDS, "here")
    expected = None if shown == "NULL" else of(shown, {})

    value = compile_value(node)(ROW)

    assert bits(value) == bits(expected)
    assert [[bits(value)]] == [[bits(v) for v in column] for column in answers([node], [ROW])]


def test_there_are_examples() -> None:
    assert len(examples()) >= 30


@pytest.mark.parametrize(
    ("texts", "canonical"),
    [
        (["j>=400", " j  >=\n400 "], "(j >= 400)"),
        (["lower(t)", "LOWER( t )", "Lower(t)"], "LOWER(t)"),
        (["not sure and ok", "(NOT sure) AND ok"], "((NOT sure) AND ok)"),
        (["j between 1 and 2", "j >= 1 and j <= 2"], "((j >= 1) AND (j <= 2))"),
        (["j", '"j"'], "j"),
        (["user.id", '"user"."id"'], "user.id"),
        (["seen + interval '1 days'", "seen + INTERVAL '1' DAY"], "(seen + INTERVAL '1 day')"),
        (["day > '2024-01-01'", "day > DATE '2024-01-01'"], "(day > DATE '2024-01-01')"),
    ],
)
def test_equal_meaning_has_equal_text(texts: list[str], canonical: str) -> None:
    assert {parse_expression(text, FIELDS, "here").text for text in texts} == {canonical}


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        ("%/%/%/%.php", "/" * 20_000, False),
        ("%/%/%/%.php", "/" * 20_000 + ".php", True),
        ("%a_%a_%a_%b", "a" * 20_000, False),
        ("ab%ba", "aba", False),
        ("ab%ba", "abba", True),
        ("%a%a%", "ba", False),
        ("%a%ab", "aab", True),
        ("a%_b%c", "abbc", True),
        ("a%_b%c", "abc", False),
        ("%ab%", "a\nab", True),
        ("%%", "", True),
        ("", "a", False),
    ],
)
def test_like_looks_for_each_part_once(pattern: str, text: str, fits: bool) -> None:
    nodes = [
        parse_expression(f"t {like} '{pattern}'", FIELDS, "here") for like in ("like", "ilike")
    ]
    row = {**ROW, "t": text}

    assert [compile_value(node)(row) for node in nodes] == [fits, fits]
    assert [[fits], [fits]] == [list(column) for column in answers(nodes, [row])]


@pytest.mark.parametrize(
    "text",
    ["replace(s, 'a')", "split_part(s)", "split_part(s, 'a')", "substring(s)", "floor()", "ceil()"],
)
def test_an_argument_that_is_missing_is_told(text: str) -> None:
    name = text.partition("(")[0]
    with pytest.raises(DeclarationError, match=f"here: an argument of {name} is missing"):
        parse_expression(text, FIELDS, "here")


@pytest.mark.parametrize("type", ["varchar", "boolean"])
def test_a_null_of_another_type_is_no_number(type: str) -> None:
    for text in (f"cast(null as {type}) + i", f"i * cast(null as {type})"):
        with pytest.raises(DeclarationError, match=r"takes numbers, not (string|bool)"):
            parse_expression(text, FIELDS, "here")


def test_the_smallest_integer_has_64_bits() -> None:
    node = parse_expression("cast(-9223372036854775808 as decimal(19))", FIELDS, "here")

    assert bits(compile_value(node)(ROW)) == bits(Decimal(-(2**63)))


def test_a_name_of_a_field_is_that_field_whatever_it_looks_like() -> None:
    fields = {"a-b": FIELDS["j"], "case": FIELDS["j"], "1": FIELDS["t"]}

    assert parse_expression("a-b", fields, "here").text == '"a-b"'
    assert compile_value(parse_expression("case", fields, "here"))({"case": 7}) == 7
    assert parse_expression("1", fields, "here").type.kind == "string"
    assert to_sql(parse_expression('"a-b" + 1', fields, "here")).count('"a-b"') == 1


@pytest.mark.parametrize(
    ("text", "row", "value"),
    [
        ("x = x", {"x": math.nan}, True),
        ("x > 1e308", {"x": math.nan}, True),
        ("y = 0", {"y": -0.0}, True),
        ("1 / y", {"y": -0.0}, None),
        ("i / j", {"i": -(2**63), "j": -1}, None),
        ("i % j", {"i": -(2**63), "j": -1}, 0),
        ("-i", {"i": -(2**63)}, None),
        ("small * small", {"small": -(2**31)}, 2**62),
        ("ok and sure", {"ok": None, "sure": False}, False),
        ("ok or sure", {"ok": None, "sure": True}, True),
        ("ok and sure", {"ok": None, "sure": True}, None),
        ("i not in (1, 2)", {"i": None}, None),
        ("labels['a']", {"labels": {"b": "x"}}, None),
        ("user.id", {"user": None}, None),
        ("upper('\U00010d70')", {}, "\U00010d50"),
    ],
)
def test_the_rules_hold(text: str, row: dict[str, object], value: object) -> None:
    assert of(text, row) == value


def rows_of(where: str | None, by: list[str], arguments: list[list[str]]) -> Selection:
    def read(text: str) -> Node:
        return parse_expression(text, FIELDS, "here")

    return Selection(
        None if where is None else read(where),
        tuple(map(read, by)),
        tuple(tuple(map(read, several)) for several in arguments),
        (False,) * len(arguments),
    )


def test_an_event_gives_one_row_of_values() -> None:
    rows = compile_rows(rows_of("j > 0", ["lower(t)", "ok"], [[], ["j * 2"], ["j", "i"]]))

    assert rows({**ROW, "t": "AB"}, 0) == ((("ab", None), ([(), 2, None],)),)
    assert rows({**ROW, "j": 0}, 0) == ()


def test_elements_come_grouped_by_their_dimensions() -> None:
    rows = compile_rows(
        rows_of("unnest(items).n <> 0", ["unnest(items).name"], [["unnest(items).n"], ["j"]])
    )
    items = [{"n": n, "name": name} for n, name in [(1, "a"), (2, "b"), (3, "a"), (0, "a")]]

    assert list(rows({**ROW, "items": items}, 0)) == [
        (("a",), [[1, 1], [3, 1]]),
        (("b",), [[2, 1]]),
    ]
    assert rows({**ROW, "items": []}, 0) == ()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"t": 5}, "field 't' holds 5 (int) where a str belongs"),
        ({"j": "1"}, "field 'j' holds '1' (str) where an int belongs"),
        ({"j": True}, "field 'j' holds True (bool) where an int belongs"),
        ({"j": None}, "field 'j' holds None (NoneType) where an int belongs"),
        ({"user": "me"}, "user.id: the event is unfit"),
    ],
)
def test_what_a_map_function_spoils_is_named(row: dict[str, object], message: str) -> None:
    rows = compile_rows(rows_of("j > 0", ["lower(t)"], [["user.id"]]))

    with pytest.raises(MapError) as caught:
        rows({**ROW, **row}, 0)

    assert message in str(caught.value)


def test_a_field_that_a_map_function_drops_is_named() -> None:
    rows = compile_rows(rows_of(None, ["t"], [["j + 1"]]))

    with pytest.raises(MapError, match=r"^\(j \+ 1\): the event has no field 'j'; a map function"):
        rows({"t": "x"}, 0)
