"""What compiled expressions call. The twin of each function is the SQL beside it in its operator.

Arguments are never null, unless their type says so: the compiled code sees to it.
"""

import hashlib
import math
import re
from datetime import UTC, date, datetime
from decimal import MAX_EMAX, MIN_EMIN, ROUND_HALF_UP, Context, Decimal

EXACT = Context(prec=100, Emax=MAX_EMAX, Emin=MIN_EMIN)
add, subtract, multiply = EXACT.add, EXACT.subtract, EXACT.multiply
minus, magnitude = EXACT.minus, EXACT.abs
fromordinal = date.fromordinal
DAY_MS = 86_400_000
EPOCH_DAY = 719_163  # of 1970-01-01, as `date.toordinal` counts
# Years 1 to 9999, which both engines can divide into months.
FIRST_DAY, LAST_DAY = -719_162, 2_932_896
FIRST_MS, LAST_MS = FIRST_DAY * DAY_MS, (LAST_DAY + 1) * DAY_MS - 1
FIRST_US = FIRST_MS * 1000
FIXED_MS = {
    "second": 1000, "minute": 60_000, "hour": 3_600_000, "day": DAY_MS, "week": 7 * DAY_MS
}  # fmt: skip

INTEGER = r"^[+-]?[0-9]{1,19}$"
DECIMAL = r"^[+-]?[0-9]{1,38}([.][0-9]{1,38})?$"
FLOAT = r"^[+-]?[0-9]{1,300}([.][0-9]{1,300})?([eE][+-]?[0-9]{1,3})?$"
_DAY = r"^([1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])-[0-9]{2}-[0-9]{2}"
DATE = _DAY + "$"
TIMESTAMP = _DAY + r"[ T]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,6})?Z?$"
_INTEGER, _DECIMAL, _FLOAT, _DATE, _TIMESTAMP = (
    re.compile(p.replace("$", r"\Z")) for p in (INTEGER, DECIMAL, FLOAT, DATE, TIMESTAMP)
)

# Letters that newer Unicode than Python 3.11's pairs; DataFusion knows them.
_LOWER_OF = {
    0x1C89: 0x1C8A, 0xA7CB: 0x264, 0xA7CC: 0xA7CD, 0xA7CE: 0xA7CF, 0xA7D2: 0xA7D3,
    0xA7D4: 0xA7D5, 0xA7DA: 0xA7DB, 0xA7DC: 0x19B,
    **{code: code + 0x20 for code in range(0x10D50, 0x10D66)},
    **{code: code + 0x1B for code in range(0x16EA0, 0x16EB9)},
}  # fmt: skip
_UPPER_OF = {small: capital for capital, small in _LOWER_OF.items()}


def lower(text: str) -> str:
    """The text in small letters, of every letter that Unicode pairs."""
    return text.lower() if text.isascii() else text.translate(_LOWER_OF).lower()


def upper(text: str) -> str:
    """The text in capital letters, of every letter that Unicode pairs."""
    return text.upper() if text.isascii() else text.translate(_UPPER_OF).upper()


def blake2b(text: str) -> str:
    """The BLAKE2b hash of the text's UTF-8, 64 bytes as hexadecimal digits."""
    return hashlib.blake2b(text.encode(errors="surrogatepass")).hexdigest()


def divide(a: int, b: int) -> int | None:
    """The quotient, rounded toward zero; None by zero and past 64 bits."""
    if b == 0:
        return None
    quotient = abs(a) // abs(b)
    if (a < 0) is not (b < 0):
        return -quotient
    return quotient if quotient < 1 << 63 else None


def remainder(a: int, b: int) -> int | None:
    """The rest of a division, with the sign of `a`; None by zero."""
    if b == 0:
        return None
    rest = abs(a) % abs(b)
    return -rest if a < 0 else rest


def decimal_to_float(value: Decimal, scale: int) -> float:
    """The float of a decimal; it is rounded twice past 2**53 units, as Arrow does."""
    return float(int(EXACT.scaleb(value, scale))) / 10.0**scale


def float_to_int(value: float) -> int | None:
    """The integer, rounded toward zero; None past 64 bits and for NaN."""
    return int(value) if -(2.0**63) <= value < 2.0**63 else None


