"""Records of a schema as they come on the wire, mutated."""

import json
from dataclasses import dataclass
from random import Random
from typing import Any

from fastdata.events.schema import Schema
from tests.support.mutations.avro import AvroWriter, varint
from tests.support.mutations.texts import JsonWriter, LineWriter, access_line
from tests.support.mutations.values import FIRST_AND_LAST, Moments

__all__ = ["Sender", "mutated"]

_ENCODINGS = ("utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1", "cp1252")
_SHARES = (0.55, 0.8)  # of records that are whole; and of those with faults as they are written


@dataclass
class Sender:
    """Sends events of one source.

    Attributes:
        schemas: JSON of the writers' schemas in Avro; the first is the source's.
        event_format: As of a source.
        is_access_log: Whether lines are those of a web server.
    """

    rng: Random
    schemas: list[dict[str, Any]]
    time: str
    event_format: str
    is_access_log: bool = False

    def __post_init__(self) -> None:
        parsed = [Schema.parse(json.dumps(schema)) for schema in self.schemas]
        self._ids = [schema.id for schema in parsed]
        self._moments = moments = Moments(self.rng)
        self._avro = [AvroWriter(self.rng, schema, self.time, moments) for schema in self.schemas]
        self._json = JsonWriter(self.rng, self.schemas[0], self.time, moments)
        self._line = LineWriter(self.rng, self.schemas[0], self.time, moments)
        self._sent = 0

    def value(self) -> bytes | None:
        """The value of the next record."""
        rng, shape = self.rng, self.rng.random()
        self._sent += 1
        if self._sent <= len(FIRST_AND_LAST):
            shape = 0.0
        faults = rng.choice([0.02, 0.1, 0.4]) if _SHARES[0] <= shape < _SHARES[1] else 0.0
        value = self._written(faults)
        return mutated(rng, value, self._ids) if shape >= _SHARES[1] else value

    def _written(self, faults: float) -> bytes:
        rng = self.rng
        match self.event_format:
            case "avro":
                index = rng.choice([0, 0, 0, *range(len(self._avro))])
                index = 0 if self._sent <= len(FIRST_AND_LAST) else index
                self._avro[index].faults = faults
                return b"\0" + self._ids[index].to_bytes(4, "big") + self._avro[index].datum()
            case "json":
                self._json.faults = faults
                text = self._json.value()
            case _ if self.is_access_log:
                text = access_line(rng, self._moments, faults)
            case _:
                self._line.faults = faults
                text = self._line.value()
        if faults and rng.random() < 0.1:
            return text.encode(rng.choice(_ENCODINGS), errors="replace")
        return text.encode()


def mutated(rng: Random, value: bytes, ids: list[int]) -> bytes | None:
    """The value with one to three mutations of its bytes."""
    if rng.random() < 0.02:
        return rng.choice([None, b"", b"\0", b"\0\0\0\0", value[:5], rng.randbytes(40)])
    data = bytearray(value)
    for _ in range(rng.choice([1, 1, 2, 3])):
        _mutate(rng, data, ids)
    return bytes(data)


def _mutate(rng: Random, data: bytearray, ids: list[int]) -> None:
    size = len(data)
    at = rng.randrange(size + 1)
    end = min(size, at + rng.randrange(1, 12))
    match rng.randrange(11):
        case 0 | 1 if size:
            data[rng.randrange(size)] ^= 1 << rng.randrange(8)
        case 2:
            del data[at:]
        case 3:
            data[at:at] = rng.randbytes(rng.randrange(1, 6))
        case 4:
            del data[at:end]
        case 5:
            data[at:at] = data[at:end] * rng.choice([1, 2, 50])
        case 6:
            number = rng.choice([2**40, -(2**40), 2**63 - 1, -1, 2**31])
            data[at:end] = rng.choice(
                [varint(number), varint(number, 5), b"\xff" * 11, b"\x80" * 9]
            )
        case 7:
            other = [rng.choice(ids), rng.randrange(1 << 32), 0, 1]
            data[1:5] = rng.choice(other).to_bytes(4, "big")
        case 8:
            data[0:1] = bytes([rng.choice([1, 3, 0x7B, 0xFF])])
        case 9:
            data[at:end] = rng.choice([b"\0", b"\xff\xfe", b"\xed\xa0\x80", b"\xc0\x80", b"\xf5"])
        case _:
            ends: list[bytes] = [b"\0", b"}", b"\r\n", b"\0" * 1_000, b"[" * 300, bytes(data[5:])]
            data += rng.choice(ends)
