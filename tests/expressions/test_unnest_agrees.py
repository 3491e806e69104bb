"""Both engines fold the same elements of arrays."""

from collections import Counter

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastdata.expressions import ELEMENT, Selection, compile_rows, parse_expression, to_sql
from tests.expressions.expression_texts import EVENTS, FIELDS
from tests.expressions.test_agree import EXAMPLES, bits, context_of

SELECTIONS = [
    ("unnest(items).n <> 0", ["unnest(items).name"], ["unnest(items).n * j"]),
    (None, ["unnest(tags)", "sure"], ["length(unnest(tags))"]),
    ("unnest(tags) LIKE '%a%' OR unnest(tags) IS NULL", ["lower(s)"], ["j", "unnest(tags)"]),
]


def read(where: str | None, by: list[str], arguments: list[str]) -> Selection:
    nodes = [parse_expression(text, FIELDS, "test") for text in (*by, *arguments)]
    return Selection(
        None if where is None else parse_expression(where, FIELDS, "test"),
        tuple(nodes[: len(by)]),
        tuple((argument,) for argument in nodes[len(by) :]),
        (False,) * len(arguments),
    )


@settings(
    max_examples=max(20, EXAMPLES // 5),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(
    texts=st.sampled_from(SELECTIONS),
    events=st.lists(EVENTS, min_size=1, max_size=6),
)
def test_the_rows_of_elements_are_those_of_unnest_in_sql(
    texts: tuple[str | None, list[str], list[str]], events: list[dict[str, object]]
) -> None:
    selection = read(*texts)
    assert selection.array is not None
    columns = ", ".join(
        f"{to_sql(node)} AS r{i}"
        for i, node in enumerate([*selection.by, *(n for (n,) in selection.arguments)])
    )
    where = "true" if selection.where is None else to_sql(selection.where)
    table = context_of(events).sql(
        f"SELECT {columns} FROM (SELECT *, unnest({to_sql(selection.array)}) AS "
        f'"{ELEMENT}" FROM events) WHERE {where}'
    )
    rows = compile_rows(selection)

    ours = Counter(
        tuple(map(bits, (*dims, *values)))
        for event in events
        for dims, several in rows(event)
        for values in several
    )
    theirs = Counter(tuple(map(bits, row.values())) for row in table.to_arrow_table().to_pylist())

    assert theirs == ours
