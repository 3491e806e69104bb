"""Random JSON and lines of an Avro schema, and now and then what does not fit it."""

import base64
import json
import time
from random import Random
from typing import Any

from tests.support.mutations.values import (
    Moments,
    Writer,
    double,
    integer,
    resolved,
    text,
)

__all__ = ["JsonWriter", "LineWriter", "access_line"]

Node = Any
_ODD_TOKENS = (
    "NaN", "Infinity", "-Infinity", "1e999999", "-1e999999", "1e-999999", "1e99999999999999999999",
    "1" + "0" * 5_000, "-" + "9" * 4_299, "0." + "3" * 5_000, "1E400",
    "-0", "-0.0", "01", "1.", ".5", "+1",
    "2147483648", "9223372036854775808", "-9223372036854775809", "1e2", "1.0", "true", "null",
    '""', '"\\ud800"', '"\\udc00\\ud800"', '"\\u0000"', '"\\ud83d\\ude00"',
    "[]", "{}", "[[]]", '{"a":1}', "'a'",
    "undefined", "", '"1e999999"', '"9999-12-31T23:59:59.999999Z"', '"0001-01-01T00:00:00+23:59"',
    '"2024-02-30"', '"2024-02-29T11:00:00"', '"2024-02-29T11:00:00.123456789Z"',
    '"2024-W09-4"', '"====="',
    '"29/Feb/2024:12:00:00 +9999"', '"29/Feb/0000:12:00:00 +0000"',
    '"\u0662\u0660\u0662\u0664-02-29T11:00:00Z"',
)  # fmt: skip
_ODD_PARTS = (
    "", "-", "NaN", "1e999999", "-1e999", "9" * 20, "9" * 5_000, "1." + "0" * 4_000 + "1",
    "0x1f", "1_000",
    "\u0661", "\0", "\ufeff", "true", "TRUE", "9223372036854775808", "0001-01-01T00:00:00+23:59",
)  # fmt: skip


class JsonWriter(Writer):
    """Writes events of a schema as JSON."""

    def value(self) -> str:
        """An event, as JSON."""
        return self._object(self._schema, self._time)

    def _object(self, node: Node, time_field: str = "") -> str:
        rng, members = self._rng, []
        for field in node["fields"]:
            name, is_time = field["name"], field["name"] == time_field
            if self._is_wrong() or ("default" in field and rng.random() < 0.3):
                continue
            members.append(f"{json.dumps(name)}:{self._token(field['type'], is_time=is_time)}")
            if self._is_wrong():
                members.append(f"{json.dumps(name)}:{rng.choice(_ODD_TOKENS)}")
        if rng.random() < 0.1:
            members.insert(0, f'"other":{rng.choice(_ODD_TOKENS) if self._is_wrong() else "[1]"}')
        return f"{{{','.join(members)}}}"

    def _token(self, node: Node, *, is_time: bool = False) -> str:
        rng = self._rng
        if self._is_wrong():
            return self._wrong()
        node = resolved(node, self._names)
        if isinstance(node, list):
            if not is_time and rng.random() < 0.3:
                return "null"
            node = resolved(next(branch for branch in node if branch != "null"), self._names)
        match node["type"]:
            case "record":
                return self._object(node)
            case "array":
                items = [self._token(node["items"]) for _ in range(rng.choice([0, 1, 1, 2, 3]))]
                return f"[{','.join(items)}]"
            case "map":
                count = rng.choice([0, 1, 1, 2])
                keys = [json.dumps(text(rng), ensure_ascii=False) for _ in range(count)]
                members = [f"{key}:{self._token(node['values'])}" for key in keys]
                return f"{{{','.join(members)}}}"
        written = _scalar(rng, node, self._moments if is_time else None)
        return json.dumps(written, ensure_ascii=rng.random() < 0.5)

    def _wrong(self) -> str:
        rng = self._rng
        if rng.random() < 0.1:
            levels = rng.choice([90, 101, 1_000, 100_000])
            start, end = rng.choice([("[", "]"), ('{"a":', "}")])
            return start * levels + "1" + end * levels * rng.randrange(2)
        return rng.choice(_ODD_TOKENS)


class LineWriter(Writer):
    """Writes events of scalars as parts with a tab between."""

    @staticmethod
    def pattern(schema: dict[str, Node]) -> str:
        """The pattern of such lines; what is empty is missing."""
        return "\t".join(f"(?:(?P<{field['name']}>[^\t]+))?" for field in schema["fields"])

    def value(self) -> str:
        """An event, as a line."""
        parts = []
        for field in self._schema["fields"]:
            node = resolved(field["type"], self._names)
            if isinstance(node, list):
                node = resolved(next(branch for branch in node if branch != "null"), self._names)
            written = _scalar(
                self._rng, node, self._moments if field["name"] == self._time else None
            )
            part = written if isinstance(written, str) else json.dumps(written)
            parts.append(self._rng.choice(_ODD_PARTS) if self._is_wrong() else part)
        return "\t".join(parts)


def access_line(rng: Random, moments: Moments, faults: float) -> str:
    """A line of a web server's log."""
    at = time.strftime("%d/%b/%Y:%H:%M:%S", time.gmtime(min(max(moments.next(), 0), 2**47) // 1000))
    parts = [
        f"10.0.0.{rng.randrange(40)}", "-", "ann", f"[{at} +0000]",
        f'"{rng.choice(["GET", "POST", "get"])} /{rng.randrange(9)} HTTP/1.1"',
        rng.choice(["200", "304", "404"]), rng.choice(["-", str(rng.randrange(5_000))]),
    ]  # fmt: skip
    for index in range(len(parts)):
        if rng.random() < faults:
            parts[index] = rng.choice((*_ODD_PARTS, '"', "[", "[] []", "999"))
    return " ".join(parts)


def _scalar(rng: Random, node: Node, moments: Moments | None) -> object:
    logical = node.get("logicalType")
    if moments is not None:
        return moments.next() * (1000 if logical == "timestamp-micros" else 1)
    match node["type"]:
        case "null":
            return None
        case "boolean":
            return rng.random() < 0.5
        case "int" | "long":
            return integer(rng, 32 if node["type"] == "int" else 64)
        case "float" | "double":
            number = double(rng)
            return number if abs(number) < 1e38 else 1.5
        case "string":
            return text(rng)
        case "enum":
            return rng.choice(node["symbols"])
    if logical == "decimal":
        return f"{rng.randrange(-(10**5), 10**5) / 100:.2f}"
    if logical == "uuid":
        return "123e4567-e89b-12d3-a456-426614174000"
    return base64.b64encode(rng.randbytes(node.get("size", rng.randrange(6)))).decode()