def to_decimal(value: Decimal, precision: int, scale: int) -> Decimal | None:
    """The decimal, rounded half away from zero; None past so many digits."""
    number = value.quantize(Decimal(1).scaleb(-scale), ROUND_HALF_UP, EXACT)
    return number if abs(EXACT.scaleb(number, scale)) < 10**precision else None


def decimal_text(value: Decimal, scale: int) -> str:
    """The decimal as text, with as many digits after the point as its type has."""
    return f"{EXACT.add(value, Decimal(0)).quantize(Decimal(1).scaleb(-scale), context=EXACT):f}"


def round_decimal(value: Decimal, scale: int) -> Decimal:
    """The value rounded to so many digits after the point, half away from zero."""
    return value.quantize(Decimal(1).scaleb(-scale), ROUND_HALF_UP, EXACT)


def round_float(value: float) -> float:
    """The value rounded to an integer, half away from zero."""
    if not -(2.0**52) < value < 2.0**52:
        return value
    size = abs(value)
    whole = float(math.floor(size))
    return math.copysign(whole + 1.0 if size - whole >= 0.5 else whole, value)


def substring(text: str, start: int, length: int | None = None) -> str:
    """The characters from `start` to before `start + length`, counted from 1."""
    start = min(max(start, -(2**31)), 2**31)
    if length is None:
        return text[max(start - 1, 0) :]
    end = start - 1 + min(max(length, 0), 2**31)
    return text[max(start - 1, 0) : max(end, 0)]


def split_part(text: str, delimiter: str, index: int) -> str:
    """One of the parts between delimiters, counted from 1; empty where there is none."""
    parts = text.split(delimiter)
    return parts[index - 1] if index <= len(parts) else ""


def like(pattern: str) -> re.Pattern[str]:
    """The regular expression of a LIKE pattern, in which a backslash escapes; in linear time.

    What stands between two percent signs is looked for once, and never again further on: its first
    place leaves the most to what follows.
    """
    parts, escaped = [""], False
    for char in pattern:
        if escaped or char not in "%_\\":
            parts[-1] += re.escape(char)
            escaped = False
        elif char == "\\":
            escaped = True
        elif char == "%":
            parts.append("")
        else:
            parts[-1] += "."
    first, *others = parts
    if others:
        *middle, last = others
        first += "".join([f"(?>.*?{part})" for part in middle if part]) + f".*{last}"
    return re.compile(first, re.DOTALL)


def text_to_int(text: str) -> int | None:
    """The integer of digits with a sign; None for any other text, and past 64 bits."""
    if not _INTEGER.match(text):
        return None
    number = int(text)
    return number if -(1 << 63) <= number < 1 << 63 else None


def text_to_float(text: str) -> float | None:
    """The float of digits with a sign, a point and an exponent; None for any other text."""
    return float(text) if _FLOAT.match(text) else None


def text_to_decimal(text: str, precision: int, scale: int) -> Decimal | None:
    """The decimal of digits with a sign and a point; None for any other text, or too many."""
    return to_decimal(Decimal(text), precision, scale) if _DECIMAL.match(text) else None


def text_to_date(text: str) -> int | None:
    """Days since 1970 of a text as 2024-01-31; None for any other."""
    try:
        return date.fromisoformat(text).toordinal() - EPOCH_DAY if _DATE.match(text) else None
    except ValueError:
        return None


def text_to_us(text: str) -> int | None:
    """Microseconds since 1970 of a text as 2024-01-31 23:59:59.5, in UTC; None for any other."""
    if not _TIMESTAMP.match(text):
        return None
    head, _, fraction = text.removesuffix("Z").partition(".")
    try:
        moment = datetime.fromisoformat(head).replace(tzinfo=UTC)
    except ValueError:
        return None
    days = moment.date().toordinal() - EPOCH_DAY
    seconds = days * 86_400 + moment.hour * 3600 + moment.minute * 60 + moment.second
    return seconds * 1_000_000 + int(fraction.ljust(6, "0") or 0)


def text_to_ms(text: str) -> int | None:
    """Milliseconds since 1970 of such a text, rounded down; None for any other."""
    us = text_to_us(text)
    return None if us is None else us // 1000


def first_day(day: date, months: int) -> int:
    """Days since 1970 of the first day of the month, quarter or year that holds a day."""
    first = day.replace(month=(day.month - 1) // months * months + 1, day=1)
    return first.toordinal() - EPOCH_DAY
