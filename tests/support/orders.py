"""Orders: events with something of every type that expressions are about."""

import json
from pathlib import Path

import pytest

from fastdata import Source

FIELDS = [
    {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    {"name": "id", "type": "string"},
    {"name": "status", "type": "int"},
    {"name": "country", "type": ["null", "string"]},
    {"name": "device", "type": {"type": "enum", "name": "Device", "symbols": ["PHONE", "PC"]}},
    {"name": "delay", "type": ["null", "double"]},
    {"name": "quantity", "type": "int"},
    {"name": "price", "type": {"type": "bytes", "logicalType": "decimal",
                               "precision": 10, "scale": 2}},
    {"name": "total", "type": {"type": "bytes", "logicalType": "decimal",
                               "precision": 30, "scale": 2}},
    {"name": "paid", "type": ["null", "boolean"]},
    {"name": "day", "type": {"type": "int", "logicalType": "date"}},
    {"name": "user", "type": {"type": "record", "name": "User", "fields": [
        {"name": "id", "type": "string"}, {"name": "age", "type": ["null", "int"]}]}},
    {"name": "labels", "type": {"type": "map", "values": "string"}},
    {"name": "tags", "type": {"type": "array", "items": "string"}},
    {"name": "items", "type": ["null", {"type": "array", "items": {
        "type": "record", "name": "Item", "fields": [
            {"name": "sku", "type": "string"}, {"name": "number", "type": ["null", "long"]}]}}]},
    {"name": "raw", "type": "bytes"},
    {"name": "mixed", "type": ["string", "long"]},
]  # fmt: skip


@pytest.fixture
def orders(tmp_path: Path) -> Source:
    path = tmp_path / "order.avsc"
    path.write_text(json.dumps({"type": "record", "name": "Order", "fields": FIELDS}))
    return Source("orders", topic="orders", schema=str(path), time="at", id="id")
