"""A Faust app whose unsafe defaults are set right."""

import fcntl
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import faust
from faust.app.base import BootStrategy
from faust.auth import SASLCredentials, SSLCredentials
from faust.exceptions import AlreadyConfiguredWarning
from faust.transport.drivers import aiokafka as driver

from fastdata.errors import SettingsError
from fastdata.kafka.connection import Broker, client_id

if TYPE_CHECKING:
    from faust.types.auth import CredentialsT

    from fastdata.settings import Settings

__all__ = ["SafeApp", "make_app"]

_LOOPBACK = ("127.0.0.1", "::1", "localhost")

# What must stay as it is, and why.
_RULES: dict[str, tuple[object, str]] = {
    "processing_guarantee": (
        "at_least_once",
        "Faust's exactly_once loses data; stamps make the numbers exact",
    ),
    "producer_threaded": (False, "its buffer is not flushed before a commit"),
    "producer_acks": (-1, "an unacknowledged write may be lost with its broker"),
    "consumer_auto_offset_reset": (
        "earliest",
        "a changelog that is read from its end restores nothing",
    ),
    "topic_disable_leader": (True, "two leaders, or none, are possible during a rebalance"),
}


class _NoWeb(BootStrategy):
    # `faust worker` switches the web server on unless it is told --without-web.
    enable_web = False


class _SafeProducer(driver.Producer):
    def _settings_extra(self) -> dict[str, Any]:
        return {**super()._settings_extra(), "acks": "all", "enable_idempotence": True}


class SafeApp(faust.App):
    """An app of `make_app`: no web server, idempotent producer, a data folder of its own."""

    BootStrategy: ClassVar[type[BootStrategy]] = _NoWeb
    state_folder: Path
    _folder_lock: object = None

    async def on_first_start(self) -> None:
        """Take a folder that no other live worker has."""
        folder, self._folder_lock = take_folder(self.state_folder)
        with warnings.catch_warnings():  # nobody has opened anything there yet
            warnings.simplefilter("ignore", AlreadyConfiguredWarning)
            self.conf.datadir = folder
        await super().on_first_start()


def make_app(
    id: str | None = None,
    settings: "Settings | None" = None,
    *,
    allow_insecure: bool = False,
    **overrides: Any,
) -> faust.App:
    """Make a Faust app to `attach` to, with settings under which no event is lost or repeated.

    Args:
        id: Also the Kafka consumer group; names the changelog topics. The setting
            `application_id` when None.
        settings: From the environment and `fastdata.toml` when None.
        allow_insecure: Take overrides that are known to lose data or to open it to everyone.
        overrides: Any setting of `faust.App`.

    Raises:
        SettingsError: An override is unsafe; says why. Or a file of a certificate is broken.
    """
    from fastdata.settings import Settings

    settings = settings or Settings.load()
    chosen = {**_safe_settings(settings), **overrides}
    if not allow_insecure:
        _refuse_unsafe(chosen)
    app = SafeApp(id or settings.application_id, **chosen)
    app.state_folder = Path(settings.state)
    if chosen["web_enabled"]:
        app.boot_strategy = BootStrategy(app)
    transport = app.transport
    if isinstance(transport, driver.Transport) and transport.Producer is driver.Producer:
        transport.Producer = _SafeProducer  # type: ignore[misc]
    return app


def _safe_settings(settings: "Settings") -> dict[str, Any]:
    broker = Broker.of(settings)
    return {
        **{name: value for name, (value, _) in _RULES.items()},
        "broker": ";".join(f"kafka://{server}" for server in broker.servers.split(",")),
        "broker_credentials": _credentials(broker),
        # By which `fastdata status` tells who reads what.
        "broker_client_id": client_id("worker"),
        "store": "rocksdb://",
        "datadir": settings.state,
        "autodiscover": False,
        "web_enabled": False,
        "web_bind": "127.0.0.1",
        # Default 60 s: that long nobody reads the partitions of a worker that was killed.
        "broker_session_timeout": 10.0,
        # Faust takes a slow answer during a recovery for its own end, and stops reading.
        "broker_request_timeout": 120.0,
        "broker_max_poll_interval": 300.0,
        "stream_wait_empty": False,
        # Topics are created and checked by us, with the configuration that they need.
        "topic_allow_declare": False,
        # A changelog that ends before the local store is handled by us; Faust would crash.
        "recovery_consistency_check": False,
        "table_standby_replicas": 0,
    }


def _credentials(broker: Broker) -> "CredentialsT | None":
    context = broker.tls()
    if broker.has_password:
        return SASLCredentials(
            username=broker.username,
            password=broker.password.get_secret_value(),
            mechanism=broker.mechanism,
            ssl_context=context,
        )
    return SSLCredentials(context) if context else None


def _refuse_unsafe(chosen: dict[str, Any]) -> None:
    for name, value in chosen.items():
        if name in _RULES:
            required, why = _RULES[name]
            is_safe = str(getattr(value, "value", value)) == str(required)
        elif name == "web_bind":
            is_safe = not chosen["web_enabled"] or value in _LOOPBACK
            why = "Faust's web server shows tables to everyone, without a password"
        else:
            is_safe = not name.endswith("_serializer") or "pickle" not in str(value)
            why = "unpickling runs what a producer sends"
        if not is_safe:
            raise SettingsError(
                f"make_app({name}={value!r}) is refused: {why}; pass allow_insecure=True if "
                "you must"
            )


def take_folder(parent: Path) -> tuple[Path, object]:
    """Take the first `worker-<n>` below `parent` that no live process has.

    RocksDB can be opened by one process. A worker that comes back takes its old folder, so
    its state is there.

    Returns:
        The folder, and what holds its lock for as long as it lives.

    Raises:
        SettingsError: The folder cannot be written.
    """
    for number in range(1_000):
        folder = parent / f"worker-{number}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise SettingsError(
                f"the state folder {parent.resolve()} cannot be used: {error}; see FASTDATA_STATE"
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
        else:
            return folder, _HeldLock(lock)
    raise SettingsError(f"a thousand workers have a folder in {parent.resolve()} already")


class _HeldLock:
    """Holds a lock for as long as it lives."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __del__(self) -> None:
        os.close(self._descriptor)
