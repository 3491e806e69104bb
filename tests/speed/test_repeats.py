"""Repeated ids within a horizon of whole segments. Segments hold 10 offsets."""

from fastdata.speed.repeats import Repeats


def test_the_second_occurrence_is_a_repeat_and_the_first_is_not() -> None:
    repeats = Repeats(10, 10)

    assert [repeats.is_repeat(id, i) for i, id in enumerate(["a", "b", "a", None, None])] == [
        False, False, True, False, False,
    ]  # fmt: skip


def test_text_and_numbers_are_different_ids() -> None:
    repeats = Repeats(10, 10)
    repeats.is_repeat("1", 0)

    assert not repeats.is_repeat(1, 1)


def test_folding_an_event_again_is_no_repeat_of_itself() -> None:
    repeats = Repeats(10, 10)
    repeats.is_repeat("a", 3)

    assert not repeats.is_repeat("a", 3)


def test_the_horizon_is_the_segments_before() -> None:
    repeats = Repeats(10, 10)
    repeats.is_repeat("a", 5)
    repeats.is_repeat("b", 12)

    assert repeats.is_repeat("b", 29)
    assert not repeats.is_repeat("a", 29)


def test_what_is_drained_and_restored_is_known_again() -> None:
    first, second = Repeats(20, 10), Repeats(20, 10)
    rows = []
    for offset, id in enumerate("abcd", start=8):
        first.is_repeat(id, offset)
        if offset % 2 and (row := first.drain()):
            rows.append((row[0], row[2]))
    second.restore(reversed(rows))

    assert [second.is_repeat(id, 20 + i) for i, id in enumerate("abcde")] == [True] * 4 + [False]


def test_an_id_that_came_again_beyond_the_horizon_is_restored_as_it_was_seen() -> None:
    first, folded_again, going_on = Repeats(10, 10), Repeats(10, 10), Repeats(10, 10)
    rows = []
    for offset in (8, 12, 25):
        first.is_repeat("a", offset)
        if row := first.drain():
            rows.append((row[0], row[2]))
    folded_again.restore(rows)
    going_on.restore(rows)

    assert [offset for offset, _ in rows] == [8, 25]
    assert [folded_again.is_repeat("a", offset) for offset in (12, 25, 29)] == [True, False, True]
    assert [going_on.is_repeat("a", offset) for offset in (29, 38, 40)] == [True, True, False]


def test_nothing_new_drains_nothing() -> None:
    repeats = Repeats(10, 10)
    repeats.is_repeat("a", 0)
    repeats.drain()
    repeats.is_repeat("a", 1)

    assert repeats.drain() is None


def test_a_horizon_of_zero_turns_it_off() -> None:
    repeats = Repeats(0, 10)

    assert [repeats.is_repeat("a", offset) for offset in (0, 1)] == [False, False]
