"""Where Kafka is, how to get in, and why not."""

import asyncio
import logging
import os
import socket
import ssl
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import (
    AuthenticationFailedError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest
from pydantic import SecretStr

from fastdata.errors import BrokerError, SettingsError
from fastdata.settings import Settings

__all__ = ["Broker", "check_servers", "client_id", "watch_servers"]

_NONE = SecretStr("")
_TIMEOUT_S = 10.0
# asyncio closes the socket of a failed handshake some rounds of its loop later.
_CLOSING_S = 0.02
_OTHER_NAME = (62, 64)  # OpenSSL's codes for a certificate of another host or address

_WATCH_S = 15.0
_REPEAT_LOG_S = 60.0

_HostPort = tuple[str, int]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Broker:
    """Brokers of one cluster, and what they ask of a client.

    Attributes:
        servers: `host:port` with commas between.
        protocol: Kafka's name: PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL.
        mechanism: Kafka's name: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512; used with SASL only.
        username: For SASL.
        password: For SASL.
        ca: PEM file of who signs their certificates; the system's when empty.
        certificate: PEM file of our own certificate; empty when they ask for none.
        key: PEM file of its key.
    """

    servers: str
    protocol: str = "PLAINTEXT"
    mechanism: str = "SCRAM-SHA-512"
    username: str = ""
    password: SecretStr = _NONE
    ca: str = ""
    certificate: str = ""
    key: str = ""

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The broker of the settings."""
        servers = [host.strip().removeprefix("kafka://") for host in settings.broker.split(",")]
        return cls(
            ",".join(servers),
            settings.broker_security_protocol,
            settings.broker_sasl_mechanism,
            settings.broker_username,
            settings.broker_password,
            settings.broker_ca,
            settings.broker_certificate,
            settings.broker_key,
        )

    def __str__(self) -> str:
        return self.servers

    @property
    def has_password(self) -> bool:
        """Whether it asks for a user and a password."""
        return self.protocol.startswith("SASL")

    def tls(self) -> ssl.SSLContext | None:
        """The TLS context of connections to it; None when it speaks without TLS.

        Raises:
            SettingsError: A file holds no certificate or key.
        """
        if not self.protocol.endswith("SSL"):
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca or None)
            if self.certificate:
                # Without the callback OpenSSL asks the terminal for a key's password.
                context.load_cert_chain(self.certificate, self.key, password=lambda: "")
        except (OSError, ValueError) as error:
            raise SettingsError(
                f"broker_ca, broker_certificate or broker_key cannot be used: {error}; they are "
                "PEM files, the key without a password"
            ) from error
        return context

    def aiokafka(self) -> dict[str, Any]:
        """Arguments of aiokafka's clients.

        Raises:
            SettingsError: A file holds no certificate or key.
        """
        arguments: dict[str, Any] = {
            "bootstrap_servers": self.servers,
            "security_protocol": self.protocol,
            "ssl_context": self.tls(),
        }
        if self.has_password:
            arguments["sasl_mechanism"] = self.mechanism
            arguments["sasl_plain_username"] = self.username
            arguments["sasl_plain_password"] = self.password.get_secret_value()
        return arguments

    def librdkafka(self) -> dict[str, Any]:
        """Configuration of confluent_kafka's clients."""
        config = {"bootstrap.servers": self.servers, "security.protocol": self.protocol}
        if self.has_password:
            config["sasl.mechanism"] = self.mechanism
            config["sasl.username"] = self.username
            config["sasl.password"] = self.password.get_secret_value()
        if self.protocol.endswith("SSL"):
            files = {"ca": self.ca, "certificate": self.certificate, "key": self.key}
            config |= {f"ssl.{name}.location": path for name, path in files.items() if path}
        return config

    async def check(self, timeout_s: float = _TIMEOUT_S) -> None:
        """Check that one of the servers lets us in.

        Args:
            timeout_s: For each of them.

        Raises:
            BrokerError: None of them does; the message says why, in one line.
            SettingsError: A file holds no certificate or key.
        """
        await check_servers(timeout_s=timeout_s, **self.aiokafka())


def client_id(role: str) -> str:
    """What this process calls itself to the brokers, in their logs and in those of groups."""
    return f"fastdata-{role}-{socket.gethostname()}-{os.getpid()}"


async def check_servers(
    bootstrap_servers: str | list[str], *, timeout_s: float = _TIMEOUT_S, **security: Any
) -> None:
    """Check that a server lets us in, and that it can be reached where it says that it is.

    The clients themselves hide the reason, and try again and again.

    Args:
        bootstrap_servers: `host:port`, several with commas between or as a list.
        timeout_s: For each server.
        security: Other arguments of aiokafka's clients.

    Raises:
        BrokerError: None of them does; the message says why, in one line.
    """
    hosts = [(host, port) for host, port, _ in collect_hosts(bootstrap_servers)]
    nodes, reasons = await _try_all(hosts, timeout_s, security)
    if reasons and not nodes:
        raise BrokerError(f"the broker cannot be used: {_described(reasons)}")
    if elsewhere := nodes - set(hosts):
        reached, reasons = await _try_all(elsewhere, timeout_s, security)
        if reasons and not reached and not nodes & set(hosts):
            here = _described(dict.fromkeys(hosts, "tells clients to go on elsewhere"))
            raise BrokerError(
                f"the broker at {here}, but there it cannot be used: {_described(reasons)}; "
                "see its advertised.listeners"
            )


async def watch_servers(bootstrap_servers: str | list[str], **security: Any) -> None:
    """Log when the brokers cannot be used any more, and when they can again; never returns.

    The clients wait for them; of the 60 lines a second that they log meanwhile, those of one kind
    are let through once a minute.

    Args:
        bootstrap_servers: `host:port`, several with commas between or as a list.
        security: Other arguments of aiokafka's clients.
    """
    for name in [name for name in logging.Logger.manager.loggerDict if name.startswith("aiokafka")]:
        logging.getLogger(name).addFilter(_ONCE_PER_MINUTE)
    is_lost = False
    while True:
        await asyncio.sleep(_WATCH_S)
        try:
            await check_servers(bootstrap_servers, **security)
        except BrokerError as error:
            is_lost = True
            logger.error("%s; nothing is lost: this process waits, and goes on then", error)
        else:
            if is_lost:
                logger.warning("the broker can be used again")
            is_lost = False


class _OncePerMinute(logging.Filter):
    """Lets a message of one kind through once a minute."""

    def __init__(self) -> None:
        super().__init__()
        self._said_at: dict[object, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        now_s = time.monotonic()
        if now_s - self._said_at.get(record.msg, -_REPEAT_LOG_S) < _REPEAT_LOG_S:
            return False
        self._said_at[record.msg] = now_s
        return True


_ONCE_PER_MINUTE = _OncePerMinute()


async def _try_all(
    addresses: Iterable[_HostPort], timeout_s: float, security: dict[str, Any]
) -> tuple[set[_HostPort], dict[_HostPort, str]]:
    """The nodes that the servers name that let us in, and why the other servers do not."""
    nodes: set[_HostPort] = set()
    reasons: dict[_HostPort, str] = {}

    async def attempt(address: _HostPort) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                nodes.update(await _nodes(address, security))
        except (KafkaError, OSError, TimeoutError, AssertionError) as error:
            reasons[address] = _reason(error, security)
            await asyncio.sleep(_CLOSING_S)

    await asyncio.gather(*map(attempt, addresses))
    return nodes, reasons


async def _nodes(address: _HostPort, security: dict[str, Any]) -> list[_HostPort]:
    connection = await create_conn(*address, client_id="fastdata-check", **security)
    try:
        # Who wants a password hangs up at the first question, not before.
        answer = await connection.send(MetadataRequest([]))
        return [(host, port) for _, host, port, *_ in answer.brokers]
    finally:
        connection.close()


def _described(reasons: dict[_HostPort, str]) -> str:
    """Each reason once, with the addresses that it holds for."""
    by_reason: dict[str, list[str]] = {}
    for (host, port), reason in reasons.items():
        by_reason.setdefault(reason, []).append(f"{host}:{port}")
    return "; ".join(f"{', '.join(places)} {reason}" for reason, places in by_reason.items())


def _reason(error: Exception, security: dict[str, Any]) -> str:
    match error:
        case ssl.SSLCertVerificationError() if error.verify_code in _OTHER_NAME:
            return f"has the certificate of another host ({error.verify_message})"
        case ssl.SSLCertVerificationError():
            return (
                f"has a certificate that is not trusted ({error.verify_message}); see "
                "FASTDATA_BROKER_CA"
            )
        case AuthenticationFailedError() | SaslAuthenticationFailed():
            return (
                f"refuses the user {security['sasl_plain_username']!r} or the password; see "
                "FASTDATA_BROKER_USERNAME and FASTDATA_BROKER_PASSWORD"
            )
        case UnsupportedSaslMechanismError():
            return f"does not take {security['sasl_mechanism']}; see FASTDATA_BROKER_SASL_MECHANISM"
        case ConnectionRefusedError():
            return "refuses connections: nobody listens there; see FASTDATA_BROKER"
        case socket.gaierror():
            return f"is no known host ({error.strerror}); see FASTDATA_BROKER"
        case ssl.SSLError() | ConnectionError() | KafkaError() | AssertionError():
            return (
                f"hangs up on a client that speaks {security.get('security_protocol')} "
                f"({type(error).__name__}); see FASTDATA_BROKER_SECURITY_PROTOCOL"
            )
    return f"cannot be reached ({error or type(error).__name__}); see FASTDATA_BROKER"
