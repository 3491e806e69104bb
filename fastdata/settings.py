"""All settings, from the environment and `fastdata.toml`, typed and checked once."""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from fastdata.errors import SettingsError, did_you_mean, mask_url

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

__all__ = ["Settings"]

_FILE = Path("fastdata.toml")
_PREFIX = "FASTDATA_"
_ADVICE = "all are in docs/settings.md"
# Read elsewhere; and what Kubernetes sets for a service that is called fastdata.
_OTHER_VARIABLES = re.compile(r"DEBUG|FAILPOINTS|TEST_.*|PORT(_.*)?|SERVICE_(HOST|PORT)(_.*)?")


class Settings(BaseSettings):
    """Where everything is, and how often a worker writes.

    The environment (`FASTDATA_BROKER`) goes before `fastdata.toml` in the working folder
    (`broker = "..."`), which goes before the defaults. Paths in the file are relative to it.

        settings = Settings.load(store="sqlite:///other.db")
    """

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, extra="forbid", hide_input_in_errors=True, frozen=True
    )

    application_id: str = Field(
        "fastdata",
        pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}$",
        description="Begins the names of groups and changelogs in Kafka; unique in a cluster.",
    )
    broker: str = Field(
        "localhost:9092",
        description="Kafka bootstrap servers, host:port with commas between.",
        examples=["kafka1:9092,kafka2:9092"],
    )
    broker_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="How the brokers' listener is secured; SSL means TLS."
    )
    broker_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="How the password is shown to the brokers."
    )
    broker_username: str = Field("", description="User name for SASL.")
    broker_password: SecretStr = Field(SecretStr(""), description="Password for SASL.")
    broker_ca: str = Field(
        "", description="PEM file of who signs the brokers' certificates; the system's if empty."
    )
    broker_certificate: str = Field(
        "", description="PEM file of our own certificate, where the brokers ask for one."
    )
    broker_key: str = Field("", description="PEM file of its private key, without a password.")
    registry: str = Field(
        "schemas",
        description="A folder of .avsc files, or the http(s):// URL of a schema registry.",
        examples=["https://user:password@registry:8081"],
    )
    registry_ca: str = Field(
        "", description="PEM file of who signs the registry's certificate; the system's if empty."
    )
    archive: str = Field(
        "data/archive",
        description="URL or folder of the archive.",
        examples=["s3://bucket/prefix", "file:///srv/archive"],
    )
    store: str = Field(
        "sqlite:///data/fastdata.db",
        description="URL of the serving store.",
        examples=["postgresql://user:password@host/database", "cassandra://host/keyspace"],
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
    web_token: SecretStr = Field(
        SecretStr(""),
        description="What clients of `fastdata serve` send as a bearer token; none if empty.",
    )
    web_max_rows: int = Field(
        100_000, ge=1, description="Rows of an answer of `fastdata serve`; larger ones are refused."
    )
    web_max_queries: int = Field(
        4, ge=1, le=64, description="Queries that `fastdata serve` answers at once; others wait."
    )
    web_timeout_s: float = Field(
        30.0, gt=0, description="Seconds that a query of `fastdata serve` may wait and take."
    )

    metrics_port: int = Field(
        0,
        ge=0,
        le=65_535,
        description="Where worker, archive and replay --every answer /metrics and /health; 0: not.",
    )
    metrics_host: str = Field(
        "127.0.0.1", description="The address of that port; `0.0.0.0` lets other machines ask."
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
        """The settings of this process.

        Args:
            overrides: By name; they go before the environment and the file.

        Raises:
            SettingsError: A setting is unknown or wrong; never shows a value that may be secret.
        """
        _refuse_unknown(os.environ, cls.model_fields)
        try:
            return cls(**overrides)  # type: ignore[arg-type]
        except ValidationError as error:
            lines = (
                ": ".join([*map(str, detail["loc"]), _problem(detail, cls.model_fields)])
                for detail in error.errors()
            )
            raise SettingsError(
                f"wrong settings: {'; '.join(lines)} (from FASTDATA_* variables or {_FILE.name})"
            ) from None
        except ValueError as error:
            raise SettingsError(f"{_FILE.resolve()} cannot be read: {error}") from error

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in ("broker_ca", "broker_certificate", "broker_key", "registry_ca"):
            if (path := getattr(self, name)) and not Path(path).is_file():
                raise ValueError(f"{name}: there is no file {Path(path).resolve()}")
        protocol = self.broker_security_protocol
        self._check_group(
            protocol.startswith("SASL"), "SASL_SSL", ("broker_username", "broker_password")
        )
        if not protocol.endswith("SSL"):
            self._check_group(False, "SSL or SASL_SSL", ("broker_ca", "broker_certificate"))
        if bool(self.broker_certificate) != bool(self.broker_key):
            raise ValueError("broker_certificate and broker_key are a pair: set both or none")
        return self

    def _check_group(self, is_needed: bool, by: str, names: tuple[str, ...]) -> None:
        """What a protocol needs must be there; what it cannot use would be ignored silently."""
        protocol = self.broker_security_protocol
        for name in names:
            value = getattr(self, name)
            is_set = bool(value.get_secret_value() if isinstance(value, SecretStr) else value)
            if is_needed and not is_set:
                raise ValueError(f"{name}: missing, broker_security_protocol is {protocol}")
            if is_set and not is_needed:
                raise ValueError(
                    f"{name}: not used while broker_security_protocol is {protocol}; set that to "
                    f"{by}, or leave this out"
                )

    def shown(self) -> dict[str, object]:
        """All settings with secrets masked, to print."""
        return {name: _masked(value) for name, value in self.model_dump().items()}

    def __repr__(self) -> str:
        inside = ", ".join(f"{name}={value!r}" for name, value in self.shown().items())
        return f"Settings({inside})"

    __str__ = __repr__


def _refuse_unknown(variables: Iterable[str], fields: Iterable[str]) -> None:
    """A variable that is misspelt would be ignored silently."""
    names = [name.upper() for name in fields]
    for variable in sorted(variables):
        name = variable.upper().removeprefix(_PREFIX)
        if name == variable.upper() or name in names or _OTHER_VARIABLES.fullmatch(name):
            continue
        others = [_PREFIX + other for other in names]
        # What all of them begin with makes none of them more alike.
        advice = did_you_mean(_PREFIX + name, others, _ADVICE, cutoff=0.85)
        raise SettingsError(f"there is no setting {variable}; {advice}")


def _problem(error: "ErrorDetails", fields: Iterable[str]) -> str:
    if error["type"] == "extra_forbidden":
        advice = did_you_mean(str(error["loc"][0]), fields, _ADVICE)
        return f"there is no such setting; {advice}"
    return error["msg"].removeprefix("Value error, ")


def _masked(value: object) -> object:
    if isinstance(value, SecretStr):
        return "***" if value.get_secret_value() else ""
    return mask_url(value) if isinstance(value, str) else value
