"""`fastdata compare`."""

from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import click

from fastdata.cli.completion import complete_metric
from fastdata.cli.query import deliver, pairs, printed
from fastdata.cli.windows import RangeOptions, ranged

if TYPE_CHECKING:
    import pyarrow as pa

    from fastdata.declare.metric import Metric
    from fastdata.store.protocol import ServingStore

__all__ = ["compare"]

_PAIR = "DIMENSION=VALUE"


@click.command(short_help="Compare the sets of values of two selections.")
@click.argument("metric", shell_complete=complete_metric)
@click.argument("measure")
@click.option("--left", multiple=True, metavar=_PAIR, help="Rows of the left side; none: all.")
@click.option("--right", multiple=True, metavar=_PAIR, help="Rows of the right side; none: all.")
@ranged(every="all")
@printed
def compare(
    metric: str,
    measure: str,
    left: tuple[str, ...],
    right: tuple[str, ...],
    form: str,
    as_json: bool,
    output: Path | None,
    **interval: Unpack[RangeOptions],
) -> None:
    """Compare the values that MEASURE, a Sets of METRIC, has on two sides.

    Shows how many values are on each side, on either, on both and on one only, and the share of
    all that both have (Jaccard similarity). What is not certain shows its bounds.

    \b
    Examples:
      fastdata compare visits visitors --left country=DE --right country=FR
      fastdata compare visits visitors --left device=phone --every week --zone Asia/Tokyo --json
    """  # noqa: D301  (click wants the backspace)
    sides = pairs("--left", left), pairs("--right", right)

    async def answer(metric: "Metric", store: "ServingStore") -> "pa.Table":
        from fastdata.answer.compare import compare

        return await compare(metric, measure, *sides, **interval, store=store)

    deliver(metric, answer, interval, form, as_json, output)
