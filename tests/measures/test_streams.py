"""Sessions, sequences and funnels: of events in any order, in any parts, and sent again."""

import random
from collections import defaultdict
from typing import Any

import pytest

from fastdata import Funnel, Sequences, Sessions
from fastdata.errors import CorruptStateError, DeclarationError, MapError
from fastdata.events.fieldtypes import FieldType
from fastdata.measures.aggregate import Aggregate
from fastdata.measures.estimates import Estimate
from fastdata.testing import laws
from fastdata.verify.plain import recount
from tests.support.streams import furthest, lengths, matches

INT, STRING = FieldType("int"), FieldType("string")
S = 1_000
TRIES = ("declined", "declined", "approved")
STREAMS = 10_000

tested = Sequences("status", TRIES, by="card", within="10s")
funnel = Funnel("page", ["item", "cart", "paid"], by="user", within="10s")


def sessions(*visits: tuple[str, int], gap: str = "30s", answer: str = "sessions") -> Any:
    aggregate = Sessions("user", gap=gap, answer=answer).bind(STRING)  # type: ignore[arg-type]
    return answered(aggregate, [(user, second * S) for user, second in visits])


def answered(aggregate: Aggregate, values: list[Any]) -> Any:
    estimate = aggregate.present(laws.fold(aggregate, values))
    assert estimate.is_exact
    return estimate.value


def steps(measure: Sequences | Funnel, *events: tuple[str, str, float]) -> Any:
    values = [((step, key), round(second * S)) for key, step, second in events]
    return answered(measure.bind(STRING, STRING), values)


# --- sessions -------------------------------------------------------------------------------------
def test_a_pause_of_the_gap_is_within_a_session_and_a_longer_one_ends_it() -> None:
    assert sessions(("ada", 0), ("ada", 30), ("ada", 60)) == 1
    assert sessions(("ada", 0), ("ada", 31)) == 2


def test_each_user_has_sessions_of_their_own() -> None:
    assert sessions(("ada", 0), ("bob", 10), ("ada", 20)) == 2
    assert sessions(("a name of more than 16", 0), ("a name of more than 17", 0)) == 2


def test_a_late_event_joins_two_sessions() -> None:
    assert sessions(("ada", 0), ("ada", 50), ("ada", 25)) == 1
    assert sessions(("ada", 50), ("ada", 0), answer="seconds") == 0.0
    assert sessions(("ada", 50), ("ada", 0), ("ada", 25), answer="seconds") == 50.0


def test_of_nothing_there_is_no_session() -> None:
    assert (sessions(), sessions(answer="seconds")) == (0, 0.0)


def test_missing_events_may_begin_sessions_join_two_or_make_one_longer() -> None:
    number = Sessions("user", gap="30s").bind(STRING)
    seconds = Sessions("user", gap="30s", answer="seconds").bind(STRING)

    assert number.widen(Estimate.exact(5), 2) == Estimate(5, 3, 7)
    assert number.widen(Estimate.exact(2), 9) == Estimate(2, 1, 11)
    assert number.widen(Estimate.exact(0), 1) == Estimate(0, 0, 1)
    assert seconds.widen(Estimate.exact(7.5), 2) == Estimate(7.5, 7.5, 127.5)


# --- sequences ------------------------------------------------------------------------------------
def test_a_sequence_is_its_steps_in_order_whatever_lies_between() -> None:
    one = [("c", "declined", 0.0), ("c", "asked", 1.0), ("c", "declined", 2.0)]

    assert steps(tested, *one) == 0
    assert steps(tested, *one, ("c", "approved", 3.0)) == 1
    assert steps(tested, *one, ("d", "approved", 3.0)) == 0
    assert steps(tested, *one, ("c", "approved", 1.5)) == 0


def test_the_latest_way_is_taken_so_that_an_old_first_step_does_not_hide_it() -> None:
    old = ("c", "declined", 0.0)
    tries = [("c", "declined", 9.0), ("c", "declined", 10.0), ("c", "approved", 19.0)]

    assert steps(tested, old, *tries) == 1
    assert steps(tested, old, tries[0], tries[2]) == 0


def test_it_may_take_as_long_as_within_says() -> None:
    begin = [("c", "declined", 0.0), ("c", "declined", 1.0)]

    assert steps(tested, *begin, ("c", "approved", 10.0)) == 1
    assert steps(tested, *begin, ("c", "approved", 10.001)) == 0


def test_no_two_sequences_overlap() -> None:
    two = [("c", status, float(second)) for second, status in enumerate(TRIES * 2)]

    assert steps(tested, *two) == 2
    assert steps(tested, *two[:3], ("c", "approved", 3.0)) == 1


def test_at_one_millisecond_events_come_in_the_order_of_the_steps() -> None:
    assert steps(tested, *[("c", status, 5.0) for status in reversed(TRIES)]) == 1


