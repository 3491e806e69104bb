"""`fastdata dead-letters`."""

import asyncio
import json
from collections import Counter, deque
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from fastdata.cli.replay import Duration
from fastdata.cli.reporting import left_out, second
from fastdata.cli.running import settings_here
from fastdata.coordinates.instants import now_ms

if TYPE_CHECKING:
    from fastdata.declare.source import Source
    from fastdata.kafka.connection import Broker
    from fastdata.operate.dead_letters import DeadLetterBox, Place, ReadLetter

__all__ = ["dead_letters"]

_SHOWN_BYTES = 120
_MOST_SHOWN = 100


@dataclass(slots=True)
class _Chosen:
    """The letters of one topic that were asked for.

    Attributes:
        pending: The reasons of those that were not sent again, by place and in order.
        newest: The last of all.
        resent: The places of those that were sent again.
    """

    pending: "dict[Place, str]" = field(default_factory=dict)
    newest: "deque[ReadLetter]" = field(default_factory=deque)
    resent: "set[Place]" = field(default_factory=set)
    useless: int = 0


@dataclass(frozen=True, slots=True)
class _LetterChoice:
    """What was asked for."""

    reasons: tuple[str, ...]
    since_ms: int | None
    limit: int | None

    async def read(self, box: "DeadLetterBox") -> _Chosen:
        chosen = _Chosen(newest=deque(maxlen=self.limit or _MOST_SHOWN))
        places = set()
        async for letter in box.read(self.since_ms):
            if letter.is_mark:
                chosen.resent.add(letter.place)
            elif letter.place not in places and letter.reason in (self.reasons or (letter.reason,)):
                places.add(letter.place)
                chosen.newest.append(letter)
                if letter.is_sendable:
                    chosen.pending[letter.place] = letter.reason
                else:
                    chosen.useless += 1
        # A mark may lie in another partition, and be read before its letter.
        for place in chosen.resent & chosen.pending.keys():
            del chosen.pending[place]
        return chosen


