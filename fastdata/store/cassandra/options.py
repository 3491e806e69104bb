"""From the URL of a Cassandra store to its options; no driver is needed for it."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, unquote

from fastdata.errors import SettingsError

__all__ = ["EXAMPLE", "CassandraOptions", "parse"]

EXAMPLE = "cassandra://user:password@host1,host2:9042/keyspace?replication=3"
_PORT = 9042
_URL = re.compile(
    r"cassandra://(?:(?P<user>[^:@/]*):(?P<password>[^@/]*)@)?(?P<hosts>[^@/?]+)"
    r"/(?P<keyspace>[a-z][a-z0-9_]{0,47})(?:\?(?P<query>.*))?"
)
_HOST = re.compile(r"(?P<name>\[[0-9a-fA-F:.]+\]|[^:\[\]]+)(?::(?P<port>\d{1,5}))?")
_CONSISTENCIES = ("LOCAL_QUORUM", "QUORUM", "ONE")


@dataclass(frozen=True, slots=True)
class CassandraOptions:
    """How to reach a keyspace, and how to make it.

    Attributes:
        hosts: Names and ports of some nodes; the others are found by them.
        consistency: Of reads and writes. ONE is right on a single node only.
        dc: The data center to speak to; that of the first host when empty.
        replication: Copies of each row, when the keyspace is made here.
        buckets: Partitions that the partials of one hour and Kafka partition are spread over;
            fixed when the keyspace is made. None: what it has, else the default.
        writes_per_s: Rows a second at most; None for no limit.
        ca: PEM file of who signs the nodes' certificates; the system's if empty.
    """

    hosts: tuple[tuple[str, int], ...]
    keyspace: str
    user: str = ""
    password: str = field(default="", repr=False)
    consistency: str = "LOCAL_QUORUM"
    dc: str = ""
    replication: int = 3
    buckets: int | None = None
    writes_per_s: float | None = None
    tls: bool = False
    ca: str = ""

    @property
    def shown(self) -> str:
        """The place without secrets, for messages."""
        hosts = ",".join(f"{host}:{port}" for host, port in self.hosts)
        return f"cassandra://{hosts}/{self.keyspace}"


def parse(url: str) -> CassandraOptions:
    """The options of a URL such as `EXAMPLE`.

    After the question mark: `consistency` (LOCAL_QUORUM, QUORUM, ONE), `dc`, `replication`,
    `buckets`, `writes_per_s`, `tls` (true, false) and `ca` (a PEM file).

    Raises:
        SettingsError: It is not understood; no secret of it is shown.
    """
    match = _URL.fullmatch(url)
    if match is None:
        raise SettingsError(
            f"the store's URL cassandra:… is not understood: write {EXAMPLE}; the keyspace in small"
            " letters, digits and _, and @ : / in a password as %40 %3A %2F"
        )
    return CassandraOptions(
        hosts=tuple(_read_host(host) for host in match["hosts"].split(",")),
        keyspace=match["keyspace"],
        user=unquote(match["user"] or ""),
        password=unquote(match["password"] or ""),
        **_read_query(match["query"] or ""),  # type: ignore[arg-type]
    )


def _read_host(text: str) -> tuple[str, int]:
    match = _HOST.fullmatch(text)
    if match is None:
        raise SettingsError(f"the store's URL cassandra:… names a wrong host: write {EXAMPLE}")
    return match["name"].strip("[]"), int(match["port"] or _PORT)


def _read_query(text: str) -> dict[str, object]:
    options: dict[str, object] = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        read = _READERS.get(name)
        if read is None:
            raise SettingsError(
                f"the store's URL cassandra:… has an unknown option {name!r}; known are"
                f" {', '.join(_READERS)}"
            )
        try:
            options[name] = read(value)
        except ValueError as error:
            raise SettingsError(
                f"the store's URL cassandra:… has a wrong {name}: {error}"
            ) from None
    if options.get("ca") and not options.get("tls"):
        raise SettingsError("the store's URL cassandra:… has a ca, and no tls=true to use it")
    return options


def _read_consistency(value: str) -> str:
    if value.upper() not in _CONSISTENCIES:
        raise ValueError(f"write one of {', '.join(_CONSISTENCIES)}")
    return value.upper()


def _read_count(value: str) -> int:
    if not value.isdecimal() or not 1 <= int(value) <= 1024:
        raise ValueError("write a whole number from 1 to 1024")
    return int(value)


def _read_rate(value: str) -> float:
    if not value.isdecimal() or int(value) < 1:
        raise ValueError("write how many rows a second, as in 20000")
    return float(value)


def _read_flag(value: str) -> bool:
    if value not in ("true", "false"):
        raise ValueError("write true or false")
    return value == "true"


def _read_file(value: str) -> str:
    if not Path(value).is_file():
        raise ValueError(f"there is no file {Path(value).resolve()}")
    return value


_READERS: dict[str, Callable[[str], object]] = {
    "consistency": _read_consistency,
    "dc": str,
    "replication": _read_count,
    "buckets": _read_count,
    "writes_per_s": _read_rate,
    "tls": _read_flag,
    "ca": _read_file,
}
