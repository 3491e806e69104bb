"""What all measures with a sketch have in common; each one's own is beside."""

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastdata.declare.metric import Measure
from fastdata.errors import CorruptStateError, DeclarationError, MapError, QueryError
from fastdata.events.fieldtypes import FieldType
from fastdata.measures.aggregate import Aggregate, dump_whole
from fastdata.measures.estimates import Estimate, Value
from fastdata.measures.frequency import Frequency
from fastdata.measures.quantiles import Quantiles
from fastdata.measures.seen import Seen
from fastdata.measures.sets import Sets
from fastdata.measures.topk import TopK
from fastdata.measures.uniques import Uniques
from fastdata.testing import laws

INT, FLOAT, STRING = FieldType("int"), FieldType("float"), FieldType("string")
DECIMAL = FieldType("decimal", scale=2, precision=9)

INTS = st.lists(st.integers(-(2**63), 2**63 - 1), max_size=12)
STRINGS = st.lists(st.text(st.characters(codec="utf-8"), max_size=6), max_size=12)
FLOATS = st.lists(st.floats(), max_size=12)
WEIGHTED = st.lists(st.tuples(st.sampled_from("abcd"), st.integers(-9, 2**40)), max_size=12)
# Around the places where states stop to be exact: 12 items, 512, and 2**5 or 9 hashes.
MANY = st.builds(
    lambda start, size: list(range(start, start + size)),
    st.integers(0, 600),
    st.sampled_from([0, 1, 8, 9, 10, 31, 32, 33, 60, 511, 512, 513, 1200]),
)
FEW = st.lists(st.integers(0, 11), max_size=60)

# These keep all laws, whatever they are given.
CANONICAL: dict[str, tuple[Aggregate, st.SearchStrategy[list[Any]]]] = {
    "frequency of strings": (Frequency("x").bind(STRING), STRINGS),
    "frequency of ints": (Frequency("x").bind(INT), INTS),
    "frequency of many": (Frequency("x", error=0.1).bind(INT), MANY),
    "sets of strings": (Sets("x").bind(STRING), STRINGS),
    "sets of ints": (Sets("x").bind(INT), INTS),
    "sets of many": (Sets("x", lg_k=5).bind(INT), MANY),
    "seen strings": (Seen("x").bind(STRING), STRINGS),
    "seen ints": (Seen("x").bind(INT), INTS),
    "seen many": (Seen("x", capacity=500).bind(INT), MANY),
}
# These keep them while they are exact.
EXACT: dict[str, tuple[Aggregate, st.SearchStrategy[list[Any]]]] = {
    "top of strings": (TopK("x", k=3).bind(STRING), STRINGS),
    "top of ints": (TopK("x", k=3).bind(INT), INTS),
    "top of few": (TopK("x", k=5, lg_size=4).bind(INT), FEW),
    "top of weights": (TopK("x", k=3, weight="y").bind(STRING, INT), WEIGHTED),
    "quantiles of ints": (Quantiles("x").bind(INT), INTS),
    "quantiles of floats": (Quantiles("x", k=64).bind(FLOAT), FLOATS),
    "quantiles of few": (Quantiles("x", k=12).bind(INT), FEW),
}
LAWFUL = CANONICAL | EXACT

each = pytest.mark.parametrize("case", LAWFUL)
exactness = st.booleans()
quick = settings(max_examples=25, deadline=None, database=None)


@each
@quick
@given(st.data())
def test_a_whole_state_merges_as_before(case: str, data: st.DataObject) -> None:
    aggregate, values = LAWFUL[case]
    laws.a_whole_state_merges_as_before(aggregate, data.draw(values), data.draw(values))


