"""Each type that is inferred, from literal values."""

import io
import json
from typing import Any

import pytest

from fastdata.files.sample import take_sample
from fastdata.files.types import FileField, file_fields, words_of

MILLIS = {"type": "long", "logicalType": "timestamp-millis"}
MICROS = {"type": "long", "logicalType": "timestamp-micros"}
LOCAL = {"type": "long", "logicalType": "local-timestamp-millis"}
MONEY = {"type": "bytes", "logicalType": "decimal", "precision": 20, "scale": 2}


def of_json(*values: Any, key: str = "x") -> FileField:
    lines = "".join(json.dumps({key: value}) + "\n" for value in values)
    (field,) = file_fields(take_sample(io.BytesIO(lines.encode()), "x", "json"))
    return field


def of_csv(*texts: str, key: str = "x") -> FileField:
    lines = f"{key},other\n" + "".join(f"{text},1\n" for text in texts)
    field, _ = file_fields(take_sample(io.BytesIO(lines.encode()), "x", "csv"))
    return field


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2], "long"),
        ([1, 2**40], "long"),
        ([1, 2**70], "double"),
        ([1, 2.5], "double"),
        ([True, False], "boolean"),
        (["a", "b"], "string"),
        (["1", "2"], "string"),  # of JSON, text is text
        (["12.30", "7.5"], MONEY),  # but who writes a point as text wants no float
        (["12.30", "free"], "string"),
        (["2024-02-29T12:00:00Z"], MILLIS),
        (["2024-02-29 12:00:00.5+01:00"], MILLIS),
        (["2024-02-29T12:00:00.123456Z"], MICROS),
        (["2024-02-29T12:00:00"], LOCAL),
        (["2024-02-29 12:00", "2024-03-01"], LOCAL),
        (["2024-02-29T12:00:00.123456"], LOCAL | {"logicalType": "local-timestamp-micros"}),
        (["2024-02-29"], {"type": "int", "logicalType": "date"}),
        (["2024-02-30"], "string"),
        (["20240229"], "string"),
        ([["a"], []], {"type": "array", "items": "string"}),
        ([["a", None]], {"type": "array", "items": ["null", "string"]}),
        (
            [{"a": 1, "b": {"c": True}}, {"a": 2}],
            {"type": "record", "name": "Row.x", "fields": [
                {"name": "a", "type": "long"},
                {"name": "b", "default": None, "type": ["null", {
                    "type": "record", "name": "Row.x.b", "fields": [
                        {"name": "c", "type": "boolean"}]}]},
            ]},
        ),
    ],
)  # fmt: skip
def test_values_of_json(values: list[Any], expected: object) -> None:
    field = of_json(*values)

    assert (field.type, field.misfits, field.is_nullable) == (expected, 0, False)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["1", "-20"], "long"),
        (["00501", "10115"], "string"),
        (["1", "2.5", "1e3"], "double"),
        (["9" * 19], "double"),
        (["true", "False"], "boolean"),
        (["a", "1"], "string"),
        (["2024-02-29 12:00:00"], LOCAL),
        (["2024-02-29T12:00:00Z"], MILLIS),
        (["NA", "DE"], "string"),
    ],
)
def test_texts_of_csv(texts: list[str], expected: object) -> None:
    field = of_csv(*texts)

    assert (field.type, field.misfits, field.is_nullable) == (expected, 0, False)


@pytest.mark.parametrize(
    ("key", "numbers", "expected"),
    [
        ("created_at", [1_760_000_000_000], MILLIS),
        ("created_at", [1_760_000_000], MILLIS | {"unit": "s"}),
        ("ts", [1_760_000_000.25], MILLIS | {"unit": "s"}),
        ("ts", [1_760_000_000.123456], MICROS | {"unit": "s"}),
        ("ts", [1_760_000_000_000.5], MILLIS | {"unit": "ms"}),
        ("eventTime", [1_760_000_000_000_000], MICROS),
        ("time", [1_760_000_000_000_000_000], MICROS | {"unit": "ns"}),
        ("customer", [1_760_000_000_000], "long"),  # nothing but the name tells them apart
        ("time", [35, 40], "long"),
    ],
)
def test_numbers_that_are_times(key: str, numbers: list[float], expected: object) -> None:
    assert of_json(*numbers, key=key).type == expected
    assert of_csv(*map(str, numbers), key=key).type == expected


def test_numbers_with_a_point_are_money_by_their_name() -> None:
    price, share = of_json(12.5, 7, key="unitPrice"), of_json(12.5, 7, key="share")

    assert (price.type, share.type) == (MONEY, "double")
    assert price.notes[0].startswith("decimal, so that sums of money are exact; with more than 2")
    assert of_json(12.123456, key="price").type == "double"
    assert of_json(1200, key="price").type == "long"
    assert of_csv("12.50", key="price").type == MONEY


def test_nulls_and_what_is_missing_make_a_field_nullable() -> None:
    lines = b'{"a": 1, "b": null, "c": 1}\n{"a": 2, "b": "x"}\n'
    a, b, c = file_fields(take_sample(io.BytesIO(lines), "x", "json"))

    assert [field.is_nullable for field in (a, b, c)] == [False, True, True]
    assert b.declaration == {"name": "b", "type": ["null", "string"], "default": None}
    assert of_csv("NA", "2", "").is_nullable
    assert of_csv("NA", "2", "").type == "long"


def test_a_few_values_of_another_kind_are_counted() -> None:
    broken = of_json(*range(99), "x")
    nested = of_json(*[{"a": [number]} for number in range(99)], {"a": ["x"]})
    seconds = of_json(*[1_760_000_000_000] * 99, 1_760_000_000, key="at")

    assert (broken.type, broken.misfits) == ("long", 1)
    assert nested.misfits == 1
    assert (seconds.type, seconds.misfits) == (MILLIS, 1)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ([None], "there are only nulls in the sample"),
        ([1, "a"], "it holds long and string: a field of JSON is of one type"),
        ([[]], "its arrays are empty in the sample"),
        ([{}], "it is a record of 0 fields"),
    ],
)
def test_what_can_have_no_type_is_told(values: list[Any], why: str) -> None:
    field = of_json(*values)

    assert (field.type, field.notes) == (None, (why,))


def test_a_record_of_ever_other_keys_is_a_map() -> None:
    field = of_json(*[{f"sku-{number}": number} for number in range(40)])

    assert field.type == {"type": "map", "values": ["null", "long"]}
    assert field.notes == ("its keys differ from row to row, so it is a map",)


def test_words_of_names() -> None:
    assert words_of("orderDate_UTC2") == {"order", "date", "utc", "2"}
