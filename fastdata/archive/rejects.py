"""Records that cannot be decoded, kept as Avro with all that the log knew of them."""

import io
import json
from collections.abc import Sequence
from typing import NamedTuple

import fastavro

__all__ = ["REJECT_SCHEMA", "Reject", "dump_reject"]

REJECT_SCHEMA = (
    '{"type":"record","name":"fastdata.Reject","fields":['
    '{"name":"offset","type":"long"},'
    '{"name":"timestamp_ms","type":"long"},'
    '{"name":"key","type":["null","bytes"]},'
    '{"name":"value","type":["null","bytes"]},'
    '{"name":"headers","type":{"type":"array","items":'
    '{"type":"record","name":"fastdata.Header","fields":['
    '{"name":"key","type":"string"},{"name":"value","type":["null","bytes"]}]}}},'
    '{"name":"reason","type":"string"}]}'
)
_PARSED = fastavro.parse_schema(json.loads(REJECT_SCHEMA))


class Reject(NamedTuple):
    """A record of the log that could not be decoded.

    Attributes:
        timestamp_ms: The broker's or the producer's timestamp of the record.
        reason: Why, as in `BadEventError.reason`.
    """

    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]
    reason: str


def dump_reject(reject: Reject) -> bytes:
    """One Avro datum."""
    out = io.BytesIO()
    headers = [{"key": key, "value": value} for key, value in reject.headers]
    fastavro.schemaless_writer(out, _PARSED, reject._asdict() | {"headers": headers})
    return out.getvalue()
