"""Writes the table of docs/settings.md from the settings: python -m tests.support.settings_page."""

from pathlib import Path
from typing import get_args

from annotated_types import Ge, Gt, Le
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from fastdata import Settings

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"
BEGIN, END = "<!-- written by `make docs` -->\n", "<!-- until here -->\n"

_TYPES: dict[object, str] = {str: "text", int: "integer", float: "number", SecretStr: "secret text"}
_SIGNS = ((Gt, "gt", ">"), (Ge, "ge", "≥"), (Le, "le", "≤"))


def page(text: str) -> str:
    """The page with the table that the settings have now."""
    before, _, rest = text.partition(BEGIN)
    return before + BEGIN + "\n" + table() + "\n" + END + rest.partition(END)[2]


def table() -> str:
    """One row a setting."""
    rows = [
        "| variable | line of `fastdata.toml`, with the default | type | what it is |",
        "|---|---|---|---|",
    ]
    for name, field in Settings.model_fields.items():
        line = f"{name} = {_toml(field.default)}"
        cells = (f"`FASTDATA_{name.upper()}`", f"`{line}`", _type(field), _meaning(field))
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def _toml(value: object) -> str:
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    return f'"{value}"' if isinstance(value, str) else str(value)


def _type(field: FieldInfo) -> str:
    if choices := get_args(field.annotation):
        return ", ".join(f"`{choice}`" for choice in choices)
    limits = [
        f"{sign} {getattr(limit, name):g}"
        for limit in field.metadata
        for kind, name, sign in _SIGNS
        if isinstance(limit, kind)
    ]
    return " ".join([_TYPES[field.annotation], *limits])


def _meaning(field: FieldInfo) -> str:
    text = field.description or ""
    if examples := field.examples:
        text += f" Such as {' or '.join(f'`{example}`' for example in examples)}"
    return text


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
