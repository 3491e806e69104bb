"""What expressions can name: fields, and the fields of records in them."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fastdata.events.fieldtypes import Kind, SchemaNode, scalar_type
from fastdata.files.profile import Profile
from fastdata.files.types import FileField

__all__ = ["Scalar", "scalars_of"]

_PRIMITIVE = frozenset({"boolean", "int", "long", "float", "double", "bytes", "string"})
_LONGEST = 60
_PLAIN = re.compile(r"[a-z_][a-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Scalar:
    """One scalar of an event.

    Attributes:
        key: Its name in the file.
        name: A name for it in an answer.
        path: How an expression names it.
        kind: Of its values.
        is_nullable: Whether they may be null.
        profile: Of its values.
    """

    key: str
    name: str
    path: str
    kind: Kind
    is_nullable: bool
    profile: Profile


def scalars_of(fields: Sequence[FileField]) -> list[Scalar]:
    """The scalars of some fields, in order, with those of records in them; no endless names."""
    return [
        column
        for field in fields
        if field.type is not None
        for column in _columns(field.key, (field.name,), field.declaration["type"], field.profile)
    ]


def _columns(
    key: str, names: tuple[str, ...], node: SchemaNode, profile: Profile
) -> Iterator[Scalar]:
    type_ = node[-1] if isinstance(node, list) else node
    if isinstance(type_, str):
        if type_ not in _PRIMITIVE:
            return  # the name of a type that another field has
        type_ = {"type": type_}
    if type_["type"] == "record":
        for member in type_["fields"]:
            inner = member.get("json", member["name"])
            values = profile.fields.get(inner, Profile())
            yield from _columns(inner, (*names, member["name"]), member["type"], values)
    elif type_["type"] not in ("array", "map"):
        path = names[0] if len(names) == 1 else ".".join(map(_quoted, names))
        if len(path) > _LONGEST:
            return
        kind = scalar_type(type_, type_.get("logicalType")).kind
        yield Scalar(key, "_".join(names), path, kind, isinstance(node, list), profile)


def _quoted(name: str) -> str:
    """The name as SQL takes it, whatever words SQL has."""
    from sqlglot.tokens import Tokenizer

    words = {keyword.partition(" ")[0] for keyword in Tokenizer.KEYWORDS}
    is_plain = _PLAIN.fullmatch(name) and name.upper() not in words
    return name if is_plain else f'"{name}"'
