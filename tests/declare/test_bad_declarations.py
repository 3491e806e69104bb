"""What a wrong declaration says: each message, whole, tells what to do."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fastdata import Count, Mean, Metric, Ratio, Source, Sum, Uniques
from fastdata.errors import DeclarationError

Declare = Callable[[Source], object]


def where(text: str) -> Declare:
    return lambda orders: Metric("m", orders, where=text)


def by(*names: object) -> Declare:
    return lambda orders: Metric("m", orders, by=names)  # type: ignore[arg-type]


def measured(measure: object) -> Declare:
    return lambda orders: Metric("m", orders, measures={"n": measure})  # type: ignore[dict-item]


def source(**arguments: object) -> Declare:
    def declare(orders: Source) -> object:
        right = {"name": "s", "topic": "t", "schema": "order.avsc", "time": "at"}
        return Source(**{**right, **arguments})  # type: ignore[arg-type]

    return declare


BAD = [
    pytest.param(
        where("status"),
        "metric 'm': where='status' is no condition but int; compare it with something",
    ),
    pytest.param(
        where("status >= '400'"),
        "where of metric 'm': status is int and '400' is string; CAST one or take the "
        "quotes away\n"
        "    status >= '400'\n"
        "    ^^^^^^^^^^^^^^^",
    ),
    pytest.param(
        where("sttus >= 400"),
        "where of metric 'm': there is no field 'sttus'; did you mean 'status'? There are: "
        "at, id, status, country, device, delay, quantity, price, total, paid, day, user, "
        "labels, tags, items, raw, mixed\n"
        "    sttus >= 400\n"
        "    ^^^^^",
    ),
    pytest.param(
        where("status >= 400 AND country"),
        "where of metric 'm': AND takes conditions, not string; compare it, as in country "
        "IS NOT NULL\n"
        "    status >= 400 AND country\n"
        "                      ^^^^^^^",
    ),
    pytest.param(
        where("count(*) > 1"),
        "where of metric 'm': not supported is an aggregate: it belongs in measures={...}, "
        "as in Sum('amount')\n"
        "    count(*) > 1\n"
        "    ^^^^^^^^",
    ),
    pytest.param(
        where("status IN (SELECT 1)"),
        "where of metric 'm': not supported is a query: an expression sees one event only\n"
        "    status IN (SELECT 1)\n"
        "                      ^",
    ),
    pytest.param(
        where("country ~ 'D.*'"),
        "where of metric 'm': not supported is a regular expression: use LIKE or ILIKE\n"
        "    country ~ 'D.*'\n"
        "    ^^^^^^^^^^^^^^^",
    ),
    pytest.param(
        where("country LIKE delay"),
        "where of metric 'm': the pattern of LIKE must be a literal text, as in 'x'\n"
        "    country LIKE delay\n"
        "                 ^^^^^",
    ),
    pytest.param(
        where("now() > at"),
        "where of metric 'm': not supported is what changes from call to call: a replay "
        "must give the same; use a field of the event\n"
        "    now() > at\n"
        "    ^^^",
    ),
    pytest.param(
        where("status >= 400 AS bad"),
        "where of metric 'm': not supported is a name: names are the keys of by={...} and "
        "measures={...}\n"
        "    status >= 400 AS bad\n"
        "    ^^^^^^^^^^^^^^^^^^^^",
    ),
    pytest.param(
        where("upcase(country) = 'DE'"),
        "where of metric 'm': the function upcase is not supported; there are: abs, "
        "array_contains, blake2b, cardinality, cast, ceil, char_length, coalesce, concat, "
        "date_trunc, epoch_ms, extract, floor, greatest, least, length, lower, ltrim, "
        "nullif, replace, round, rtrim, split_part, starts_with, strpos, substring, "
        "to_timestamp_millis, trim, try_cast, unnest, upper\n"
        "    upcase(country) = 'DE'\n"
        "    ^^^^^^^^^^^^^^^",
    ),
    pytest.param(
        where("user.idd = 'x'"),
        "where of metric 'm': there is no field in user 'idd'; did you mean 'id'? There "
        "are: id, age\n"
        "    user.idd = 'x'\n"
        "         ^^^",
    ),
    pytest.param(
        where("items.sku = 'x'"),
        "where of metric 'm': items holds array, no record; unnest(items).sku is it of "
        "each element\n"
        "    items.sku = 'x'\n"
        "          ^^^",
    ),
    pytest.param(
        where("labels.shop = 'x'"),
        "where of metric 'm': labels holds map, no record; labels['shop'] is what it holds "
        "under that key\n"
        "    labels.shop = 'x'\n"
        "           ^^^^",
    ),
    pytest.param(
        where("unnest(items).sku = unnest(tags)"),
        "where of metric 'm': only one array can be unnested\n"
        "    unnest(items).sku = unnest(tags)\n"
        "    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^",
    ),
    pytest.param(
        where("at - at > 5"),
        "where of metric 'm': of timestamps and dates only an interval can be added or "
        "subtracted; epoch_ms(...) is a number\n"
        "    at - at > 5\n"
        "    ^^^^^^^",
    ),
    pytest.param(
        where("at > at - INTERVAL '1 month'"),
        "where of metric 'm': an interval is a whole number of weeks, days, hours, "
        "minutes, seconds or milliseconds, as in INTERVAL '7 days'; months and years have "
        "no fixed length\n"
        "    at > at - INTERVAL '1 month'\n"
        "         ^^",
    ),
    pytest.param(
        where("day + INTERVAL '1 hour' > day"),
        "where of metric 'm': a date takes days or weeks; CAST it to TIMESTAMP for parts "
        "of a day\n"
        "    day + INTERVAL '1 hour' > day\n"
        "    ^^^",
    ),
    pytest.param(
        where("CAST(delay AS BIGINT) > 1"),
        "where of metric 'm': not every float is a BIGINT; use TRY_CAST: null where it is "
        "not\n"
        "    CAST(delay AS BIGINT) > 1\n"
        "         ^^^^^",
    ),
    pytest.param(
        where("TRY_CAST(delay AS VARCHAR) = '1'"),
        "where of metric 'm': float cannot be cast to VARCHAR with one meaning everywhere\n"
        "    TRY_CAST(delay AS VARCHAR) = '1'\n"
        "             ^^^^^",
    ),
    pytest.param(
        where("total * total > 1"),
        "where of metric 'm': the result needs 60 digits, and a decimal has 38 at most; "
        "TRY_CAST an operand to fewer digits, or CAST it to DOUBLE\n"
        "    total * total > 1\n"
        "    ^^^^^^^^^^^^^",
    ),
    pytest.param(
        where("delay % 2 = 0"),
        "where of metric 'm': % takes integers; CAST or TRY_CAST to BIGINT first\n"
        "    delay % 2 = 0\n"
        "    ^^^^^^^^^",
    ),
    pytest.param(
        where("status IN (1, NULL)"),
        "where of metric 'm': IN takes literals that are not NULL; else use = and OR\n"
        "    status IN (1, NULL)\n"
        "    ^^^^^^^^^^^^^^^^^^^",
    ),
    pytest.param(
        where("country = 'it''s"),
        "where of metric 'm': this cannot be read as SQL; is a quote left open?\n"
        "    country = 'it''s\n"
        "    ^^^^^^^^^^^^^^^^",
    ),
    pytest.param(
        where("at > 'yesterday'"),
        "where of metric 'm': 'yesterday' is no date or time; write it as '2024-01-31' or "
        "'2024-01-31 23:59:59'\n"
        "    at > 'yesterday'\n"
        "    ^^^^^^^^^^^^^^^^",
    ),
    pytest.param(
        where("NULL"),
        "where of metric 'm': NULL alone has no type; write CAST(NULL AS BIGINT)\n"
        "    NULL\n"
        "    ^^^^",
    ),
    pytest.param(
        where("country + 'x' = 'dex'"),
        "where of metric 'm': + takes numbers, not string; || puts texts together\n"
        "    country + 'x' = 'dex'\n"
        "    ^^^^^^^",
    ),
    pytest.param(
        where("round(delay, 2) > 1"),
        "where of metric 'm': round to digits takes a decimal, not float\n"
        "    round(delay, 2) > 1\n"
        "    ^^^^^^^^^^^^^^^",
    ),
    pytest.param(
        where("split_part(country, '', 1) = 'x'"),
        "where of metric 'm': the delimiter has at least one character\n"
        "    split_part(country, '', 1) = 'x'\n"
        "                        ^^",
    ),
    pytest.param(
        where("status & 1 = 1"),
        "where of metric 'm': BitwiseAnd is not supported; docs/expressions.md lists what "
        "is\n"
        "    status & 1 = 1\n"
        "    ^^^^^^^^^^",
    ),
    pytest.param(
        where("timestamp 'x' = at"),
        "where of metric 'm': this is no time in UTC; write it as in TIMESTAMP '2024-01-31 "
        "23:59:59.5'\n"
        "    timestamp 'x' = at\n"
        "              ^^^",
    ),
    pytest.param(
        by("lower(country)"),
        "metric 'm': the dimension 'lower(country)' needs a name, as in by={'name': "
        "'lower(country)'}",
    ),
    pytest.param(
        by("countri"),
        "by of metric 'm': there is no field 'countri'; did you mean 'country'? There are: "
        "at, id, status, country, device, delay, quantity, price, total, paid, day, user, "
        "labels, tags, items, raw, mixed\n"
        "    countri\n"
        "    ^^^^^^^",
    ),
    pytest.param(
        by("delay"),
        "metric 'm': the dimension 'delay' holds float; what fits is: string, int, bool, "
        "timestamp, date",
    ),
    pytest.param(
        by("country", "country"),
        "metric 'm': a dimension is named twice in ['country', 'country']",
    ),
    pytest.param(
        lambda orders: Metric("m", orders, by={"a b": "country"}),
        "metric 'm': 'a b' is no name of a dimension: use letters, digits and _",
    ),
    pytest.param(
        lambda orders: Metric("m", orders, by={"c": "lower(status)"}),
        "by['c'] of metric 'm': lower takes string, not int\n    lower(status)\n          ^^^^^^",
    ),
    pytest.param(
        lambda orders: Metric("m", orders, by="country"),
        "metric 'm': by is a list of fields, as in by=['country']",
    ),
    pytest.param(
        measured(Sum("quantity * country")),
        "measure 'n' of metric 'm': * takes numbers, not string; || puts texts together\n"
        "    quantity * country\n"
        "               ^^^^^^^",
    ),
    pytest.param(
        measured(Mean("lower(country)")),
        "measure 'n' of metric 'm': Mean(field='lower(country)') is given a field of kind "
        "string; what fits is: int, float, decimal",
    ),
    pytest.param(
        measured(Uniques("delay")),
        "measure 'n' of metric 'm': Uniques(field='delay', lg_k=12) is given a field of "
        "kind float; what fits is: string, int, timestamp, date",
    ),
    pytest.param(
        measured(Sum("unnest(items).skew")),
        "measure 'n' of metric 'm': there is no field in unnest(items) 'skew'; there are: "
        "sku, number\n"
        "    unnest(items).skew\n"
        "                  ^^^^",
    ),
    pytest.param(
        measured("count"),
        "metric 'm': measure 'n' is 'count'; use Count(), Sum('field') or the like",
    ),
    pytest.param(
        measured(Uniques("id", lg_k=30)),
        "measure 'n' of metric 'm': Uniques(field='id', lg_k=30): lg_k goes from 7 to 16",
    ),
    pytest.param(
        measured(Sum("NULL")),
        "measure 'n' of metric 'm': NULL alone has no type; write CAST(NULL AS BIGINT)\n"
        "    NULL\n"
        "    ^^^^",
    ),
    pytest.param(
        measured(Sum(5)),  # type: ignore[arg-type]
        "measure 'n' of metric 'm': 5 is no expression; give a field's name or SQL text",
    ),
    pytest.param(
        lambda orders: Metric("m", orders, {"tag": "unnest(tags)"}, {"n": Count("unnest(items)")}),
        "metric 'm': it unnests tags and items, but an event folds the elements of one "
        "array; declare a metric for each",
    ),
    pytest.param(
        measured(Ratio("a", "b")),
        "metric 'm': measure 'n': Ratio(numerator='a', denominator='b'): there is no "
        "measure 'a'; there are: none",
    ),
    pytest.param(
        lambda orders: Metric("My metric", orders),
        "metric 'My metric': 'My metric' is no name: 1 to 48 of a-z, 0-9 and _, a letter first",
    ),
    pytest.param(
        source(name="Orders"),
        "source 'Orders': a name is 1 to 48 of a-z, 0-9, _ and -, and begins with a letter",
    ),
    pytest.param(
        source(topic="a b"),
        "source 's': 'a b' is no name of a Kafka topic",
    ),
    pytest.param(
        where('country = "DE"'),
        "where of metric 'm': there is no field 'DE'; there are: at, id, status, country, "
        "device, delay, quantity, price, total, paid, day, user, labels, tags, items, raw, "
        "mixed; a text has single quotes, as in 'DE'\n"
        '    country = "DE"\n'
        "              ^^^^",
    ),
    pytest.param(
        where("CAST(NULL AS VARCHAR) + status > 1"),
        "where of metric 'm': + takes numbers, not string; || puts texts together\n"
        "    CAST(NULL AS VARCHAR) + status > 1\n"
        "    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^",
    ),
    pytest.param(
        source(lateness="soon"),
        "lateness of source 's': not a duration: 'soon'; write a whole number and ms, s, "
        "m, h, d or w, as in '24h'",
    ),
    pytest.param(
        source(segment_size=0),
        "source 's': segment_size must be at least 1 and repeat_horizon at least 0",
    ),
    pytest.param(
        source(time="when"),
        "time of source 's': source 's' has no field 'when'; it has: at, id, status, "
        "country, device, delay, quantity, price, total, paid, day, user, labels, tags, "
        "items, raw, mixed",
    ),
    pytest.param(
        source(time="price"),
        "source 's': its time field 'price' holds decimal of another kind than time; use a "
        "timestamp in ms or us, or a long in ms",
    ),
    pytest.param(
        source(id="delay"),
        "source 's': its id field 'delay' holds float; use a string or an integer",
    ),
]


@pytest.mark.parametrize(("declare", "message"), BAD)
def test_a_wrong_declaration_says_what_to_do(
    orders: Source,
    declare: Declare,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DeclarationError) as caught:
        declare(orders)

    place, _, said = str(caught.value).partition(": ")
    assert place.startswith(f"{Path(__file__)}:")
    assert said == message


def test_there_are_more_than_thirty() -> None:
    assert len(BAD) >= 30
