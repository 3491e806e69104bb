"""Questions about one item: how often, and whether at all."""

import hashlib
import subprocess
import sys
from typing import Any

import pytest
from rbloom import Bloom

from fastdata import Frequency, Seen
from fastdata.errors import CorruptStateError
from fastdata.events.fieldtypes import FieldType
from fastdata.measures.estimates import Estimate
from fastdata.testing.laws import fold

STRING, INT = FieldType("string"), FieldType("int")
HITS: Any = Frequency("page", error=0.1, confidence=0.9).bind(STRING)  # 3 * 28 cells
IDS: Any = Frequency("id", error=0.1, confidence=0.9).bind(INT)
VISITORS: Any = Seen("visitor", capacity=1_000).bind(STRING)
NUMBERS: Any = Seen("visitor", capacity=1_000).bind(INT)


def test_without_an_item_it_is_how_many_values_there_were() -> None:
    assert HITS.present(HITS.zero()) == Estimate.exact(0)
    assert HITS.present(fold(HITS, ["a", "", "a"])) == Estimate.exact(3)
    assert IDS.present(fold(IDS, range(5_000))) == Estimate.exact(5_000)


def test_few_items_are_counted_exactly() -> None:
    state = fold(HITS, ["a", "", "a"])
    counts = [HITS.about(item).present(state) for item in ("a", "", "b")]
    assert counts == [Estimate.exact(2), Estimate.exact(1), Estimate.exact(0)]


def test_many_items_have_counts_that_are_never_too_small() -> None:
    state = fold(HITS, ["", "a", "a", *[f"page {n}" for n in range(1_000)]])
    for item, true in (("", 1), ("a", 2), ("page 7", 1), ("elsewhere", 0)):
        found = HITS.about(item).present(state)
        assert found.confidence == 0.9
        assert found.lower <= true <= found.value == found.upper


def test_a_question_about_a_number_may_be_text() -> None:
    assert IDS.about("-7").present(fold(IDS, [-7])) == Estimate.exact(1)


def test_batch_counts_exactly_while_items_fit() -> None:
    fits, beyond = (fold(IDS, range(size), exact=True) for size in (8_192, 8_193))
    assert IDS.about(5).present(IDS.load(IDS.dump(fits))) == Estimate.exact(1)
    assert IDS.about(5).present(beyond).confidence == 0.9


def test_missing_events_may_be_of_the_item() -> None:
    state = fold(HITS, ["a"])
    assert HITS.about("a").widen(HITS.about("a").present(state), 3) == Estimate(1, 1, 4)


def test_few_counts_are_stored_as_they_are_and_many_as_cells() -> None:
    assert HITS.dump(fold(HITS, ["b", "a", "b"])) == b"\x00" + b"\x04\0\0\0" + b"a\xffb\xff\x01\x02"
    data = IDS.dump(fold(IDS, range(513)))
    assert data[:7] == b"\x02" + b"\x03" + b"\x1c\0\0\0" + b"\x01"
    assert hashlib.sha256(data).hexdigest()[:16] == "84622645def5ed3b"
    assert sum(data[7 : 7 + 28]) == 513


@pytest.mark.parametrize("at", [0, 1, 2, 6, 7, 90])
def test_changed_cells_are_refused(at: int) -> None:
    data = bytearray(IDS.dump(fold(IDS, range(600))))
    data[at] ^= 0x11
    with pytest.raises(CorruptStateError):
        IDS.load(bytes(data))


def test_seen_is_certain_while_values_are_few() -> None:
    for exact in (False, True):
        state = fold(VISITORS, ["", "anna"], exact)
        found = [VISITORS.about(item).present(state) for item in ("", "anna", "ben")]
        assert found == [Estimate.exact(True), Estimate.exact(True), Estimate.exact(False)]


def test_what_was_seen_is_always_answered_so_and_little_else() -> None:
    state = fold(NUMBERS, range(1_000))
    assert all(NUMBERS.about(item).present(state).value for item in range(1_000))
    strangers = [NUMBERS.about(item).present(state) for item in range(10_000, 20_000)]
    wrong = [found for found in strangers if found.value]
    # 1 % of 10,000, and 1e-9 by Hoeffding's inequality.
    assert len(wrong) < 100 + 322
    assert {(found.lower, found.upper) for found in wrong} == {(False, True)}
    assert {round(found.confidence, 2) for found in wrong} == {0.99}
    assert {found for found in strangers if not found.value} == {Estimate.exact(False)}


def test_without_an_item_it_is_how_many_different_values_there_were() -> None:
    assert VISITORS.present(VISITORS.zero()) == Estimate.exact(0)
    assert VISITORS.present(fold(VISITORS, ["a", "a", "b"])) == Estimate(2, 2, 2, 0.997)
    found = NUMBERS.present(fold(NUMBERS, range(1_000)))
    assert 960 < found.lower < 1_000 < found.upper < 1_040


def test_a_filter_that_is_full_says_that_it_knows_nothing() -> None:
    full: Any = Seen("x", capacity=100, error=0.5).bind(INT)
    state = fold(full, range(5_000))
    assert full.present(state) == Estimate(None, None, None, 0.997)
    assert full.about(-1).present(state) == Estimate(True, False, True, 0.0)


def test_what_is_missing_may_have_been_seen() -> None:
    seen = VISITORS.about("anna")
    nothing = seen.present(VISITORS.zero())
    assert seen.widen(nothing, 0) == Estimate.exact(False)
    assert seen.widen(nothing, 1) == Estimate(False, False, True)
    assert seen.arrow_type() == "bool"


def test_hashes_and_filters_are_stored_in_one_way_for_ever() -> None:
    assert VISITORS.dump(fold(VISITORS, ["b", "a"], exact=True)) == b"\x00" + b"a\xffb\xff"
    hashed = hashlib.blake2b(b"sanna", digest_size=16).digest()
    assert VISITORS.dump(fold(VISITORS, ["anna"])) == b"\x01" + hashed
    number = hashlib.blake2b(b"i\x07" + bytes(7), digest_size=16).digest()
    assert NUMBERS.dump(fold(NUMBERS, [7])) == b"\x01" + number
    data = NUMBERS.dump(fold(NUMBERS, range(500)))
    assert hashlib.sha256(data).hexdigest()[:16] == "0e12a7ece0ffdb4d"


def test_another_process_stores_the_same() -> None:
    program = (
        "from fastdata import Seen; from fastdata.events.schema import FieldType; "
        "from fastdata.testing.laws import fold; "
        "a = Seen('visitor', capacity=1000).bind(FieldType('string')); "
        "print(a.dump(fold(a, [f'v{n}' for n in range(300)])).hex())"
    )
    command = [sys.executable, "-c", program]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    assert VISITORS.dump(fold(VISITORS, [f"v{n}" for n in range(300)])).hex() == found


def test_a_filter_that_would_keep_the_library_busy_for_ever_is_refused() -> None:
    data = NUMBERS.dump(fold(NUMBERS, range(500)))
    for head in (b"\xff" * 8, bytes(8)):
        with pytest.raises(CorruptStateError, match="is no filter for 1000 values"):
            NUMBERS.load(data[:1] + head + data[9:])
    other = Bloom(2_000, 0.01, lambda number: number).save_bytes()
    with pytest.raises(CorruptStateError, match=r"with an error of 0\.01"):
        NUMBERS.load(b"\x02" + other)