# --- funnels --------------------------------------------------------------------------------------
def test_a_funnel_counts_the_keys_that_have_come_to_each_step() -> None:
    events = [
        ("ada", "item", 0.0), ("ada", "cart", 1.0), ("ada", "paid", 2.0), ("ada", "item", 3.0),
        ("bob", "item", 0.0), ("bob", "cart", 1.0),
        ("eve", "cart", 0.0), ("eve", "item", 1.0), ("eve", "paid", 2.0),
        ("dan", "item", 0.0), ("dan", "cart", 10.5),
        ("cid", "paid", 0.0),
    ]  # fmt: skip

    assert steps(funnel, *events) == (4, 2, 1)
    assert steps(funnel) == (0, 0, 0)


# --- all ------------------------------------------------------------------------------------------
def test_of_random_streams_any_parts_answer_what_a_plain_program_does() -> None:
    """With disorder, events of one moment, and events that are sent twice."""
    rng = random.Random(7)
    tries = Sequences("what", [*"aab"], by="key", within="6s")
    pages = Funnel("what", [*"abc"], by="key", within="6s")
    number, seconds = Sessions("key", gap="3s"), Sessions("key", gap="3s", answer="seconds")
    for _ in range(STREAMS):
        events = [
            ((rng.choice("aabbcd"), rng.choice("xy")), rng.randrange(20) * S)
            for _ in range(rng.randrange(16))
        ]
        of_key: dict[str, list[tuple[int, str]]] = defaultdict(list)
        for (what, key), time in events:
            of_key[key].append((time, what))
        visits = [(key, time) for (_, key), time in events]
        runs = [run for of in of_key.values() for run in lengths([t for t, _ in of], 3 * S)]
        reached = [furthest(of, "abc", 6 * S) for of in of_key.values()]
        expected: list[tuple[Any, list[FieldType], list[Any], object]] = [
            (number, [STRING], visits, len(runs)),
            (seconds, [STRING], visits, sum(runs) / S),
            (tries, [STRING] * 2, events, sum(matches(of, "aab", 6 * S) for of in of_key.values())),
            (pages, [STRING] * 2, events, tuple(sum(r > n for r in reached) for n in range(3))),
        ]
        for measure, types, values, value in expected:
            aggregate = measure.bind(*types)
            parts = [values[n::3] for n in range(3)]
            states = [aggregate.load(aggregate.dump(laws.fold(aggregate, p))) for p in parts]
            merged = states[2]
            for state in states[:2]:
                merged = aggregate.merge(merged, state)
            assert aggregate.present(merged).value == value, (measure, values)
            assert recount(measure, values) == value, (measure, values)


def test_what_came_twice_makes_no_session_more() -> None:
    assert sessions(("ada", 0), ("ada", 0), ("ada", 31), ("ada", 31)) == 2


@pytest.mark.parametrize(
    ("measure", "types", "message"),
    [
        (Sessions("x", gap="soon"), [STRING], "gap: not a duration: 'soon'"),
        (Sessions("x", answer="hours"), [STRING], "answer is one of: sessions, seconds"),  # type: ignore[arg-type]
        (Sessions("x"), [FieldType("float")], "a field of kind float; what fits is: string, int"),
        (Sequences("x", ["a"], by="k", within="1m"), [STRING] * 2, "has 1 steps; give 2 to 32"),
        (
            Sequences("x", ["a", "b"], by="k", within="1"),
            [STRING] * 2,
            "within: not a duration: '1'",
        ),
        (Sequences("x", "ab", by="k", within="1m"), [STRING] * 2, "steps are no list; write"),
        (Funnel("x", {"a", "b"}, by="k", within="1m"), [STRING] * 2, "steps are no list; write"),  # type: ignore[arg-type]
        (Sequences("x", ["a", "b"], by="k", within="1m"), [INT, STRING], "'a' is no value of 'x'"),
        (Funnel("x", ["a", "b"], by="k", within="1m"), [STRING, FieldType("bool")], "kind bool"),
    ],
)
def test_a_wrong_declaration_says_what_fits(
    measure: Sessions | Sequences | Funnel, types: list[FieldType], message: str
) -> None:
    with pytest.raises(DeclarationError, match=message):
        measure.bind(*types)


def test_values_of_another_type_are_refused() -> None:
    with pytest.raises(MapError, match="user"):
        answered(Sessions("user").bind(STRING), [(7, 0)])
    with pytest.raises(MapError, match="status"):
        answered(tested.bind(STRING, STRING), [((7, "card"), 0)])


@pytest.mark.parametrize(
    "damage", [b"\x00", b"\x80", b"\x04\x01a\x01\x01\x00", b"\x05\x01a\x01\x00", b"\x05\x01a\x00"]
)
def test_bytes_that_nobody_wrote_are_noticed(damage: bytes) -> None:
    with pytest.raises(CorruptStateError):
        Sessions("user").bind(STRING).load(damage)


def test_a_cut_state_is_noticed() -> None:
    aggregate = tested.bind(STRING, STRING)
    values = [((status, "card"), 1_700_000_000_000 + n) for n, status in enumerate(TRIES)]
    data = aggregate.dump(laws.fold(aggregate, values))

    for end in range(1, len(data)):
        with pytest.raises(CorruptStateError):
            aggregate.load(data[:end])