@click.command(name="dead-letters", short_help="List what could not be read, and send it again.")
@click.option("--reason", "reasons", multiple=True, help="Only this one; repeatable.")
@click.option("--topic", help="Only of this topic of a source. [default: of all sources]")
@click.option("--since", type=Duration(), help="Only those of the last 1h, say.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    help=f"Show the newest N of each topic, or send the oldest N. [default: show {_MOST_SHOWN}, "
    "send all]",
)
@click.option("--resend", is_flag=True, help="Say what would be sent to its topic again.")
@click.option("--yes", is_flag=True, help="With --resend: send it.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def dead_letters(
    reasons: tuple[str, ...],
    topic: str | None,
    since: timedelta | None,
    limit: int | None,
    resend: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """List what could not be read, and send it again.

    Shows of each dead letter its reason, where the record was, when it became one, what was wrong,
    how often it was sent again, and the beginning of its bytes, hexadecimal where they are no text.

    --resend is for when the cause is mended: a schema, a declaration, a map function. It says
    what would be sent, and with --yes sends it: the bytes, key, headers and timestamp of the
    first time, to the partition of the first time. What was sent is remembered, and not sent a
    second time; what fails again is a new dead letter, which says how often it was tried.

    \b
    Examples:
      fastdata dead-letters
      fastdata dead-letters --reason malformed --topic flights --since 1h --limit 10
      fastdata dead-letters --resend --reason schema-mismatch
      fastdata dead-letters --resend --reason schema-mismatch --yes
    """  # noqa: D301  (click wants the backspace)
    if yes and not resend:
        raise click.UsageError("--yes goes with --resend")
    since_ms = None if since is None else now_ms() - int(since.total_seconds() * 1_000)
    choice = _LetterChoice(reasons, since_ms, limit)
    reports = asyncio.run(_run(choice, topic, resend=resend, is_sure=yes, as_json=as_json))
    if as_json:
        click.echo(json.dumps(reports, indent=2))


async def _run(
    choice: _LetterChoice, topic: str | None, *, resend: bool, is_sure: bool, as_json: bool
) -> list[dict[str, Any]]:
    from fastdata.declare.catalog import load_folder
    from fastdata.kafka.connection import Broker
    from fastdata.operate.dead_letters import DeadLetterBox

    settings = settings_here()
    sources = {source.topic: source for source in load_folder(settings.agents).sources.values()}
    if topic is not None and topic not in sources:
        raise click.UsageError(
            f"no source reads {topic!r}; the topics are: {', '.join(sorted(sources))}"
        )
    broker, reports = Broker.of(settings), list[dict[str, Any]]()
    for name in [topic] if topic else sorted(sources):
        async with DeadLetterBox(broker, name) as box:
            chosen = await choice.read(box)
            if resend:
                reports.append(await _resend(box, broker, choice, chosen, is_sure))
                if not as_json:
                    _show_resent(reports[-1], sources[name])
                continue
        reports += [x.as_dict(is_resent=x.place in chosen.resent) for x in chosen.newest]
        if not as_json:
            _show(name, chosen)
    return reports


async def _resend(
    box: "DeadLetterBox", broker: "Broker", choice: _LetterChoice, chosen: _Chosen, is_sure: bool
) -> dict[str, Any]:
    from fastdata.operate.dead_letters import resend

    places = list(chosen.pending)[: choice.limit]
    reasons = Counter(chosen.pending[place] for place in places)
    sent = 0
    if is_sure and places:
        sent = await resend(
            box, broker, set(places), choice.since_ms,
            lambda count: click.echo(f"{box.topic}: {count:,} sent", err=True),
        )  # fmt: skip
    return {
        "topic": box.topic,
        "reasons": dict(sorted(reasons.items())),
        "to_send": len(places),
        "sent": sent,
        "useless": chosen.useless,
        "resent_before": len(chosen.resent),
    }


def _show_resent(report: dict[str, Any], source: "Source") -> None:
    reasons = ", ".join(f"{reason}: {n:,}" for reason, n in report["reasons"].items())
    others = left_out(
        {
            "were sent before": report["resent_before"],
            "stay, as it would not help them": report["useless"],
        }
    )
    count = report["sent"] or report["to_send"]
    verb = "sent again" if report["sent"] else "to send again"
    click.echo(f"{source.topic}: {count:,} {verb}{f' ({reasons})' if reasons else ''}{others}")
    if count and not report["sent"]:
        if not source.id or source.format != "avro":
            click.echo(
                f"warning: what a replay of source {source.name!r} can read by now, it counts "
                "without this, and then twice: it has no id, or its archive is read anew",
                err=True,
            )
        click.echo("nothing was sent: --yes sends them")


def _show(topic: str, chosen: _Chosen) -> None:
    for letter in chosen.newest:
        again = f", sent again {letter.tries}x before" if letter.tries else ""
        done = ", and was sent again" if letter.place in chosen.resent else ""
        click.echo(
            f"{letter.reason}: {topic}/{letter.place[1]} offset {int(letter.place[2]):,}, "
            f"{second(letter.at)} UTC{again}{done}"
        )
        click.echo(f"  {letter.stage}: {letter.detail or 'no more is known'}")
        key = "" if letter.key is None else f"key {_short(letter.key)}, "
        click.echo(f"  {key}value {_short(letter.value)}")
    counts = f"{len(chosen.newest):,} shown, {len(chosen.pending):,} not sent again yet"
    click.echo(f"{topic}: {counts}")


def _short(payload: bytes | None) -> str:
    """The beginning of bytes, as text where they are one."""
    if payload is None:
        return "none"
    begin = payload[:_SHOWN_BYTES]
    try:
        text = payload.decode()
        is_text = text.isprintable()
    except UnicodeDecodeError:
        is_text = False
    shown = text[:_SHOWN_BYTES] if is_text else begin[: _SHOWN_BYTES // 2].hex()
    length = f"… ({len(payload):,} bytes)" if len(payload) > _SHOWN_BYTES // (2 - is_text) else ""
    return f"{shown}{length}" if is_text else f"0x{shown}{length}"
