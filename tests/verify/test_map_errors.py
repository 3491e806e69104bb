"""Layers and recount agree about events of which the map function raises."""

from pathlib import Path

import pytest

from fastdata.declare.unfolded import counted_in, unfolded_of
from fastdata.errors import BadEventError, DeclarationError, MapError
from fastdata.events.decoder import Decoder
from fastdata.events.schema import encode
from fastdata.store.memory import MemoryStore
from tests.verify.clicks import START, Clicks

MAP = """
@clicks.map
def per_seat(event):
    if event["place"] == "list":
        return [event]
    event["amount"] = event["amount"] // event["user"]
    return event
"""


def stage(folder: Path, source: str) -> Clicks:
    """For five of its 20 events the function raises, and for one it returns no dict."""
    clicks = Clicks(folder, MemoryStore(), MAP, source=source)
    for n in range(20):
        clicks.send(n, user=n % 4, place="list" if n == 7 else "Oslo", amount=100)
    return clicks


async def test_such_events_are_dead_letters_and_left_out_by_both_layers(tmp_path: Path) -> None:
    clicks = stage(tmp_path, 'on_map_error="dead-letter",')
    # What was left out is no event that another could repeat.
    clicks.send(21, id="c0", user=1, amount=100)
    await clicks.fold()
    fresh = await clicks.store.partials(clicks.visits.id, 0, 1 << 50)
    await clicks.replay()

    for report in (await clicks.verify()).metrics:
        assert not report.findings
        assert not +report.causes
        assert {span.speed for span in report.spans} == {"compared", "nothing new"}
    letters = clicks.loop.letters
    assert {(letter.stage, letter.reason) for letter in letters} == {("map", "map-error")}
    assert [letter.record.offset for letter in letters] == [0, 4, 7, 8, 12, 16]
    assert "raised ZeroDivisionError" in letters[0].detail
    assert letters[2].detail == "returned list"
    # Dead letters and folded are all that was sent, in either layer.
    metric = clicks.visits
    folded = [metric.load(partial.state)[0] for partial in fresh]
    system = unfolded_of(clicks.loop.source)
    partials = await clicks.store.partials(system.id, 0, 1 << 50)
    assert sum(counted_in(system, partial.state) for partial in partials) == 6
    assert sum(metric.aggregates[0].present(state).value for state in folded) == 15  # type: ignore[misc]
    reading = await clicks.store.read(metric.id, "", "", 0, 1 << 50)
    totals = [metric.load(total.state)[0] for total in reading.totals]
    assert sum(metric.aggregates[0].present(state).value for state in totals) == 15  # type: ignore[misc]


async def test_by_default_they_are_a_bug_for_which_the_layer_stops(tmp_path: Path) -> None:
    clicks = stage(tmp_path, "")

    with pytest.raises(MapError, match=r"raised ZeroDivisionError: .*; mend it and start again"):
        await clicks.fold()


def test_it_is_no_part_of_what_a_metric_is(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()

    assert stage(one, "").visits.id == stage(other, 'on_map_error="dead-letter",').visits.id


def test_another_word_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match="it is one of: stop, dead-letter"):
        stage(tmp_path, 'on_map_error="drop",')


def test_the_error_knows_the_time_by_which_the_archive_counts_it(tmp_path: Path) -> None:
    clicks = stage(tmp_path, 'on_map_error="dead-letter",')
    source = clicks.loop.source
    click = {"click": "c", "at": START, "place": "", "user": 0, "amount": 1, "seconds": 0.0}

    with pytest.raises(BadEventError) as caught:
        Decoder(source, clicks.registry).decode(encode(source.schema, click))
    assert caught.value.time == START
