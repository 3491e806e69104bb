"""What is chosen as time, id, dimensions and measures, from literal rows."""

import io
import json
from typing import Any

import pytest

from fastdata.errors import FastdataError
from fastdata.files.sample import take_sample
from fastdata.scaffold.guesses import Guesses, guess

AT = 1_760_000_000_000


def chosen(
    rows: list[dict[str, Any]], time: str | None = None, id: str | None = None, *by: str
) -> Guesses:
    lines = "\n".join(map(json.dumps, rows))
    return guess(take_sample(io.BytesIO(lines.encode()), "x", "json"), "orders", time, id, by)


def orders(**more: Any) -> list[dict[str, Any]]:
    """240 rows with a time; a function in `more` gets their numbers."""
    return [
        {"created_at": AT + 1_000 * n}
        | {key: value(n) if callable(value) else value for key, value in more.items()}
        for n in range(240)
    ]


@pytest.mark.parametrize(
    ("others", "field", "is_sure"),
    [
        ({}, "created_at", True),
        ({"updated_at": AT}, "created_at", True),
        ({"delivered_at": "2025-10-09T08:53:20Z"}, "created_at", True),
        ({"timestamp": AT}, "timestamp", True),
        ({"started_at": AT}, "created_at", False),
        ({"day": "2025-10-09"}, "created_at", True),
        ({"event_time": lambda n: AT if n else None}, "created_at", False),
    ],
)
def test_the_time_is_the_one_at_which_things_began(
    others: dict[str, Any], field: str, is_sure: bool
) -> None:
    found = chosen(orders(**others)).time

    assert (found.field, found.is_sure) == (field, is_sure)


def test_a_time_without_a_zone_is_read_as_utc_and_told() -> None:
    found = chosen([{"day": "2025-10-09"}, {"day": "2025-10-10"}])

    assert found.time.why == "a day; it names no time zone, so it is read as UTC"
    assert not found.time.is_sure
    assert found.fields[0].type == {"type": "long", "logicalType": "local-timestamp-millis"}


