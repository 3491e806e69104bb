"""Whether all that fastdata needs is there and set right: many checks, side by side."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum

from fastdata.errors import FastdataError, mask_url

__all__ = ["Check", "CheckResult", "Level", "examine", "failed", "fine", "warning"]

_LIMIT_S = 30.0


class Level(StrEnum):
    """How well something is."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check has found.

    Attributes:
        check: The name of the check.
        text: What was seen; and what to do, unless all is well.
        is_late: Whether the check did not end in time, so that it may still be at work.
    """

    check: str
    level: Level
    text: str
    is_late: bool = False

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {name: value for name, value in asdict(self).items() if name != "is_late"}


Outcome = tuple[Level, str]
Check = Callable[[], Awaitable[list[Outcome]]]
"""Looks at one thing; whatever it raises is what it has found."""


def fine(text: str) -> Outcome:
    """All is well with what the text says."""
    return Level.OK, text


def warning(text: str) -> Outcome:
    """It works, and something of it should be mended."""
    return Level.WARNING, text


def failed(text: str) -> Outcome:
    """It does not work."""
    return Level.FAILED, text


async def examine(checks: Mapping[str, Check], limit_s: float = _LIMIT_S) -> list[CheckResult]:
    """Run all checks at the same time, and wait no longer than the limit.

    Never raises: a check that fails, in whatever way, or does not end is a result.

    Args:
        checks: By name.
        limit_s: What does not end within it goes on, and whoever called should end the process.

    Returns:
        What each has found, in the order of the checks.
    """
    tasks = {name: asyncio.ensure_future(_run(check)) for name, check in checks.items()}
    if tasks:
        await asyncio.wait(tasks.values(), timeout=limit_s)
    results = []
    for name, task in tasks.items():
        if not task.done():
            text = f"no answer within {limit_s:g} s: see whether what it asks is overloaded"
            results.append(CheckResult(name, Level.FAILED, text, is_late=True))
            continue
        results += [CheckResult(name, level, mask_url(text)) for level, text in task.result()]
    return results


async def _run(check: Check) -> list[Outcome]:
    try:
        return await check()
    except FastdataError as error:
        return [failed(str(error))]
    except Exception as error:  # noqa: BLE001 - a task ends here
        return [failed(f"the check itself failed: {type(error).__name__}: {error}")]
