"""Values of an answer as text: what a terminal would obey is shown, and numbers stay whole."""

from collections.abc import Mapping, Sequence
from decimal import Decimal

from rich.cells import cell_len, chop_cells

from fastdata.coordinates.dimensions import printable

__all__ = ["bounded", "folded", "is_growing", "parts_of", "shortened", "shown", "width_of"]

_LARGE = 1e15  # from there on a float has no digits of thousandths


def width_of(text: str) -> int:
    """How many columns of a terminal it takes."""
    return len(text) if text.isascii() else cell_len(text)


def folded(text: str, width: int, most: int | None = None) -> list[str]:
    """A text in lines of a width.

    Args:
        most: How many lines there are at most; the last one then ends with "…".
    """
    if width_of(text) <= width:
        return [text]
    lines = chop_cells(text, width)
    if most is None or len(lines) <= most:
        return lines
    return [*lines[: most - 1], chop_cells(lines[most - 1], width - 1)[0] + "…"]


def shortened(parts: Sequence[str], width: int) -> str:
    """The items of a list beside each other, as many as have room, and how many there are more.

    The first one is there whatever the width.
    """
    whole = ", ".join(parts) or "none"
    if width_of(whole) <= width or len(parts) < 2:
        return whole
    text = with_rest = _and_more(parts[0], len(parts) - 1)
    for number in range(2, len(parts)):
        text = _and_more(", ".join(parts[:number]), len(parts) - number)
        if width_of(text) > width:
            break
        with_rest = text
    return with_rest


def _and_more(text: str, more: int) -> str:
    return f"{text}, … {more:,} more"


def parts_of(row: Mapping[str, object], name: str, longest: int | None = None) -> list[str]:
    """The items of a measure that is a list, each with its bounds where it is not certain.

    Args:
        longest: After so many columns a text among them is cut, with "…".
    """
    value, lower, upper = (row[name + suffix] for suffix in ("", "_lower", "_upper"))
    if not isinstance(value, list) or not _sizes(value) >= _sizes(lower, upper):
        return [bounded(row, name, longest)]
    if repr(lower) == repr(value) == repr(upper):
        return [shown(item, longest) for item in value]
    lowers, uppers = (
        side if isinstance(side, list) else [None] * len(value) for side in (lower, upper)
    )
    rows = zip(value, lowers, uppers, strict=True)
    return [bounded({"": v, "_lower": low, "_upper": up}, "", longest) for v, low, up in rows]


def is_growing(row: Mapping[str, object], fresh_until: str | None) -> bool:
    """Whether the window of a row is in progress: not over at `fresh_until`, where that is known.

    Args:
        row: With instants as ISO text; without their "Z" those are in the order of their texts.
    """
    end = str(row["window_end"])
    return fresh_until is not None and fresh_until.rstrip("Z") < end.rstrip("Z")


def bounded(row: Mapping[str, object], name: str, longest: int | None = None) -> str:
    """The value of a measure, with its bounds where it is not certain."""
    value, lower, upper = (row[name + suffix] for suffix in ("", "_lower", "_upper"))
    # As text a NaN is equal to itself.
    if repr(lower) == repr(value) == repr(upper) or _has_bounds(value):
        return shown(value, longest)
    bounds = ("?" if bound is None else shown(bound, longest) for bound in (lower, upper))
    return f"{shown(value, longest)} [{', '.join(bounds)}]"


def _has_bounds(value: object) -> bool:
    """Whether it has bounds of its own, as an item of a `TopK`."""
    return isinstance(value, dict) and {"item", "count", "lower", "upper"} == value.keys()


def _sizes(*lists: object) -> set[int]:
    return {len(items) for items in lists if isinstance(items, list)}


def shown(value: object, longest: int | None = None) -> str:
    """A value as one line of text.

    Args:
        longest: After so many columns a text is cut, with "…"; a number never is.
    """
    match value:
        case None:
            return "-"
        case bool():
            return str(value).lower()
        case float():
            if value == 0 or 1 <= abs(value) < _LARGE:
                return f"{value:,.3f}"
            return f"{value:.{4 if abs(value) < 1 else 15}g}"
        case int() | Decimal():
            return f"{value:,}"
        case list():
            return ", ".join(shown(item, longest) for item in value) or "none"
        case {"item": item, "count": count, "lower": lower, "upper": upper}:
            counted = {"count": count, "count_lower": lower, "count_upper": upper}
            return f"{shown(item, longest)} {bounded(counted, 'count')}"
        case dict():
            return " ".join(shown(item, longest) for item in value.values())
    text = printable(str(value))
    return text if longest is None else folded(text, longest, most=1)[0]