@pytest.mark.parametrize(
    ("measure", "type"),
    [
        (Uniques("x"), INT),
        (Uniques("x"), STRING),
        (Sets("x"), INT),
        (Sets("x"), STRING),
        (TopK("x", k=3), INT),
        (TopK("x", k=3), STRING),
        (Quantiles("x"), INT),
    ],
)
def test_a_state_that_is_too_large_to_be_stored_exactly_is_kept_whole(
    measure: Measure, type: FieldType
) -> None:
    aggregate = measure.bind(type)
    one: list[Any] = list(range(20_000))
    other: list[Any] = list(range(9_000, 31_000))
    if type is STRING:
        one, other = [f"visitor {n}" for n in one], [f"visitor {n}" for n in other]
    state = laws.fold(aggregate, one, exact=True)

    laws.a_whole_state_merges_as_before(aggregate, one, other)
    whole = dump_whole(aggregate, state)
    assert len(whole) > 64 * 1024 > len(aggregate.dump(state))
    kept = aggregate.merge(aggregate.load(whole), laws.fold(aggregate, other, exact=True))
    everything = laws.fold(aggregate, [*one, *other], exact=True)
    assert aggregate.present(kept) == aggregate.present(everything)
    assert aggregate.present(kept).is_exact


@each
@quick
@given(st.data(), exactness)
def test_merging_is_associative_and_commutative(
    case: str, data: st.DataObject, exact: bool
) -> None:
    aggregate, values = LAWFUL[case]
    one, two, three = data.draw(values), data.draw(values), data.draw(values)
    laws.merge_is_associative(aggregate, one, two, three, exact)
    laws.merge_is_commutative(aggregate, one, two, exact)


@each
@quick
@given(st.data(), exactness)
def test_zero_is_neutral_and_storing_changes_nothing(
    case: str, data: st.DataObject, exact: bool
) -> None:
    aggregate, values = LAWFUL[case]
    drawn, more = data.draw(values), data.draw(values)
    laws.zero_is_neutral(aggregate, drawn, exact)
    laws.dump_and_load_change_nothing(aggregate, drawn, more, exact)
    laws.a_stored_state_stays_itself(aggregate, drawn, exact)


@each
@quick
@given(st.data(), exactness, st.randoms(use_true_random=False))
def test_no_split_shows(case: str, data: st.DataObject, exact: bool, chance: random.Random) -> None:
    aggregate, values = LAWFUL[case]
    drawn = data.draw(values)
    parts = [chance.randrange(4) for _ in drawn]
    laws.any_split_presents_the_same(aggregate, drawn, parts, exact)


def skewed(seed: int, size: int) -> list[int]:
    chance = random.Random(seed)
    return [int(chance.paretovariate(0.6)) % 10**6 for _ in range(size)]


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize(
    "aggregate",
    [
        TopK("x", lg_size=4).bind(INT),
        TopK("x").bind(INT),
        Quantiles("x", k=8).bind(INT),
        Quantiles("x").bind(INT),
        *(aggregate for name, (aggregate, _) in CANONICAL.items() if "many" in name),
    ],
    ids=repr,
)
def test_a_stored_state_stays_itself(aggregate: Aggregate, exact: bool) -> None:
    laws.a_stored_state_stays_itself(aggregate, range(20_000), exact)
    laws.a_stored_state_stays_itself(aggregate, skewed(1, 3_000), exact)


SIZES = (5, 100, 700, 3_000)


def test_frequencies_lie_within_their_bounds() -> None:
    aggregate = Frequency("x", error=0.01, confidence=0.9).bind(INT).about(7)  # type: ignore[attr-defined]

    def draw(seed: int) -> tuple[list[object], int]:
        values = [value % 2_000 for value in skewed(seed, SIZES[seed % len(SIZES)])]
        return list(values), values.count(7)

    laws.bounds_hold_for_any_split(aggregate, draw, runs=200)


@pytest.mark.parametrize("lg_k", [5, 9])
def test_sets_lie_within_their_bounds(lg_k: int) -> None:
    def draw(seed: int) -> tuple[list[object], int]:
        size = SIZES[seed % len(SIZES)]
        return [f"{seed} {number}" for number in range(size)], size

    laws.bounds_hold_for_any_split(Sets("x", lg_k).bind(STRING), draw, runs=400, risk=1e-6)