def test_numbers_are_taken_for_the_time_where_nothing_has_its_name() -> None:
    found = chosen([{"n": 7, "moment": AT}, {"n": 8, "moment": AT + 1}])

    assert (found.time.field, found.time.is_sure) == ("moment", False)
    assert found.time.why == "its numbers look like ms since 1970"
    assert chosen([{"n": AT // 1000}], "n").time.field == "n"


def test_times_as_text_among_those_in_numbers_are_no_misfits() -> None:
    rows = orders()
    rows[3]["created_at"] = "2025-10-09T08:53:20Z"
    rows[5]["created_at"] = AT // 1000

    (time,) = [field for field in chosen(rows).fields if field.name == "created_at"]

    assert time.misfits == 1


def test_rows_without_a_time_are_counted() -> None:
    rows = [*orders(), {"amount": 5}, {"created_at": None}]

    assert chosen(rows).missing_times == 2
    assert not chosen(rows).fields[0].is_nullable


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"id": lambda n: n}, "id"),
        ({"order_id": lambda n: n, "id": lambda n: n // 2}, "order_id"),
        ({"order_id": lambda n: f"o{n}", "user_id": lambda n: n % 7}, "order_id"),
        ({"token": lambda n: f"t{n}"}, "token"),
        ({"text": lambda n: f"order {n}"}, None),
        ({"amount": lambda n: n}, None),
        ({"ratio_id": lambda n: n / 7}, None),
        ({"order_id": lambda n: n if n else None}, None),
        ({"order_id": lambda n: n // 2}, None),
    ],
)
def test_the_id_is_another_one_in_each_row(more: dict[str, Any], field: str | None) -> None:
    rows = orders(**more)

    assert chosen(rows).id.field == field
    assert chosen([*rows, *rows[:9]]).id.field == field


def test_that_there_is_no_id_says_how_far_from_it_the_best_is() -> None:
    assert chosen(orders(order_id=lambda n: n // 2)).id.why == (
        "no field is another one in each of 240 different rows; order_id has 120 values in 240 rows"
    )


def test_an_id_of_few_rows_is_a_guess() -> None:
    assert not chosen([{"id": "a", "at": AT}, {"id": "b", "at": AT}]).id.is_sure
    assert chosen(orders(id=lambda n: n)).id.is_sure


@pytest.mark.parametrize(
    ("more", "groups"),
    [
        ({"country": lambda n: f"c{n % 12}", "note": lambda n: f"n{n % 5}"}, ["country", "note"]),
        ({"status": lambda n: 200 + n % 3}, ["status"]),
        ({"quantity": lambda n: n % 3}, []),
        ({"gift": lambda n: n % 2 == 0}, ["gift"]),
        ({"country": "DE"}, []),
        ({"user": lambda n: f"u{n % 100}"}, []),
        ({"to": lambda n: {"city": f"c{n % 4}", "order": f"o{n % 3}"}}, ["to.city", 'to."order"']),
    ],
)
def test_dimensions_have_few_values(more: dict[str, Any], groups: list[str]) -> None:
    assert [column.path for column in chosen(orders(**more)).groups] == groups


def test_measures_are_numbers_that_are_no_codes() -> None:
    found = chosen(
        orders(
            amount=lambda n: n / 4, temp_c=lambda n: n / 7, zip=lambda n: n, sessionid=lambda n: n,
            store_id=lambda n: n % 50, quantity=lambda n: n % 9,
        )
    )  # fmt: skip

    assert [column.path for column in found.sums] == ["amount", "quantity"]
    assert [column.path for column in found.gauges] == ["temp_c"]


def test_who_is_counted_is_a_person_rather_than_a_thing() -> None:
    found = chosen(
        orders(order_id=lambda n: n, comment=lambda n: f"c {n % 200}", user=lambda n: f"u{n % 90}")
    )

    assert [column.path for column in found.who] == ["user"]


def test_a_person_with_a_number_is_counted_and_not_added_up() -> None:
    found = chosen(orders(guest=lambda n: n % 90, stars=lambda n: n % 5))

    assert [column.path for column in found.who] == ["guest"]
    assert ([c.path for c in found.sums], [c.path for c in found.gauges]) == ([], ["stars"])


def test_money_is_measured_before_other_numbers() -> None:
    found = chosen(orders(a=lambda n: n, b=lambda n: n, c=lambda n: n, price="12.30"))

    assert [column.path for column in found.sums] == ["price", "a", "b"]


def test_what_is_told_goes_before_guesses() -> None:
    rows = orders(
        order_id=lambda n: n, seen_at=AT, who=lambda n: f"u{n % 99}", no=lambda n: f"{n}",
        to=lambda n: {"city": n % 5},
    )  # fmt: skip

    found = chosen(rows, "seen_at", "no", "who", "to.city")
    assert (found.time.field, found.id.field) == ("seen_at", "no")
    assert [column.path for column in found.groups] == ["who", "to.city"]
    assert chosen(rows, None, "").id.field is None


@pytest.mark.parametrize(
    ("told", "message"),
    [
        (("missing", None), "--time missing: there is no such field; there are: created_at"),
        (("name", None), "--time name: it holds string; a time is ISO 8601"),
        ((None, "share"), "--id share: it holds double; an id is text or an integer"),
        ((None, None, "share"), "--by share: there is no such field to count by; there are: name"),
    ],
)
def test_what_cannot_be_is_refused(told: tuple[Any, ...], message: str) -> None:
    rows = orders(name=lambda n: f"n{n % 9}", share=lambda n: n / 3)

    with pytest.raises(FastdataError) as caught:
        chosen(rows, *told)
    assert str(caught.value).startswith(message)


def test_without_a_time_the_fields_are_listed() -> None:
    with pytest.raises(FastdataError, match=r"no field is a time.* are: a \(long\), b \(string\)"):
        chosen([{"a": 1, "b": "x"}])
