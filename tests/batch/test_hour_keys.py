"""The key of what an hour of the archive holds."""

from dataclasses import replace

from fastdata.archive import ObjectEntry
from fastdata.batch.plan import Contents
from fastdata.coordinates.instants import HOUR_MS
from fastdata.coordinates.segments import Coverage

ONE, TWO = HOUR_MS, 2 * HOUR_MS
SIZE = 10


def entry(first: int, hours: dict[int, int], partition: int = 0, digest: str = "") -> ObjectEntry:
    count = sum(hours.values())
    name = digest or f"{partition}/{first}"
    return ObjectEntry("", partition, first, first + count, count, 0, "", 1, name, hours, 0)


OBJECTS = [
    entry(0, {ONE: 3, TWO: 1}),
    entry(12, {ONE: 2}),
    entry(20, {TWO: 5}),
    entry(0, {ONE: 1}, partition=1),
]
ALL = {0: 3, 1: 1}


def key(start: int, coverage: dict[int, int], objects: list[ObjectEntry] = OBJECTS) -> str | None:
    contents = Contents.of(Coverage({0: 99, 1: 99}), objects, SIZE)
    return contents.hour_key(start, Coverage(coverage))


def test_a_key_is_of_the_segments_that_are_covered() -> None:
    keys = [key(ONE, covered) for covered in ({0: 1}, {0: 2}, {1: 1}, ALL)]

    assert all(each and len(each) == 32 and int(each, 16) for each in keys)
    assert len(set(keys)) == len(keys)


def test_a_key_stays_while_new_segments_hold_nothing_of_the_hour() -> None:
    assert key(ONE, {0: 2, 1: 1}) == key(ONE, {0: 3, 1: 1}) == key(ONE, {0: 99, 1: 9, 2: 4})


def test_a_key_is_the_same_whatever_else_the_archive_holds() -> None:
    more = [entry(0, {ONE: 7}, partition=0, digest="x"), *OBJECTS]

    assert key(ONE, ALL, OBJECTS[::-1]) == key(ONE, ALL)
    assert key(ONE, ALL, more) != key(ONE, ALL)
    assert key(ONE, ALL, [*OBJECTS, entry(30, {ONE: 7})]) == key(ONE, ALL)


def test_a_key_tells_how_many_events_were_read_of_values_that_are_read_anew() -> None:
    read_again = [replace(OBJECTS[0], hours={ONE: 4, TWO: 1}), *OBJECTS[1:]]

    assert key(ONE, ALL, read_again) != key(ONE, ALL)
    assert key(TWO, ALL, read_again) == key(TWO, ALL)


def test_an_hour_of_which_nothing_is_covered_has_no_key() -> None:
    assert key(TWO, {1: 1}) is None
    assert key(TWO, {}) is None


def test_hours_have_different_keys_even_of_the_same_objects() -> None:
    objects = [entry(0, {ONE: 2, TWO: 2})]

    assert key(ONE, ALL, objects) != key(TWO, ALL, objects)
