"""What is said of SQL outside of the subset: where in the text, and what to use instead."""

from typing import Any

from sqlglot import exp

from fastdata.errors import DeclarationError, did_you_mean

__all__ = ["RefusedError", "instead_of", "pointed", "unknown_function"]

_FUNCTIONS = (
    "abs", "array_contains", "blake2b", "cardinality", "cast", "ceil", "char_length", "coalesce",
    "concat", "date_trunc", "epoch_ms", "extract", "floor", "greatest", "least", "length", "lower",
    "ltrim", "nullif", "replace", "round", "rtrim", "split_part", "starts_with", "strpos",
    "substring", "to_timestamp_millis", "trim", "try_cast", "unnest", "upper",
)  # fmt: skip

_ONE_EVENT = "an expression sees one event only"
_INSTEAD: tuple[tuple[Any, str], ...] = (  # what isinstance takes, what is said
    ((exp.Query, exp.Subquery, exp.Exists, exp.From, exp.Table), f"a query: {_ONE_EVENT}"),
    (exp.Window, f"a window: {_ONE_EVENT}; windows of time are asked for in a query"),
    (exp.AggFunc, "an aggregate: it belongs in measures={...}, as in Sum('amount')"),
    (
        (exp.CurrentTimestamp, exp.CurrentDate, exp.CurrentTime, exp.Rand),
        "what changes from call to call: a replay must give the same; use a field of the event",
    ),
    (exp.Alias, "a name: names are the keys of by={...} and measures={...}"),
    (exp.Star, "*: name a field"),
    ((exp.RegexpLike, exp.RegexpILike, exp.SimilarTo), "a regular expression: use LIKE or ILIKE"),
    (exp.Escape, "ESCAPE: a backslash escapes, as in LIKE '50\\%'"),
    (exp.Pow, "a power: multiply"),
    (exp.Tuple, "a list: one value is wanted"),
    ((exp.Any, exp.All), "ANY and ALL: use IN or ARRAY_CONTAINS"),
    (exp.Interval, "an interval alone: add it to a timestamp or subtract it from one"),
    ((exp.Placeholder, exp.Parameter), "a parameter: write the value"),
    (exp.AtTimeZone, "a time zone: timestamps are UTC; an interval can be added"),
    (exp.ByteString, "text with escapes: write it as in 'it''s'"),
    (exp.Array, "an array: use IN for a list of values"),
)


def instead_of(tree: exp.Expr) -> str:
    """The message about a tree that is not in the subset."""
    for kinds, advice in _INSTEAD:
        if isinstance(tree, kinds):
            return f"not supported is {advice}"
    if isinstance(tree, exp.Anonymous):
        return unknown_function(str(tree.this))
    if isinstance(tree, exp.Func):
        return unknown_function(tree.sql_name() if tree.sql_names() else type(tree).__name__)
    return f"{type(tree).__name__} is not supported; docs/expressions.md lists what is"


def unknown_function(name: str) -> str:
    """The message about a function that is not in the subset."""
    advice = did_you_mean(name, _FUNCTIONS, f"there are: {', '.join(_FUNCTIONS)}", cutoff=0.7)
    return f"the function {name.lower()} is not supported; {advice}"


class RefusedError(Exception):
    """Something in a text that is not supported.

    Attributes:
        start: Where it begins in the text, in characters from 0.
        end: Exclusive.
    """

    def __init__(self, message: str, start: int, end: int) -> None:
        super().__init__(message)
        self.start = start
        self.end = end


def pointed(user: str, text: str, refused: RefusedError) -> DeclarationError:
    """The error with the line of the text and carets under the part that is meant."""
    start = min(max(refused.start, 0), max(len(text) - 1, 0))
    begin = text.rfind("\n", 0, start) + 1
    line = text[begin:].split("\n", maxsplit=1)[0].replace("\t", " ")
    end = refused.end
    while text[start:end].count("(") > text[start:end].count(")") and text[end : end + 1] == ")":
        end += 1  # the names of functions have places, their brackets have none
    width = max(1, min(end, begin + len(line)) - start)
    carets = " " * (start - begin) + "^" * width
    return DeclarationError(f"{user}: {refused}\n    {line}\n    {carets}")
