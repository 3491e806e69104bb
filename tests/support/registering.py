"""What a producer does with its schema before it sends anything."""

from dataclasses import replace

from confluent_kafka.schema_registry import Schema as RegisteredSchema
from confluent_kafka.schema_registry import SchemaRegistryClient

from fastdata.events.schema import Schema

__all__ = ["register"]


def register(schema: Schema, topic: str, url: str) -> Schema:
    """The schema with the id that a registry gives it as the one of a topic's values."""
    with SchemaRegistryClient({"url": url}) as client:
        given = client.register_schema(f"{topic}-value", RegisteredSchema(schema.canonical, "AVRO"))
    return replace(schema, id=given)
