"""New versions beside the old, then the pointers: what a replay does to the store."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import ParamSpec, TypeVar

import stamina

from fastdata.batch.job import WindowState
from fastdata.batch.plan import Plan
from fastdata.coordinates.dimensions import is_tip
from fastdata.errors import FastdataError, SpanConflictError
from fastdata.failpoints import reach
from fastdata.store.pace import Pace
from fastdata.store.protocol import Flip, Run, ServingStore

__all__ = ["confirm_spans", "patiently", "replace_spans"]

_P = ParamSpec("_P")
_T = TypeVar("_T")
_again = stamina.AsyncRetryingCaller(
    attempts=5, timeout=None, wait_initial=0.05, wait_exp_base=5, wait_max=5.0, wait_jitter=0.0
).on(lambda error: isinstance(error, FastdataError) and error.retriable)
# One transaction each; readers and workers wait no longer than for one of them.
_FLIPS_AT_ONCE = 500


async def patiently(call: Callable[_P, Awaitable[_T]], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """The result of an idempotent call that is called again after errors that are retriable.

    Raises what the call raises, if it is not retriable or still there after four more attempts in
    some six seconds.
    """
    # Bound, as stamina logs what a call gets: whole states, for one.
    return await _again(partial(call, *args, **kwargs))


async def replace_spans(
    store: ServingStore,
    run: Run,
    plan: Plan,
    rows: Mapping[int, Sequence[WindowState]],
    hours: Mapping[int, Sequence[WindowState]],
    pace: Pace | None,
) -> list[int]:
    """Make totals the exact answer of their spans.

    Atomic per span and idempotent. Of spans whose heads somebody else has moved since they were
    planned, none or some become what is said here.

    Args:
        plan: Of these spans.
        rows: All totals of a span, by span.
        hours: Those of the whole hour, by span.
        pace: Waited for before totals are written; None for no limit.

    Returns:
        The spans that now show these totals.

    Raises:
        StoreUnavailableError: The store does not answer; what is published stays.
        CommitUnknownError: The same.
    """
    try:
        written = await patiently(store.write_totals, run.metric, run.number, rows, pace, hours)
    except SpanConflictError:
        return []  # Somebody else resumed this run; what is left is planned again.
    reach("batch.before_flip")
    has_tips = {span: any(is_tip(dims) for _, dims, _ in rows[span]) for span in written}
    flips = [
        _flip(run, plan, span, run.number, count, has_tips=has_tips[span])
        for span, count in written.items()
    ]
    moved = await _publish(store, run, flips)
    reach("batch.after_flip")
    return moved


async def confirm_spans(store: ServingStore, run: Run, plan: Plan) -> list[int]:
    """Give the run's coverage to the spans of a plan with nothing new, or nothing at all.

    Atomic per span and idempotent; as for those whose heads somebody else has moved, see
    `replace_spans`.

    Returns:
        The spans that now have it.

    Raises:
        StoreUnavailableError: The store does not answer; what is published stays.
        CommitUnknownError: The same.
    """
    flips = [
        _flip(run, plan, span, head.version, None, has_tips=head.coverage.has_tips)
        for span, head in ((span, plan.heads[span]) for span in plan.relabel)
    ]
    flips += [_flip(run, plan, span, run.number, 0) for span in plan.empty]
    return await _publish(store, run, flips)


def _flip(
    run: Run, plan: Plan, span: int, version: int, rows: int | None, *, has_tips: bool = False
) -> Flip:
    head = plan.heads.get(span)
    expected = (head.version, head.coverage) if head else None
    return Flip(span, expected, version, replace(run.coverage, has_tips=has_tips), rows)


async def _publish(store: ServingStore, run: Run, flips: Sequence[Flip]) -> list[int]:
    moved: list[int] = []
    for first in range(0, len(flips), _FLIPS_AT_ONCE):
        together = flips[first : first + _FLIPS_AT_ONCE]
        # All or none are moved; those that nobody else has moved are planned again.
        with suppress(SpanConflictError):
            await patiently(store.publish, run.metric, together)
            moved += [flip.span for flip in together]
    return moved
