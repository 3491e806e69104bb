"""Alerts over both layers as they are: a worker's own folding, and replays of an archive."""

import random
from pathlib import Path

from fastdata import Alert
from fastdata.alerts.watch import AlertWatch
from fastdata.store.alert_states import AlertEvent
from fastdata.store.memory import MemoryStore
from tests.verify.clicks import MINUTE, START, Clicks


class Office:
    """A deployment of both layers, and a process that looks after an alert on its clicks."""

    def __init__(self, folder: Path, when: str, **options: str) -> None:
        self.clicks = Clicks(folder, MemoryStore(), metrics=1, segment=1_000)
        settings = {"every": "1m", "wait": "0s"} | options
        self.alert = Alert("clicks", self.clicks.visits, when=when, **settings)
        self.watch = AlertWatch(self.alert, clock=lambda: self.clicks.loop.now)
        self.minutes = 0

    async def minute(self, ids: list[str], user: int | None = None) -> list[AlertEvent]:
        """A minute of clicks with these ids is over; the events of the alert."""
        for number, id in enumerate(ids):
            users = {} if user is None else {"user": user + number}
            self.clicks.send(self.minutes + 0.5, id, **users)
        self.minutes += 1
        await self.clicks.fold()
        return await self.turn()

    async def turn(self) -> list[AlertEvent]:
        loop = self.clicks.loop
        loop.now = START + self.minutes * MINUTE
        loop.layer.see_end(0, loop.log.end(0), loop.now)
        await loop.layer.flush()
        turn = await self.watch.turn(self.clicks.store)
        assert turn.errors == []
        return list(turn.events)


def ids(first: int, number: int) -> list[str]:
    return [f"c{n}" for n in range(first, first + number)]


async def test_an_alarm_by_clicks_that_came_twice_is_taken_back_by_a_replay(
    tmp_path: Path,
) -> None:
    here = Office(tmp_path, "clicks > 60")
    for minute in range(50):  # a worker remembers the ids of the last thousand
        assert [] == await here.minute(ids(40 * minute, 40))

    (opened,) = await here.minute([*ids(2_000, 40), *ids(0, 30)])
    assert ("opened", {"clicks": [70, 70, 70]}) == (opened.event, opened.measures)
    assert [] == await here.minute(ids(2_040, 70))

    await here.clicks.replay()
    (retracted,) = await here.turn()
    assert ("retracted", {"clicks": [40, 40, 40]}) == (retracted.event, retracted.measures)
    assert opened.id == retracted.opened

    (again,) = await here.minute(ids(2_110, 70))
    assert ("opened", [70, 70, 70]) == (again.event, again.measures["clicks"])
    await here.clicks.replay()
    assert [] == await here.turn()


async def test_hours_of_users_around_the_threshold_open_nothing_and_more_of_them_once(
    tmp_path: Path,
) -> None:
    here = Office(tmp_path, "users > 500")
    rng = random.Random(3)
    events, sent = list[AlertEvent](), 0
    for minute in range(120):
        users = 800 if 60 <= minute < 63 else 100 if minute == 63 else rng.randint(495, 500)
        events += await here.minute(ids(sent, users), user=rng.randrange(1 << 30))
        sent += users

    assert [("opened", 60), ("closed", 63)] == [
        (event.event, (event.start - START) // MINUTE) for event in events
    ]
    value, lower, upper = (number or 0 for number in events[0].measures["users"])
    assert 500 < lower < value < upper
