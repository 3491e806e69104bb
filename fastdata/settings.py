"""All settings, from the environment and `fastdata.toml`, typed and checked once."""

import re
from pathlib import Path
from typing import ClassVar

from pydantic import Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from fastdata.errors import SettingsError

__all__ = ["Settings", "mask_url"]

_FILE = Path("fastdata.toml")
_USER_INFO = re.compile(r"(?<=://)[^/@\s]+@")
_SECRET_QUERY = re.compile(r"(?i)\b([\w-]*(?:password|secret|token|key)[\w-]*)=[^&\s]+")


def mask_url(text: str) -> str:
    """The text with the user, password and secret parameters of URLs in it made unreadable."""
    return _SECRET_QUERY.sub(r"\1=***", _USER_INFO.sub("***@", text))


class Settings(BaseSettings):
    """Where everything is.

    The environment (`FASTDATA_BROKER`) goes before `fastdata.toml` in the working folder
    (`broker = "..."`), which goes before the defaults. Paths in the file are relative to it.
    """

    model_config = SettingsConfigDict(
        env_prefix="FASTDATA_", extra="forbid", hide_input_in_errors=True, frozen=True
    )
    _paths: ClassVar[tuple[str, ...]] = ("registry", "archive", "state", "agents")

    broker: str = Field("localhost:9092", description="Kafka bootstrap servers, host:port.")
    registry: str = Field("schemas", description="A folder of .avsc files.")
    archive: str = Field("data/archive", description="URL or folder of the archive.")
    store: str = Field(
        "sqlite:///data/fastdata.db", description="SQLAlchemy URL of the serving store; memory:."
    )
    state: str = Field("data/state", description="Folder of a worker's RocksDB.")
    agents: str = Field("agents", description="Folder of the files that declare metrics.")
    commit_interval_s: float = Field(
        1.0, gt=0, le=60, description="Seconds between two flushes of a worker."
    )
    max_dirty_cells: int = Field(
        20_000, ge=100, description="A worker flushes earlier when this many states have changed."
    )
    max_cells: int = Field(
        100_000, ge=1_000, description="States that a worker keeps in memory; the rest is on disk."
    )
    tile_age_s: float = Field(
        10.0, gt=0, description="The archive makes what is older than this durable, in seconds."
    )
    tile_bytes: int = Field(
        4 << 20, ge=1_024, description="The archive writes a tile when it holds this many bytes."
    )
    clean_up_interval_s: float = Field(
        60.0, gt=0, description="Seconds between two looks of a worker for what batch has covered."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The order of sources: arguments, environment, file."""
        file = TomlConfigSettingsSource(settings_cls, _FILE)
        return init_settings, env_settings, file

    @classmethod
    def load(cls, **overrides: object) -> "Settings":
        """The settings of this process; arguments go before everything else.

        Raises:
            SettingsError: A setting is unknown or wrong; never shows a value that may be secret.
        """
        try:
            return cls(**overrides)  # type: ignore[arg-type]
        except ValidationError as error:
            lines = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
            raise SettingsError(
                f"wrong settings: {lines} (from FASTDATA_* variables or {_FILE.name})"
            ) from None
        except ValueError as error:
            raise SettingsError(f"{_FILE.resolve()} cannot be read: {error}") from error

    def shown(self) -> dict[str, object]:
        """All settings with secrets masked, to print."""
        return {
            name: mask_url(value) if isinstance(value, str) else value
            for name, value in self.model_dump().items()
        }

    def __repr__(self) -> str:
        inside = ", ".join(f"{name}={value!r}" for name, value in self.shown().items())
        return f"Settings({inside})"

    __str__ = __repr__
