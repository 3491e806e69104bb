"""The handlers of functions and operators of text."""

from collections.abc import Mapping

from sqlglot import exp

from fastdata.events.fieldtypes import FieldType
from fastdata.expressions.coercion import BOOL, STRING
from fastdata.expressions.operators import call
from fastdata.expressions.parsing import Handler, Parser
from fastdata.expressions.tree import Call, Literal, Node

__all__ = ["HANDLERS"]


def _text_function(name: str, type: FieldType, *keys: str) -> Handler:
    def handle(parser: Parser, tree: exp.Expr) -> Node:
        nodes = [parser.of_kind(tree.args[key], "string", taker=name) for key in keys]
        text = f"{name.upper()}({', '.join(n.text for n in nodes)})"
        return call(name, type, tuple(nodes), text)

    return handle


def _trim(parser: Parser, tree: exp.Expr) -> Node:
    name = {"LEADING": "ltrim", "TRAILING": "rtrim"}.get(str(tree.args.get("position")), "trim")
    node = parser.of_kind(tree.this, "string", taker=name)
    return call(name, STRING, (node,), f"{name.upper()}({node.text})")


def _substring(parser: Parser, tree: exp.Expr) -> Node:
    numbers = [tree.args[key] for key in ("start", "length") if tree.args.get(key) is not None]
    nodes = [
        parser.of_kind(tree.this, "string", taker="substring"),
        *[parser.of_kind(number, "int", taker="the place in substring") for number in numbers],
    ]
    text = f"SUBSTRING({', '.join(n.text for n in nodes)})"
    name = "substring.length" if len(nodes) > 2 else "substring"
    return call(name, STRING, tuple(nodes), text)


def _pipe(parser: Parser, tree: exp.Expr) -> Node:
    sides = [parser.of_kind(t, "string", taker="||") for t in (tree.this, tree.expression)]
    return call("pipe", STRING, tuple(sides), f"({sides[0].text} || {sides[1].text})")


def _concat(parser: Parser, tree: exp.Expr) -> Node:
    nodes = [parser.of_kind(t, "string", taker="concat") for t in tree.expressions]
    return Call(STRING, "concat", tuple(nodes), f"CONCAT({', '.join(n.text for n in nodes)})")


def _replace(parser: Parser, tree: exp.Expr) -> Node:
    node = parser.of_kind(tree.this, "string", taker="replace")
    old = parser.text_of(tree.expression, "what replace looks for")
    if not old.value:
        raise parser.refused(tree.expression, "replace looks for at least one character")
    new = parser.of_kind(tree.args["replacement"], "string", taker="replace")
    text = f"REPLACE({node.text}, {old.text}, {new.text})"
    return call("replace", STRING, (node, old, new), text)


def _split_part(parser: Parser, tree: exp.Expr) -> Node:
    node = parser.of_kind(tree.this, "string", taker="split_part")
    delimiter = parser.text_of(tree.args["delimiter"], "the delimiter of split_part")
    index = parser.typed(tree.args["part_index"])
    if not delimiter.value:
        raise parser.refused(tree.args["delimiter"], "the delimiter has at least one character")
    if not isinstance(index, Literal) or not isinstance(index.value, int) or index.value < 1:
        raise parser.refused(tree.args["part_index"], "parts have literal numbers from 1")
    text = f"SPLIT_PART({node.text}, {delimiter.text}, {index.text})"
    return call("split_part", STRING, (node, delimiter, index), text)


def _like(parser: Parser, tree: exp.Expr) -> Node:
    name = "ilike" if isinstance(tree, exp.ILike) else "like"
    node = parser.of_kind(tree.this, "string", taker=name.upper())
    pattern = parser.text_of(tree.expression, f"the pattern of {name.upper()}")
    value = str(pattern.value)
    if value.replace("\\\\", "").replace("\\%", "").replace("\\_", "").count("\\"):
        raise parser.refused(tree.expression, "a backslash stands before %, _ or \\ only")
    return call(name, BOOL, (node, pattern), f"({node.text} {name.upper()} {pattern.text})")


_ONE, _TWO = {"this"}, {"this", "expression"}
HANDLERS: Mapping[type[exp.Expr], tuple[Handler, set[str]]] = {
    **dict.fromkeys((exp.Like, exp.ILike), (_like, _TWO)),
    exp.Lower: (_text_function("lower", STRING, "this"), _ONE),
    exp.Upper: (_text_function("upper", STRING, "this"), _ONE),
    exp.Length: (_text_function("length", FieldType("int", bits=33), "this"), _ONE),
    exp.StartsWith: (_text_function("starts_with", BOOL, "this", "expression"), _TWO),
    exp.Trim: (_trim, {"this", "position"}),
    exp.Substring: (_substring, {"this", "start", "length"}),
    exp.DPipe: (_pipe, _TWO),
    exp.Concat: (_concat, {"expressions"}),
    exp.Replace: (_replace, {"this", "expression", "replacement"}),
    exp.SplitPart: (_split_part, {"this", "delimiter", "part_index"}),
    exp.StrPosition: (
        _text_function("strpos", FieldType("int", bits=33), "this", "substr"),
        {"this", "substr"},
    ),
}
