"""An experiment's assignment: which of several arms an id belongs to, and for ever."""

import math
import re
from collections.abc import Mapping
from fractions import Fraction
from itertools import accumulate
from typing import NoReturn

from fastdata.declare.place import declaring_place
from fastdata.errors import DeclarationError, MapError
from fastdata.expressions.runtime import blake2b

__all__ = ["Variant"]

_NAME = re.compile(r"[a-z][a-z0-9_]{0,47}")
_POINTS = 1 << 64  # 16 hexadecimal digits


class Variant:
    """Arms of an experiment, of which each id has one: the same in every process, for ever.

    The arm of an id depends on the experiment's name, the id's text, and the arms: on the first 64
    bits of BLAKE2b of "name:id". So the ids of one arm are a random part of those of any other
    experiment. With a larger `share`, whoever has "b" keeps it.

        scoring = Variant("scoring", by="customer_id", share=0.1)
        decisions = Metric("decisions", scored, by={"arm": scoring.expression})

    Args:
        name: Of the experiment, lower case.
        by: The field that holds the id, text or an integer (17 and "17" are one id); or an
            expression.
        share: Of the ids that have arm "b", more than 0 and less than 1; the others have "a".
        arms: Instead of `share`, a weight for each arm by its name, lower case.

    Attributes:
        shares: By name of each arm; together 1.
        expression: The SQL of the arm, for `by` and `where` of a metric; null where the id is.

    Raises:
        DeclarationError: With the place of the declaration.
    """

    def __init__(
        self,
        name: str,
        *,
        by: str,
        share: float | None = None,
        arms: Mapping[str, float] | None = None,
    ) -> None:
        self.place = declaring_place()
        self.name = name
        self.by = by
        if (share is None) is (arms is None):
            self._fail("give it the share of arm 'b', or arms with their weights")
        arms = {"b": share, "a": 1 - share} if share is not None else dict(arms or {})
        if bad := [label for label in (name, *arms) if not _NAME.fullmatch(label)]:
            self._fail(f"{bad[0]!r} is no name: 1 to 48 of a-z, 0-9 and _, a letter first")
        if len(arms) < 2 or not all(0 < weight < math.inf for weight in arms.values()):
            self._fail(f"its arms are {arms!r}; give two or more, each with a weight above 0")
        # As written: 0.1 as a float is a little more than a tenth.
        weights = {arm: Fraction(str(weight)) for arm, weight in arms.items()}
        total = sum(weights.values())
        self.shares = {arm: float(weight / total) for arm, weight in weights.items()}
        *firsts, self._last = weights
        ends = [int(end / total * _POINTS) for end in accumulate(weights.values())]
        self._ends = {arm: f"{end:016x}" for arm, end in zip(firsts, ends, strict=False)}
        column = f'"{by}"' if by.isidentifier() else f"({by})"  # "order" is a word of SQL
        hashed = f"blake2b('{name}:' || CAST({column} AS VARCHAR))"
        cases = [f"WHEN {hashed} < '{end}' THEN '{arm}'" for arm, end in self._ends.items()]
        self.expression = (
            f"CASE {' '.join(cases)} WHEN {column} IS NOT NULL THEN '{self._last}' END"
        )

    def arm(self, value: str | int | None) -> str | None:
        """The arm of an id; None of None. It is what `expression` gives.

        Raises:
            MapError: The id is neither text nor an integer.
        """
        if value is None:
            return None
        if not isinstance(value, str | int) or isinstance(value, bool):
            raise MapError(
                f"variant {self.name!r} has no arm for {value!r} ({type(value).__name__}): an id "
                f"is a str or an int; give it what {self.by!r} holds"
            )
        hashed = blake2b(f"{self.name}:{value}")
        return next((arm for arm, end in self._ends.items() if hashed < end), self._last)

    def _fail(self, message: str) -> NoReturn:
        raise DeclarationError(f"{self.place}: variant {self.name!r}: {message}")
