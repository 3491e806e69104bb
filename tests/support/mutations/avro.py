"""Random Avro datums, in each form that Avro allows, and now and then in one that it does not."""

import struct
from typing import Any

from tests.support.mutations.values import (
    Writer,
    double,
    integer,
    resolved,
    text,
)

__all__ = ["AvroWriter", "varint"]

Node = Any
_MANY = (2**40, 2**31, 2**62, -(2**40), 2**63 - 1, -(2**63))


def varint(number: int, extra: int = 0) -> bytes:
    """An integer as Avro writes it, with so many bytes more than it needs."""
    left = (number << 1) ^ (number >> 63) if -(2**63) <= number < 2**63 else number
    out = bytearray()
    while left > 0x7F:
        out.append(left & 0x7F | 0x80)
        left >>= 7
    out.append(left)
    for _ in range(extra):
        out[-1] |= 0x80
        out.append(0)
    return bytes(out)


class AvroWriter(Writer):
    """Writes datums of a schema."""

    def datum(self) -> bytes:
        """A datum of the schema."""
        out = bytearray()
        for field in self._schema["fields"]:
            self._write(out, field["type"], is_time=field["name"] == self._time)
        return bytes(out)

    def _write(self, out: bytearray, node: Node, *, is_time: bool = False) -> None:
        rng, node = self._rng, resolved(node, self._names)
        if isinstance(node, list):
            index = rng.randrange(len(node))
            if is_time and rng.random() < 0.98:
                index = next(i for i, branch in enumerate(node) if branch != "null")
            wrong = [-1, -len(node), len(node), 2**33, -(2**63)]
            out += self._number(rng.choice(wrong) if self._is_wrong() else index)
            self._write(out, node[index], is_time=is_time)
            return
        match node["type"]:
            case "record":
                for field in node["fields"]:
                    self._write(out, field["type"])
            case "array":
                self._blocks(out, lambda block: self._write(block, node["items"]))
            case "map":
                self._blocks(out, lambda block: self._entry(block, node["values"]))
            case _:
                out += self._scalar(node, is_time=is_time)

    def _scalar(self, node: Node, *, is_time: bool) -> bytes:
        rng, is_wrong = self._rng, self._is_wrong()
        match node["type"]:
            case "null":
                return b""
            case "boolean":
                return bytes([rng.choice([2, 128, 255]) if is_wrong else rng.randrange(2)])
            case "int":
                wrong = [2**31, -(2**31) - 1, 2**40, 2**63 - 1, -(2**63)]
                return self._number(rng.choice(wrong) if is_wrong else integer(rng, 32))
            case "long":
                if is_time:
                    is_micros = node.get("logicalType") == "timestamp-micros"
                    at = self._moments.next() * (1000 if is_micros else 1)
                    return self._number(min(max(at, -(2**63)), 2**63 - 1))
                return self._number(integer(rng, 64))
            case "float":
                return rng.choice([struct.pack("<f", rng.random()), rng.randbytes(4)])
            case "double":
                return struct.pack("<d", double(rng))
            case "enum":
                count = len(node["symbols"])
                wrong = [-1, -count, -count - 1, count, 2**40]
                return self._number(rng.choice(wrong) if is_wrong else rng.randrange(count))
            case "fixed":
                return self._fixed(node, is_wrong)
        return self._sized(self._content(node), is_wrong)

    def _number(self, number: int) -> bytes:
        shape = self._rng.random()
        if shape < self.faults:
            return self._rng.choice(
                [varint(number, 12), b"\xff" * 9 + b"\x7f", b"\xff" * 30 + b"\1", b"\x80" * 9]
            )
        # Longer than it must be, which Avro does not forbid.
        return varint(number, 1 if shape > 0.99 else 0)

    def _content(self, node: Node) -> bytes:
        rng = self._rng
        if node["type"] == "string":
            return text(rng).encode()
        if node.get("logicalType") == "decimal":
            number = rng.choice([0, 1, -1, 150, -12345, 10 ** node["precision"] - 1])
            if self._is_wrong():
                number = rng.choice([10 ** node["precision"], 10**400, -(10**60)])
            size = (number.bit_length() + 8) // 8 + rng.choice([0] * 9 + [1, 12])
            return (
                number.to_bytes(size, "big", signed=True) if number or rng.random() < 0.9 else b""
            )
        return rng.randbytes(rng.randrange(6))

    def _fixed(self, node: Node, is_wrong: bool) -> bytes:
        size = node["size"]
        if node.get("logicalType") == "decimal" and not is_wrong:
            return self._rng.randrange(-(10**6), 10**6).to_bytes(size, "big", signed=True)
        return self._rng.randbytes(size)

    def _sized(self, content: bytes, is_wrong: bool) -> bytes:
        length = len(content)
        if is_wrong:
            length = self._rng.choice([length + 1, max(0, length - 1), -1, -length - 1, *_MANY])
            content = self._rng.choice([content, b"\xff\xfe", b"\xed\xa0\x80"])
        return self._number(length) + content

    def _entry(self, block: bytearray, values: Node) -> None:
        block += self._sized(text(self._rng).encode(), self._is_wrong())
        self._write(block, values)

    def _blocks(self, out: bytearray, write_item: Any) -> None:
        rng = self._rng
        for _ in range(rng.choice([0, 1, 1, 1, 2, 3])):
            count, block = rng.choice([1, 1, 2, 3]), bytearray()
            for _ in range(count):
                write_item(block)
            if self._is_wrong():
                count = rng.choice([count + 1, count - 1, *_MANY])
            if rng.random() < 0.3:
                size = len(block)
                if self._is_wrong():
                    size = rng.choice([size + 1, size - 1, -size, *_MANY])
                out += self._number(-count) + self._number(size)
            else:
                out += self._number(count)
            out += block
        if not self._is_wrong():
            out += b"\0"
