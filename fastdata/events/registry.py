"""Where schemas come from: a folder of files, or a registry by URL."""

import json
from pathlib import Path
from typing import Protocol

from fastdata.errors import SettingsError, UnknownSchemaError, mask_url
from fastdata.events.schema import Schema

__all__ = ["FolderRegistry", "Registry", "Schemas", "open_registry", "register"]


class Schemas(Protocol):
    """Finds schemas by the id on the wire."""

    def get(self, schema_id: int) -> Schema:
        """The schema of that id, if it has been fetched; never blocks.

        Raises:
            SchemaNeededError: It has not been fetched yet: call `learn` until it is.
            UnknownSchemaError: The registry does not have it.
            DeclarationError: It is no Avro record, or one that is not supported.
        """


class Registry(Schemas, Protocol):
    """Finds schemas, and fetches those that it has not got yet. For one event loop only."""

    async def learn(self, schema_id: int) -> None:
        """Ask once for a schema; `get` then has it, or says why not.

        Where the registry did not answer, or may be behind, that is logged, nothing is raised, and
        this returns after a pause: call it again.
        """

    async def check(self) -> str | None:
        """Ask whether the registry lets us in. That it does not answer is only logged.

        Returns:
            Why it does not answer; None when it does.

        Raises:
            SettingsError: It refuses, its certificate is not trusted, or it is no registry.
        """


class FolderRegistry:
    """Every `.avsc` file of a folder, by the id that its text gives. Read once.

    Raises:
        SettingsError: There is no such folder.
        DeclarationError: A file in it is no Avro record.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise SettingsError(
                f"there is no folder of schemas at {folder}; set FASTDATA_REGISTRY to one"
            )
        self._folder = folder
        schemas = map(Schema.load, sorted(folder.glob("*.avsc")))
        self._schemas = {schema.id: schema for schema in schemas}

    def get(self, schema_id: int) -> Schema:
        """The schema of that id.

        Raises:
            UnknownSchemaError: No file of the folder has it.
        """
        try:
            return self._schemas[schema_id]
        except KeyError:
            raise UnknownSchemaError(
                f"no schema of {self._folder} has the id {schema_id}; it has {len(self._schemas)}"
            ) from None

    @property
    def schemas(self) -> list[Schema]:
        """All schemas, in the order of the names of their files."""
        return list(self._schemas.values())

    def add(self, name: str, schema: Schema) -> None:
        """Keep a schema as the file of a name.

        Raises:
            SettingsError: The file is of another schema, or cannot be written.
        """
        file = self._folder / f"{name}.avsc"
        if schema.id not in self._schemas:
            if file.exists():
                raise SettingsError(
                    f"{file} is another schema: give that file another name, and keep it for the"
                    " events that were written with it"
                )
            try:
                file.write_text(json.dumps(json.loads(schema.canonical), indent=2) + "\n")
            except OSError as error:
                raise SettingsError(f"cannot write {file}: {error.strerror}") from error
            self._schemas[schema.id] = schema

    async def learn(self, schema_id: int) -> None:
        """Do nothing: all files were read at the beginning."""

    async def check(self) -> None:
        """Do nothing: the folder was there at the beginning."""


def open_registry(location: str, ca: str = "") -> Registry:
    """The registry of `FASTDATA_REGISTRY`: a folder of `.avsc` files, or a URL.

    Args:
        location: A folder, or `http(s)://[user:password@]host[:port]/path` of a registry that
            speaks Confluent's protocol.
        ca: File of the authority that signed its certificate; the usual ones when empty.

    Raises:
        SettingsError: The location is no such URL and no folder, or `ca` is no file.
        DeclarationError: A file in the folder is no Avro record.
    """
    if location.startswith(("http://", "https://")):
        from fastdata.events.url_registry import UrlRegistry

        return UrlRegistry(location, ca)
    if "://" in location and not location.startswith("file://"):
        raise SettingsError(
            f"FASTDATA_REGISTRY is {mask_url(location)!r}; give a folder of .avsc files, or "
            "http(s)://[user:password@]host[:port]/path of a schema registry"
        )
    return FolderRegistry(Path(location.removeprefix("file://")))


async def register(registry: Registry, topic: str, schema: Schema) -> int:
    """Register the schema of a topic's values; in a folder, keep it as the file of the topic.

    Idempotent.

    Returns:
        The id to write on the wire; see `encode`.

    Raises:
        IncompatibleSchemaError: The topic has values of another schema.
        RegistryError: The registry did not answer, or refused.
        DeclarationError: The newest version is no Avro record.
        SettingsError: The file is of another schema, or cannot be written.
    """
    if isinstance(registry, FolderRegistry):
        registry.add(topic, schema)
        return schema.id
    from fastdata.events.url_registry import UrlRegistry

    assert isinstance(registry, UrlRegistry)  # noqa: S101 - there are two kinds
    return await registry.register(f"{topic}-value", schema)
