"""Functions and operators of text."""

from dataclasses import replace

from sqlglot import exp

from fastdata.events.fieldtypes import FieldType
from fastdata.expressions.coercion import BOOL, STRING
from fastdata.expressions.parsing import Function, Handlers, Parser, of_kind
from fastdata.expressions.runtime import like, lower
from fastdata.expressions.tree import Literal, Node, Operator, call, never

__all__ = ["FUNCTIONS", "HANDLERS"]

_LENGTH = FieldType("int", bits=33)
_ILIKE = Operator("{1}(lower({0})) is not None", "(lower({0}) LIKE lower({1}))")
_CONCAT = Operator("", "concat({all})", never, form="concat")
_TEXT, _PLACE = of_kind("string"), of_kind("int", taker="the place in substring")


def _clamped(index: int, least: int) -> str:
    # LEAST and GREATEST would lose a null.
    x, most = f"{{{index}}}", 2**31
    return f"CASE WHEN {x} < {least} THEN {least} WHEN {x} > {most} THEN {most} ELSE {x} END"


def _searched(parser: Parser, tree: exp.Expr, taker: str) -> Node:
    text = parser.text_of(tree, f"what {taker} looks for")
    if not text.value:
        raise parser.refused(tree, f"{taker} looks for at least one character")
    return text


def _pattern(parser: Parser, tree: exp.Expr, taker: str) -> Node:
    pattern = parser.text_of(tree, f"the pattern of {taker}")
    value = str(pattern.value)
    if value.replace("\\\\", "").replace("\\%", "").replace("\\_", "").count("\\"):
        raise parser.refused(tree, "a backslash stands before %, _ or \\ only")
    # Python calls what the pattern is compiled to; SQL has its text.
    return replace(pattern, value=like(lower(value) if taker == "ILIKE" else value).fullmatch)


def _split_part(parser: Parser, tree: exp.Expr) -> Node:
    node = parser.of_kind(tree.this, "string", taker="split_part")
    delimiter = parser.text_of(
        parser.part(tree, "delimiter", "split_part"), "the delimiter of split_part"
    )
    index = parser.typed(parser.part(tree, "part_index", "split_part"))
    if not delimiter.value:
        raise parser.refused(tree.args["delimiter"], "the delimiter has at least one character")
    if not isinstance(index, Literal) or not isinstance(index.value, int) or index.value < 1:
        raise parser.refused(tree.args["part_index"], "parts have literal numbers from 1")
    text = f"SPLIT_PART({node.text}, {delimiter.text}, {index.text})"
    return call(_SPLIT_PART, STRING, (node, delimiter, index), text)


def _trim(parser: Parser, tree: exp.Expr) -> Node:
    return _TRIMS.get(str(tree.args.get("position")), _TRIMS["BOTH"])(parser, tree)


def _substring(parser: Parser, tree: exp.Expr) -> Node:
    return _SUBSTRINGS[tree.args.get("length") is not None](parser, tree)


_ONE = {"this": _TEXT}
_TRIMS = {
    "BOTH": Function("trim", STRING, _ONE, Operator("{0}.strip(' ')", "btrim({0}, ' ')")),
    "LEADING": Function("ltrim", STRING, _ONE, Operator("{0}.lstrip(' ')", "ltrim({0}, ' ')")),
    "TRAILING": Function("rtrim", STRING, _ONE, Operator("{0}.rstrip(' ')", "rtrim({0}, ' ')")),
}
_FROM, _FOR = _clamped(1, -(2**31)), _clamped(2, 0)
_SUBSTRINGS = (  # without and with a length
    Function(
        "substring",
        STRING,
        {"this": _TEXT, "start": _PLACE},
        Operator("substring({0}, {1})", f"substr({{0}}, {_FROM})"),
    ),
    Function(
        "substring",
        STRING,
        {"this": _TEXT, "start": _PLACE, "length": _PLACE},
        Operator("substring({0}, {1}, {2})", f"substr({{0}}, {_FROM}, {_FOR})"),
    ),
)
_SPLIT_PART = Operator("split_part({0}, {1}, {2})", "split_part({0}, {1}, {2})")
_TWO = {"this": _TEXT, "expression": _TEXT}
_INFIX = "({0} {name} {1})"
_LIKE = {"this": _TEXT, "expression": _pattern}
_FUNCTIONS = {
    exp.Lower: Function("lower", STRING, _ONE, Operator("lower({0})", "lower({0})")),
    exp.Upper: Function("upper", STRING, _ONE, Operator("upper({0})", "upper({0})")),
    exp.Length: Function(
        "length", _LENGTH, _ONE, Operator("len({0})", "CAST(character_length({0}) AS BIGINT)")
    ),
    exp.StartsWith: Function(
        "starts_with", BOOL, _TWO, Operator("{0}.startswith({1})", "starts_with({0}, {1})")
    ),
    exp.StrPosition: Function(
        "strpos",
        _LENGTH,
        {"this": _TEXT, "substr": _TEXT},
        Operator("{0}.find({1}) + 1", "CAST(strpos({0}, {1}) AS BIGINT)"),
    ),
    exp.Replace: Function(
        "replace",
        STRING,
        {"this": _TEXT, "expression": _searched, "replacement": _TEXT},
        Operator("{0}.replace({1}, {2})", "replace({0}, {1}, {2})"),
    ),
    exp.Concat: Function("concat", STRING, {"expressions": _TEXT}, _CONCAT),
    exp.DPipe: Function("||", STRING, _TWO, Operator("{0} + {1}", "({0} || {1})"), _INFIX),
    exp.Like: Function(
        "LIKE", BOOL, _LIKE, Operator("{1}({0}) is not None", "({0} LIKE {1})"), _INFIX
    ),
    exp.ILike: Function("ILIKE", BOOL, _LIKE, _ILIKE, _INFIX),
}
FUNCTIONS = (  # that sqlglot does not know
    Function(
        "blake2b",
        STRING,
        {"expressions": _TEXT},
        Operator("blake2b({0})", "encode(digest({0}, 'blake2b'), 'hex')"),
    ),
)
HANDLERS: Handlers = {
    **{kind: (function, function.takes) for kind, function in _FUNCTIONS.items()},
    exp.Trim: (_trim, {"this", "position"}),
    exp.Substring: (_substring, {"this", "start", "length"}),
    exp.SplitPart: (_split_part, {"this", "delimiter", "part_index"}),
}
