"""Estimates as they are stored, where nobody needs the states that they were made of any more.

The envelope has one part, whose code no aggregate has: JSON, for each estimate its value, and where
these differ from it, lower bound, upper bound and confidence. A decimal is {"d": text}. An envelope
of no part says that there are estimates which cannot be stored so.
"""

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, cast

from fastdata.errors import CorruptStateError
from fastdata.measures.envelope import pack, unpack
from fastdata.measures.estimates import Estimate, Value

__all__ = ["NO_ESTIMATES", "dump_estimates", "load_estimates"]

_CODE = 0
NO_ESTIMATES = pack([])
"""What is stored where estimates cannot be."""


def dump_estimates(estimates: Sequence[Estimate]) -> bytes:
    """One envelope of some estimates; `load_estimates` gives the very same ones.

    It is `NO_ESTIMATES` where a value is none of those that an `Estimate` has, as an aggregate of a
    user's own may present it, or where it would be larger than 1 MiB.
    """
    try:
        text = json.dumps([_shown(estimate) for estimate in estimates], separators=(",", ":"))
        return pack([(_CODE, text.encode())])
    except (TypeError, CorruptStateError):
        return NO_ESTIMATES


def load_estimates(blob: bytes) -> tuple[Estimate, ...]:
    """The estimates that `dump_estimates` wrote.

    Raises:
        CorruptStateError: The bytes do not verify, or are of states or `NO_ESTIMATES`.
    """
    (data,) = unpack(blob, [_CODE])
    try:
        return tuple([_estimate(*map(_value, parts)) for parts in json.loads(data)])
    except (ValueError, TypeError, KeyError) as error:
        raise CorruptStateError(f"stored estimates cannot be read: {error}") from error


def _shown(estimate: Estimate) -> list[Any]:
    value, lower, upper = map(_plain, (estimate.value, estimate.lower, estimate.upper))
    # As text: 1 and 1.0 are equal, and one NaN is not another.
    is_exact = estimate.confidence == 1.0 and len(set(map(json.dumps, (value, lower, upper)))) == 1
    return [value] if is_exact else [value, lower, upper, estimate.confidence]


def _plain(value: Value) -> Any:
    if isinstance(value, Decimal):
        return {"d": str(value)}
    # They would be read as a decimal and as a tuple.
    if isinstance(value, dict | list):
        raise TypeError(f"{value!r} is no value of an estimate")
    return list(map(_plain, value)) if isinstance(value, tuple) else value


def _value(plain: Any) -> Value:
    if isinstance(plain, dict):
        return Decimal(plain["d"])
    return tuple(map(_value, plain)) if isinstance(plain, list) else cast("Value", plain)


def _estimate(value: Value, *rest: Any) -> Estimate:
    return Estimate(value, *rest) if rest else Estimate.exact(value)
