"""Estimates as they are stored, where nobody needs the states that they were made of any more.

The envelope has one part, whose code no aggregate has: JSON, for each estimate its value, and where
these differ from it, lower bound, upper bound and confidence. A decimal is {"d": text}.
"""

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, cast

from fastdata.errors import CorruptStateError
from fastdata.measures.envelope import pack, unpack
from fastdata.measures.estimates import Estimate, Value

__all__ = ["dump_estimates", "load_estimates"]

_CODE = 0


def dump_estimates(estimates: Sequence[Estimate]) -> bytes:
    """One envelope of some estimates; `load_estimates` gives the very same ones.

    Raises:
        CorruptStateError: It would be larger than 1 MiB.
    """
    text = json.dumps([_shown(estimate) for estimate in estimates], separators=(",", ":"))
    return pack([(_CODE, text.encode())])


def load_estimates(blob: bytes) -> tuple[Estimate, ...]:
    """The estimates that `dump_estimates` wrote.

    Raises:
        CorruptStateError: The bytes do not verify, or are of states.
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
    return list(map(_plain, value)) if isinstance(value, tuple) else value


def _value(plain: Any) -> Value:
    if isinstance(plain, dict):
        return Decimal(plain["d"])
    return tuple(map(_value, plain)) if isinstance(plain, list) else cast("Value", plain)


def _estimate(value: Value, *rest: Any) -> Estimate:
    return Estimate(value, *rest) if rest else Estimate.exact(value)
