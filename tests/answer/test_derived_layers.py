"""A derived metric over both layers as they are, with late events and replays of one side."""

from datetime import datetime
from fractions import Fraction
from pathlib import Path
from random import Random

import fastdata
from fastdata import DerivedMetric
from fastdata.store.memory import MemoryStore
from tests.verify.clicks import HOUR, MINUTE, START, Clicks

MINUTES = 240
_Row = dict[str, object]


class App:
    """Loads and crashes of one app, each with a topic, a worker and an archive of its own."""

    def __init__(self, folder: Path) -> None:
        self.store = MemoryStore()
        self.loads, self.crashes = (
            self._side(folder / name, name) for name in ("loads", "crashes")
        )
        self.stability = DerivedMetric(
            "stability",
            [self.crashes.visits, self.loads.visits],
            measures={
                "rate": "crashes.clicks / loads.clicks",
                "free": "1 - crashes.users / loads.users",
            },
        )
        self.sent: list[tuple[Clicks, int, str, int]] = []

    def _side(self, folder: Path, name: str) -> Clicks:
        folder.mkdir()
        return Clicks(folder, self.store, metrics=1, segment=50, name=name)

    def send(self, side: Clicks, minute: int, place: str, user: int, late: int = 0) -> None:
        """An event that comes so many minutes later than it happened."""
        came = START + (minute + late) * MINUTE
        side.send(minute, place=place, user=user, came=came)
        self.sent.append((side, minute // 60, place, user))

    def truth(self) -> dict[tuple[int, str], tuple[float, float]]:
        """By hour and place, what plain Python counts."""
        answers = {}
        for hour, place in {(hour, place) for _, hour, place, _ in self.sent}:
            crashed, loaded = (
                [user for s, h, p, user in self.sent if (s, h, p) == (side, hour, place)]
                for side in (self.crashes, self.loads)
            )
            free = float(1 - Fraction(len(set(crashed)), len(set(loaded))))
            answers[hour, place] = len(crashed) / len(loaded), free
        return answers

    async def rows(self) -> dict[tuple[int, str], _Row]:
        table = await fastdata.query(self.stability, by="place", store=self.store)
        return {(_hour(row), str(row["place"])): row for row in table.to_pylist()}


def _hour(row: _Row) -> int:
    start = row["window_start"]
    assert isinstance(start, datetime)
    return (round(start.timestamp() * 1000) - START) // HOUR


def _holds(row: _Row, truth: tuple[float, float]) -> bool:
    pairs = zip(("rate", "free"), truth, strict=True)
    return all(row[f"{n}_lower"] <= value <= row[f"{n}_upper"] for n, value in pairs)  # type: ignore[operator]


async def test_bounds_hold_before_and_after_a_replay_of_one_side_and_the_other(
    tmp_path: Path,
) -> None:
    app, random = App(tmp_path), Random(7)
    for minute in range(MINUTES):
        for place in ("Oslo", "Rome"):
            app.send(app.loads, minute, place, random.randrange(40))
            is_crash = minute < 180 and random.random() < 0.1
            if is_crash:
                app.send(app.crashes, minute, place, random.randrange(40))
    # Later than the two hours that a worker waits; and none of the last hour is a crash.
    for late in (3, 20, 50):
        app.send(app.crashes, late, "Oslo", late, late=200)
        app.send(app.loads, late + 60, "Rome", late, late=170)
    for side in (app.loads, app.crashes):
        app.send(side, MINUTES + 60, "Lima", 1)
        await side.fold()
    truth = app.truth()

    fresh = await app.rows()
    assert truth.keys() == fresh.keys()
    assert not any(row["exact"] for row in fresh.values())
    assert [key for key, row in fresh.items() if not _holds(row, truth[key])] == []
    wide = {key for key, row in fresh.items() if row["rate_upper"] > row["rate"]}  # type: ignore[operator]
    assert {(0, "Oslo"), (0, "Rome"), (1, "Oslo"), (1, "Rome")} >= wide >= {(0, "Oslo")}

    await app.crashes.replay()
    half = await app.rows()
    assert not any(row["exact"] for row in half.values())
    assert [key for key, row in half.items() if not _holds(row, truth[key])] == []
    assert truth[0, "Oslo"][0] == half[0, "Oslo"]["rate"] != fresh[0, "Oslo"]["rate"]

    await app.loads.replay()
    whole = await app.rows()
    assert truth == {key: (row["rate"], row["free"]) for key, row in whole.items()}
    exact = {key for key, row in whole.items() if row["exact"]}
    assert {key for key in truth if key[0] < 4} == exact
    assert (0.0, 1.0) == truth[3, "Oslo"]
