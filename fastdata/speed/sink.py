"""Where agents of users send records to: encoded by a schema, and acknowledged."""

from collections.abc import Mapping
from typing import NoReturn

import faust

from fastdata.declare.place import declaring_place
from fastdata.declare.source import find_schema
from fastdata.errors import RecordError, SettingsError
from fastdata.events.registry import register
from fastdata.events.schema import Schema, encode
from fastdata.settings import Settings
from fastdata.speed.service import SpeedService

__all__ = ["Sink"]


class Sink:
    """A topic for the records of an app, whose schema is registered at the first one.

        decisions = fastdata.Sink(app, "decisions", schema="schemas/decision.avsc")
        await decisions.send({"payment_id": "p1", "score": 0.7}, key="p1")

    Args:
        app: Runs while something is sent.
        topic: Exists.
        schema: File of an Avro record; looked up as that of a source.
        settings: From the environment and `fastdata.toml` when None.

    Raises:
        DeclarationError: The schema cannot be read.
        SettingsError: The app cannot be attached to.
    """

    def __init__(
        self, app: faust.App, topic: str, *, schema: str, settings: Settings | None = None
    ) -> None:
        self.topic = topic
        self.schema = Schema.load(find_schema(schema, declaring_place()))
        self._service = SpeedService.of(app, settings)
        self._schema_id: int | None = None

    async def send(self, fields: Mapping[str, object], key: str | bytes | None = None) -> None:
        """Send a record; all in-sync replicas have it when this returns.

        Args:
            fields: By name, timestamps as integers in the schema's unit. Those with a default may
                be missing.
            key: Records of one key are in one partition, in order.

        Raises:
            RecordError: It does not fit the schema; nothing was sent.
            BrokerError: It was not acknowledged within 30 s; whether it is there is not known.
            SettingsError: The app does not run.
            IncompatibleSchemaError: The topic has values of another schema.
            RegistryError: The registry did not take the schema; retriable.
        """
        producer, registry = self._service.producer, self._service.registry
        if producer is None or registry is None:
            raise SettingsError(f"the app does not run yet: send to {self.topic!r} from an agent")
        if unknown := fields.keys() - self.schema.fields.keys():
            self._refuse(f"it has no field {', '.join(map(repr, sorted(unknown)))}")
        if self._schema_id is None:
            self._schema_id = await register(registry, self.topic, self.schema)
        try:
            value = encode(self.schema, fields, self._schema_id)
        except ValueError as error:
            self._refuse(str(error).removeprefix(f"the record does not fit {self.schema.name}: "))
        key = key.encode() if isinstance(key, str) else key
        await producer.send(self.topic, [(key, value, [])])

    def _refuse(self, reason: str) -> NoReturn:
        raise RecordError(
            f"the record does not fit {self.schema.name} of topic {self.topic!r}: {reason}; "
            f"its fields are: {', '.join(self.schema.fields)}"
        )