@pytest.mark.parametrize("capacity", [100, 3_000])
def test_numbers_of_seen_values_lie_within_their_bounds(capacity: int) -> None:
    def draw(seed: int) -> tuple[list[object], int]:
        size = SIZES[seed % len(SIZES)] * capacity // 3_000 + 1
        return [f"{seed} {number}" for number in range(size)], size

    aggregate = Seen("x", capacity=capacity).bind(STRING)
    laws.bounds_hold_for_any_split(aggregate, draw, runs=400, risk=1e-6)


@pytest.mark.parametrize("k", [8, 64, 400])
def test_quantiles_lie_within_their_bounds(k: int) -> None:
    at = (0.0, 0.01, 0.5, 0.9, 1.0)

    def draw(seed: int) -> tuple[list[object], Value]:
        chance = random.Random(seed)
        values = [chance.gauss() for _ in range(SIZES[seed % len(SIZES)])]
        return list(values), tuple([sorted(values)[max(0, _rank(a, values))] for a in at])

    aggregate = Quantiles("x", at=at, k=k).bind(FLOAT)
    laws.bounds_hold_for_any_split(aggregate, draw, runs=300, risk=1e-6)


def _rank(share: float, values: Sequence[float]) -> int:
    return -int(-share * 100 * len(values) // 100) - 1


@pytest.mark.parametrize("lg_size", [4, 7])
def test_tops_lie_within_their_bounds_and_miss_nothing_larger(lg_size: int) -> None:
    def draw(seed: int) -> tuple[list[object], Value]:
        values = skewed(seed, SIZES[seed % len(SIZES)])
        return list(values), tuple(Counter(values).items())

    def holds(estimate: Estimate, truth: Any) -> bool:
        rows: Any = estimate.value
        counts = dict(truth)
        slack = 3.5 / 2**lg_size * sum(counts.values())
        inside = all(low <= counts.get(i, 0) <= high for i, _, low, high in rows)
        near = all(counts.get(i, 0) <= n <= counts.get(i, 0) + slack for i, n, _, _ in rows)
        missed = max((n for i, n in counts.items() if i not in {row[0] for row in rows}), default=0)
        return inside and near and (len(rows) < 5 or missed <= rows[-1][1])

    aggregate = TopK("x", k=5, lg_size=lg_size).bind(INT)
    laws.bounds_hold_for_any_split(aggregate, draw, runs=200, holds=holds)


def test_bounds_that_lie_for_a_split_are_noticed() -> None:
    class Halves:
        """A count that forgets what it is merged with, and is sure of it."""

        def zero(self, exact: bool = False) -> int:
            return 0

        def add(self, state: int, value: object) -> int:
            return state + 1

        def merge(self, state: int, other: int) -> int:
            return state

        def present(self, state: int) -> Estimate:
            return Estimate.exact(state)

        def dump(self, state: int) -> bytes:
            return b"%d" % state

        def load(self, data: bytes) -> int:
            return int(data)

    aggregate: Any = Halves()
    with pytest.raises(AssertionError, match="of 50 runs in bounds"):
        laws.bounds_hold_for_any_split(aggregate, lambda seed: ([1] * 99, 99), runs=50)
    with pytest.raises(AssertionError, match="zero changes"):
        laws.a_stored_state_stays_itself(aggregate, [1])


BOUND = {
    "top": TopK("x", lg_size=5).bind(STRING),
    "weighted top": TopK("x", lg_size=5, weight="y").bind(STRING, DECIMAL),
    "frequency": Frequency("x", error=0.1).bind(STRING),
    "quantiles": Quantiles("x", k=16).bind(INT),
    "sets": Sets("x", lg_k=5).bind(STRING),
    "seen": Seen("x", capacity=500).bind(STRING),
}


def value(name: str, number: int) -> object:
    from decimal import Decimal

    match name:
        case "quantiles":
            return number
        case "weighted top":
            return f"v{number}", Decimal("0.25")
    return f"v{number}"


@pytest.mark.parametrize("name", BOUND)
@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("size", [0, 1, 10, 700, 12_000])
def test_changed_bytes_are_refused_or_harmless(name: str, exact: bool, size: int) -> None:
    aggregate = BOUND[name]
    data = aggregate.dump(laws.fold(aggregate, [value(name, n) for n in range(size)], exact))
    chance = random.Random(size)
    cut = {data[:-1], b""} | ({data[: len(data) // 2], data[:3]} if size > 1 else set())
    for broken in (*cut, data + b"\0", b"\x09" + data):
        with pytest.raises(CorruptStateError):
            aggregate.load(broken)
    for _ in range(60):
        changed = bytearray(data)
        changed[chance.randrange(min(len(data), 64))] ^= 1 << chance.randrange(8)
        try:
            state = aggregate.load(bytes(changed))
        except CorruptStateError:
            continue
        # The envelope's checksum tells these apart; here the parser must only live through it.
        aggregate.present(state)
        aggregate.load(aggregate.dump(aggregate.add(state, value(name, 1))))


@pytest.mark.parametrize("name", BOUND)
@pytest.mark.parametrize("wrong", [True, b"x", 2**63, None, [1]])
def test_odd_values_are_refused(name: str, wrong: object) -> None:
    aggregate = BOUND[name]
    if name == "quantiles" and wrong == 2**63:
        pytest.skip("a quantile is a float, which holds it")
    odd = (wrong, wrong) if name == "weighted top" else wrong
    with pytest.raises(MapError, match="map function"):
        aggregate.add(aggregate.zero(), odd)


@pytest.mark.parametrize(
    ("measure", "types", "message"),
    [
        (TopK("x"), [FLOAT], "what fits is: string"),
        (TopK("x", weight="y"), [STRING, FLOAT], "what fits is: int, decimal"),
        (TopK("x", weight="y"), [STRING, FieldType("decimal", precision=19)], "18 digits"),
        (TopK("x", k=0), [STRING], "k goes from 1 to 1000"),
        (TopK("x", lg_size=11), [STRING], "lg_size goes from 4 to 10"),
        (Frequency("x"), [FLOAT], "what fits is: string, int"),
        (Frequency("x", error=0), [STRING], "between 0 and 1"),
        (Frequency("x", error=1e-6), [STRING], "65536 are allowed"),
        (Quantiles("x"), [STRING], "what fits is: int"),
        (Quantiles("x", at=()), [INT], "shares from 0 to 1"),
        (Quantiles("x", at=[50, 99]), [INT], "shares from 0 to 1"),
        (Quantiles("x", k=7), [INT], "k goes from 8"),
        (Sets("x"), [FLOAT], "what fits is: string"),
        (Sets("x", lg_k=16), [STRING], "lg_k goes from 5 to 15"),
        (Seen("x"), [FLOAT], "what fits is: string, int"),
        (Seen("x", capacity=10**9), [STRING], "capacity goes from 100 to 400000"),
        (Seen("x", error=0), [STRING], "error goes from 0.0001 to 0.5"),
    ],
    ids=repr,
)
def test_a_wrong_declaration_says_what_is_right(
    measure: Measure, types: list[FieldType], message: str
) -> None:
    with pytest.raises(DeclarationError, match=message):
        measure.bind(*types)


@pytest.mark.parametrize("measure", [Frequency("x"), Seen("x")])
@pytest.mark.parametrize(("type", "item"), [(INT, "x"), (INT, 2**63), (INT, 1.0), (STRING, 1)])
def test_a_question_about_what_cannot_be_there_is_refused(
    measure: Frequency | Seen, type: FieldType, item: object
) -> None:
    aggregate: Any = measure.bind(type)
    with pytest.raises(QueryError, match="is no value of 'x'"):
        aggregate.about(item)
