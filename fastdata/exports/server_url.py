"""The URL of a server that is asked over HTTP, with or without TLS."""

import ssl
from dataclasses import dataclass
from typing import Self
from urllib.parse import parse_qsl, unquote, urlsplit

from fastdata.errors import SettingsError

__all__ = ["ServerUrl"]


@dataclass(frozen=True, slots=True)
class ServerUrl:
    """A URL, understood.

    Attributes:
        port: None where none is given.
        user: Empty where none is given.
        password: Empty where none is given.
        path: Without the slash before it.
        is_secure: Whether TLS is spoken.
        ca: A file with who vouches for the server; None for those whom the system knows.
    """

    host: str
    port: int | None
    user: str
    password: str
    path: str
    is_secure: bool
    ca: str | None

    @classmethod
    def parse(cls, text: str, example: str) -> Self:
        """Understand what `--to` says.

        Args:
            example: What to write.

        Raises:
            SettingsError: It is not understood, or the file of its `ssl_ca` cannot be read.
        """
        try:
            url = urlsplit(text)
            port = url.port
        except ValueError as error:
            raise SettingsError(f"--to is not understood: {example}") from error
        options = dict(parse_qsl(url.query, keep_blank_values=True))
        if unknown := options.keys() - {"secure", "ssl_ca"}:
            raise SettingsError(f"--to has {', '.join(sorted(unknown))} behind ?: {example}")
        ca = options.get("ssl_ca")
        secure = options.get("secure", "0" if ca is None else "1")
        if secure not in ("0", "1") or (ca is not None and secure == "0"):
            raise SettingsError(f"--to has secure={secure}, which does not fit: {example}")
        if ca is not None:
            try:
                ssl.create_default_context(cafile=ca)
            except (OSError, ssl.SSLError) as error:
                raise SettingsError(f"--to: ssl_ca={ca} cannot be used: {error}") from error
        names = unquote(url.username or ""), unquote(url.password or "")
        path = unquote(url.path.removeprefix("/"))
        return cls(url.hostname or "", port, *names, path, secure == "1", ca)
