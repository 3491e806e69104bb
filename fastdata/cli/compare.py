"""`fastdata compare`."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack, cast

import click

from fastdata.cli.completion import complete_metric
from fastdata.cli.query import declared_metric, deliver, no_warnings, pairs, printed
from fastdata.cli.windows import RangeOptions, ranged, show_instant

if TYPE_CHECKING:
    import pyarrow as pa

    from fastdata.answer.lift import Lift
    from fastdata.declare.derived import AnyMetric
    from fastdata.declare.metric import Metric
    from fastdata.store.protocol import ServingStore

__all__ = ["compare"]

_PAIR = "DIMENSION=VALUE"


_CHANCE = 0.001  # below it a share is off: more often would be many false alarms
_PART = click.FloatRange(0, 1, min_open=True, max_open=True)


@click.command(short_help="Compare two selections: sets of values, or the lift of an experiment.")
@click.argument("metric", shell_complete=complete_metric)
@click.argument("measure", required=False)
@click.option("--left", multiple=True, metavar=_PAIR, help="Rows of the left side; none: all.")
@click.option("--right", multiple=True, metavar=_PAIR, help="Rows of the right side; none: all.")
@click.option("--lift", is_flag=True, help="By how much means and rates differ, with intervals.")
@click.option("--level", type=_PART, help="With --lift: confidence of intervals. [default: 0.95]")
@click.option("--share", type=_PART, help="With --lift: which part of events should be left.")
@ranged(every="all")
@printed
def compare(
    metric: str,
    measure: str | None,
    left: tuple[str, ...],
    right: tuple[str, ...],
    lift: bool,
    level: float | None,
    share: float | None,
    form: str,
    as_json: bool,
    output: Path | None,
    **interval: Unpack[RangeOptions],
) -> None:
    """Compare two selections of METRIC: a set of values, or the lift of an experiment.

    Shows of MEASURE, a Sets, how many values are on each side, on either, on both and on one only,
    and the share of all that both have (Jaccard similarity). What is not certain shows its bounds.

    With --lift: by how much the left side differs from the right one, in each mean that has a
    StdDev beside it and each Ratio of a Count by Count(), or in MEASURE alone: difference, lift in
    percent, both with their interval, and p. Events count as independent: have one for each id.
    --share checks that so many events are left. Needs the extra `lift`.

    \b
    Examples:
      fastdata compare visits visitors --left country=DE --right country=FR
      fastdata compare visits visitors --left device=phone --every week --zone Asia/Tokyo --json
      fastdata compare decisions --lift --left arm=b --right arm=a --share 0.1 --last 7d
    """  # noqa: D301  (click wants the backspace)
    sides = pairs("--left", left), pairs("--right", right)
    if lift:
        form = "json" if as_json else form
        if form not in ("table", "json") or interval["every"] != "all" or interval["rolling"]:
            raise click.UsageError("--lift is a table or --json, about the whole range at once")
        asked: dict[str, Any] = {name: interval[name] for name in ("start", "end", "last", "zone")}
        asked |= {"measure": measure, "level": level or 0.95, "share": share}
        _compare_arms(metric, sides, asked, form == "json", output)
        return
    if level or share:
        raise click.UsageError("--level and --share go with --lift")
    if measure is None:
        raise click.UsageError("name a MEASURE that is a Sets, or give --lift")

    async def answer(metric: "AnyMetric", store: "ServingStore") -> "pa.Table":
        from fastdata.answer.compare import compare

        return await compare(cast("Metric", metric), measure, *sides, **interval, store=store)

    deliver(metric, answer, interval, form, as_json, output)


def _compare_arms(
    name: str,
    sides: tuple[dict[str, str], dict[str, str]],
    asked: dict[str, Any],
    as_json: bool,
    output: Path | None,
) -> None:
    """Ask for the lift, and print it."""
    from fastdata.answer.lift import lift

    metric, store = declared_metric(name)
    with no_warnings():
        answer = asyncio.run(lift(cast("Metric", metric), *sides, **asked, store=store))
    plain = asdict(answer)
    about = plain.pop("about")
    text = json.dumps({**about, **plain}) if as_json else "\n".join(_lines(answer))
    with click.open_file(str(output or "-"), "w") as out:
        click.echo(text, out)
    if about["earlier"]:
        click.echo(f"fastdata: {about['earlier']['hint']}", err=True)


def _lines(answer: "Lift") -> Iterator[str]:
    """The lift as people read it."""
    from fastdata.answer.cells import shown

    about = answer.about
    if about["start"] is None:
        yield f"nothing of {about['metric']} is stored yet: fastdata worker and replay bring it"
        return
    sides = [" ".join(f"{k}={shown(v)}" for k, v in about[s].items()) for s in ("left", "right")]
    ends = [show_instant(about[end]) for end in ("start", "end")]
    yield f"{' against '.join(sides)}, {' to '.join(ends)} UTC, confidence {about['level']:.6g}"
    for effect in answer.effects:
        factor, unit, points = (100, " %", " points") if effect.kind == "rate" else (1, "", "")
        values = [shown(value and value * factor) + unit for value in effect.values]
        counts = " and ".join(f"{count:,}" for count in effect.counts)
        yield f"{effect.measure}: {' against '.join(values)}, of {counts}"
        yield f"  difference {_between(effect.difference, factor)}{points}"
        yield f"  lift {_between(effect.lift, 100)} %, p {shown(effect.p_value)}"
    for name, advice in answer.lacking.items():
        yield f"{name}: no interval; {advice}"
    if answer.events and any(answer.events):
        left, right = answer.events
        share = f"events: {left:,} and {right:,}, {100 * left / (left + right):.4g} % left"
        yield share + _judged(about["share"], answer.share_p_value)
    fresh = about["fresh_until"]
    until = f"fresh until {show_instant(fresh)} UTC" if fresh else "no worker has run"
    certain = "exact" if answer.is_exact else "not exact: a replay may change these numbers"
    yield f"{certain}; {until}; {about['definition']}"


def _judged(share: float | None, p_value: float | None) -> str:
    """What is said of a share of events besides how large it is."""
    if share is None or p_value is None:
        return "; --share says how many should be"
    line = f" where {100 * share:.4g} % should be, p {p_value:.4g}"
    return line if p_value >= _CHANCE else f"{line}: find out why before you trust the lift"


def _between(estimate: Any, factor: int) -> str:
    """A value and its interval, times a factor."""
    from fastdata.answer.cells import bounded

    ends = {"": estimate.value, "_lower": estimate.lower, "_upper": estimate.upper}
    return bounded({k: v * factor if isinstance(v, float) else None for k, v in ends.items()}, "")
