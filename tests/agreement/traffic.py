"""Clicks of half a day as a careless network delivers them, and what each record is.

Every click has an amount of its own, so that count and sum together tell which clicks are in.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from fastdata import Source
from fastdata.events.schema import Schema, encode
from tests.agreement.sets import Record

__all__ = ["HOUR", "PARTITIONS", "START", "Sent", "Traffic"]

MINUTE, HOUR = 60_000, 3_600_000
START = 1_700_002_800_000  # a full hour
PARTITIONS = 3
BROKEN = [None, b"", b"no magic", b"\0\0\0\0\1datum"]


@dataclass(frozen=True)
class Sent:
    """One record of the log.

    Attributes:
        came: When, ms UTC.
        click: None when it cannot be read or its time is null.
        fate: What the speed layer must do with it: "fold", or why not.
    """

    partition: int
    came: int
    click: Record | None
    value: bytes | None
    fate: str = "bad"

    @property
    def at(self) -> int:
        """Event time, ms UTC."""
        assert self.click is not None
        return int(str(self.click["at"]))


class Traffic:
    """Records in the order in which they come. The same seed gives the same ones.

    Of 100 clicks 60 come within a minute, 33 up to an hour late (the source allows two), 5 after
    4 to 8 hours, 2 before their time. In addition 4 come twice: at once, when nobody remembers
    the first, in another partition, or with a time in another hour; and 2 cannot be read.

    Args:
        start: Of the half day, ms UTC.
        now: When all of them come, in the same order, ms UTC; at their own times if None.
        schema: As the producer has it; the source's own if None.
    """

    def __init__(
        self,
        seed: int,
        clicks: int,
        source: Source,
        start: int = START,
        now: int | None = None,
        schema: Schema | None = None,
    ) -> None:
        self._rng = Random(seed)
        self._schema = schema or source.schema
        self._start = start
        sent = [one for number in range(clicks) for one in self._deliveries(number, clicks)]
        self._rng.shuffle(sent)
        sent.sort(key=lambda one: one.came)
        self.sent = _judge(sent if now is None else _at_once(sent, now, source), source)

    def _deliveries(self, number: int, clicks: int) -> list[Sent]:
        rng = self._rng
        at = self._start + 12 * HOUR * number // clicks
        click: Record = {
            "click": f"c{number}" if number % 50 else None,
            "at": at,
            "place": rng.choice(["Oslo", "Rome", "Lima", None]),
            "user": rng.choice([None, *range(200)]),
            "amount": rng.getrandbits(40),
            "seconds": rng.choice([None, rng.uniform(-1, 1) * 10 ** rng.randrange(12)]),
        }
        first = self._send(click, at + self._delay())
        partition, came = first.partition, first.came
        match rng.randrange(100):
            case 0:
                return [first, replace(first, came=came + rng.randrange(2 * MINUTE))]
            case 1:
                return [first, replace(first, came=max(came, at + 110 * MINUTE))]
            case 2:
                return [first, replace(first, partition=(partition + 1) % PARTITIONS)]
            case 3:
                return [first, self._send({**click, "at": at - HOUR}, came, partition)]
            case 4:
                return [first, Sent(partition, came, None, rng.choice(BROKEN))]
            case 5:
                timeless = encode(self._schema, {**click, "at": None})
                return [first, Sent(partition, came, None, timeless)]
        return [first]

    def _delay(self) -> int:
        kind = self._rng.random()
        if kind < 0.6:
            return self._rng.randrange(MINUTE)
        if kind < 0.93:
            return self._rng.randrange(55 * MINUTE)
        if kind < 0.98:
            return self._rng.randrange(4 * HOUR, 8 * HOUR)
        return -self._rng.randrange(10 * MINUTE, 3 * HOUR)

    def _send(self, click: Record, came: int, partition: int | None = None) -> Sent:
        if partition is None:
            partition = self._rng.randrange(PARTITIONS)
        return Sent(partition, came, click, encode(self._schema, click))


def _at_once(sent: Sequence[Sent], now: int, source: Source) -> list[Sent]:
    """All come now, but for those of which a quarter of an hour decides whether they are early."""
    edge = now + source.skew_ms
    doubtful = range(edge - MINUTE, edge + 15 * MINUTE)
    return [replace(one, came=now) for one in sent if one.click is None or one.at not in doubtful]


def _judge(sent: Sequence[Sent], source: Source) -> list[Sent]:
    """What the documented rules say of each record, in the order of its partition."""
    size = source.segment_size
    reach = -(-source.repeat_horizon // size)  # in whole segments
    offsets = [0] * PARTITIONS
    watermarks = [0] * PARTITIONS
    firsts: dict[tuple[object, ...], int] = {}
    judged = []
    for one in sent:
        p, offset = one.partition, offsets[one.partition]
        offsets[p] += 1
        fate = "bad"
        if one.click is not None:
            edge = (offset // size - reach) * size
            identity = (p, one.click["click"], one.at // HOUR)
            if one.at < watermarks[p] - source.lateness_ms:
                fate = "late"
            elif one.at > one.came + source.skew_ms:
                fate = "future"
            elif one.click["click"] is not None and firsts.get(identity, -1) >= max(edge, 0):
                fate = "repeat"
            else:
                fate = "fold"
                firsts[identity] = offset
                watermarks[p] = max(watermarks[p], one.at)
        judged.append(replace(one, fate=fate))
    return judged
