"""Dead letters, the newest first, a page at a time."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from fastdata.operate.log_reader import LogReader
from fastdata.speed.dead_letters import STAGE_RESENT, split_headers

__all__ = ["Letter", "Page", "read_letters"]

_SHOWN_BYTES = 16 << 10
_SEARCHED = 500


@dataclass(frozen=True, slots=True)
class Letter:
    """A record that could not be read, as it lies in the topic of dead letters.

    Attributes:
        partition: Of that topic; `offset` likewise.
        stage: `decode`, `time`, `map`, `key` or `destination`.
        reason: As the status counts it after `dead:`, such as `malformed`.
        record: Topic, partition, offset and timestamp of what could not be read.
        key: Text, or base64 where it is none; the first 16 KiB.
        value: The same.
        is_text: Whether the value is shown as text.
        value_bytes: How long the value is.
    """

    partition: int
    offset: int
    stage: str
    reason: str
    detail: str
    record: Mapping[str, str]
    key: str | None
    value: str | None
    is_text: bool
    value_bytes: int


@dataclass(frozen=True, slots=True)
class Page:
    """Some letters.

    Attributes:
        before: By partition, before which offset the next page begins; None when there is none.
    """

    letters: list[Letter]
    before: dict[int, int] | None


def read_letters(
    log: LogReader, topic: str, limit: int, reason: str | None, before: Mapping[int, int]
) -> Page:
    """A page of the letters in a topic; may block.

    Args:
        limit: How many there are at most. Of one reason there may be fewer, and more after them.
        reason: Only these, None for all.
        before: As of the page before; empty for the newest.

    Raises:
        BrokerError: The broker cannot be reached.
    """
    held = log.ranges([topic]).get(topic, {})
    ends = {p: max(start, min(end, before.get(p, end))) for p, (start, end) in held.items()}
    reach = limit if reason is None else max(limit, _SEARCHED)
    ranges = {p: (max(held[p][0], end - reach), end) for p, end in ends.items()}
    dated = [
        (timestamp, letter)
        for p, offset, timestamp, key, value, headers in log.records(topic, ranges)
        if _is_wanted(letter := _letter(p, offset, key, value, headers), reason)
    ]
    dated.sort(key=lambda item: (item[0], item[1].partition, item[1].offset), reverse=True)
    letters = [letter for _, letter in dated]
    shown, rest = letters[:limit], letters[limit:]
    after = {p: start for p, (start, _) in ranges.items()}
    after |= {p: _end(p, rest, start) for p, start in after.items()}
    is_more = any(after[p] > held[p][0] for p in after)
    return Page(shown, after if is_more else None)


def _is_wanted(letter: Letter, reason: str | None) -> bool:
    # A mark only says that another letter was sent again.
    return letter.stage != STAGE_RESENT and reason in (None, letter.reason)


def _end(partition: int, rest: Iterable[Letter], start: int) -> int:
    """Before which offset a page goes on that has not shown all that was read."""
    return max((e.offset + 1 for e in rest if e.partition == partition), default=start)


def _letter(
    partition: int,
    offset: int,
    key: bytes | None,
    value: bytes | None,
    headers: Sequence[tuple[str, bytes]],
) -> Letter:
    _, ours = split_headers(headers)
    shown, is_text = _shown(value)
    return Letter(
        partition=partition,
        offset=offset,
        stage=ours.get("stage", ""),
        reason=ours.get("reason", ""),
        detail=ours.get("detail", ""),
        record={name: ours.get(name, "") for name in ("topic", "partition", "offset", "timestamp")},
        key=_shown(key)[0],
        value=shown,
        is_text=is_text,
        value_bytes=len(value or b""),
    )


def _shown(data: bytes | None) -> tuple[str | None, bool]:
    if data is None:
        return None, True
    data = data[:_SHOWN_BYTES]
    try:
        return data.decode(), True
    except UnicodeDecodeError:
        return base64.b64encode(data).decode(), False
