"""What the values of a field look like, in a sample.

pyarrow infers types of CSV and JSON as well, but gives up at the first value that does not fit, and
does not say in which unit a number is a time.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

__all__ = ["NULL_TEXTS", "Profile", "profile_rows"]

NULL_TEXTS = frozenset({"na", "n/a", "#n/a", "nan", "null", "none", "-"})
"""Beside the empty text, what CSV says for null in a column of numbers or times; lower case."""

_WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,18})")
_NUMBER = re.compile(r"-?[0-9]+(\.([0-9]+))?([eE][+-]?[0-9]+)?")
_POINTED = re.compile(r"-?(0|[1-9][0-9]*)\.([0-9]+)")
_ISO = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"(?P<clock>[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.,](?P<part>[0-9]+))?)?"
    r"(?P<offset>Z|[+-][0-9]{2}:?[0-9]{2})?)?"
)
_FIRST_S, _LAST_S = 631_152_000, 4_102_444_800  # the years 1990 to 2099
_UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


@dataclass(slots=True)
class Profile:
    """Counts of what the values of one field are.

    Attributes:
        kinds: How many values are `null`, `boolean`, `long`, `huge` (an integer of more than 64
            bits), `double`, `timestamp` (text with an offset), `local` (without one), `date`,
            `decimal` (a number as text of JSON), `string`, `bytes`, `record` or `array`; of a text
            file also `na`, one of `NULL_TEXTS`.
        units: How many numbers are a time of these decades in `s`, `ms`, `us` or `ns`.
        values: How often each scalar came.
        digits: The most digits after a point; more than nine where they are an exponent.
        part: The most digits of a part of a second.
        fields: Of records, by key.
        items: Of arrays.
    """

    kinds: Counter[str] = field(default_factory=Counter)
    units: Counter[str] = field(default_factory=Counter)
    values: Counter[Any] = field(default_factory=Counter)
    digits: int = 0
    part: int = 0
    fields: dict[str, "Profile"] = field(default_factory=dict)
    items: "Profile | None" = None

    @property
    def count(self) -> int:
        """Values that are no nulls."""
        return self.kinds.total() - self.kinds["null"]

    @property
    def unit(self) -> str:
        """In which unit nearly all numbers are a time; empty where they are in none."""
        for unit, times in self.units.most_common(1):
            if times >= 0.95 * (self.kinds["long"] + self.kinds["double"]):
                return unit
        return ""

    def add(self, value: Any, *, is_text: bool = False) -> None:
        """Count a value: of JSON, or a text that may be anything."""
        kind = self._kind_of_text(value) if is_text else self._kind(value)
        self.kinds[kind] += 1
        if kind == "record":
            for key, member in value.items():
                self.fields.setdefault(key, Profile()).add(member)
        elif kind == "array":
            self.items = self.items or Profile()
            for item in value:
                self.items.add(item)
        elif kind != "null":
            self.values[value] += 1

    def _kind(self, value: Any) -> str:
        match value:
            case None:
                return "null"
            case bool():
                return "boolean"
            case int():
                self._note_unit(value)
                return "long" if -(2**63) <= value < 2**63 else "huge"
            case float():
                return self._kind_of_number(value, repr(value))
            case str():
                return self._kind_of_string(value)
            case dict():
                return "record"
            case list():
                return "array"
        return "decimal" if isinstance(value, Decimal) else "bytes"

    def _kind_of_text(self, text: str) -> str:
        if not text:
            return "null"
        lower = text.lower()
        if lower in NULL_TEXTS:
            return "na"
        if lower in ("true", "false"):
            return "boolean"
        if _WHOLE.fullmatch(text):
            return self._kind(int(text))
        is_number = _NUMBER.fullmatch(text) and not re.match(r"-?0[0-9]", text)
        if is_number and ("." in text or "e" in lower):
            return self._kind_of_number(float(text), text)
        return self._kind_of_moment(text)

    def _kind_of_number(self, value: float, text: str) -> str:
        self._note_unit(value)
        number = _NUMBER.fullmatch(text)
        self.digits = max(self.digits, len(number[2] or "") if number and not number[3] else 10)
        return "double"

    def _kind_of_string(self, text: str) -> str:
        if pointed := _POINTED.fullmatch(text):
            self.digits = max(self.digits, len(pointed[2]))
            return "decimal"
        return self._kind_of_moment(text)

    def _kind_of_moment(self, text: str) -> str:
        moment = _ISO.fullmatch(text)
        if moment is None:
            return "string"
        try:
            datetime.fromisoformat(text)
        except ValueError:
            return "string"
        self.part = max(self.part, len(moment["part"] or ""))
        if moment["clock"] is None:
            return "date"
        return "timestamp" if moment["offset"] else "local"

    def _note_unit(self, value: float) -> None:
        for unit, per_s in _UNITS.items():
            if _FIRST_S * per_s <= value < _LAST_S * per_s:
                self.units[unit] += 1


def profile_rows(rows: Iterable[Mapping[str, Any]], *, is_text: bool) -> dict[str, Profile]:
    """The profile of each key of some rows, in the order in which the keys come."""
    profiles: dict[str, Profile] = {}
    for row in rows:
        for key, value in row.items():
            profiles.setdefault(key, Profile()).add(value, is_text=is_text)
    return profiles
