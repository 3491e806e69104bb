"""What is peculiar to an OpenSearch server: its URL, its errors."""

import logging

from opensearchpy import OpenSearch
from opensearchpy.exceptions import OpenSearchException, TransportError
from opensearchpy.helpers import BulkIndexError

from fastdata.errors import FastdataError, SettingsError, StoreUnavailableError
from fastdata.exports.server_url import ServerUrl

__all__ = ["OpenSearchServer"]

_EXAMPLE = (
    "write opensearch://user:password@host:port, with ?secure=1 for TLS, or ?ssl_ca=file for TLS"
    " with a server that this file vouches for"
)
_WRONG_SETTINGS = {
    401: "check the user and password in --to",
    403: "give the user rights for that index, its alias and fastdata_export_marks; or look whether"
    " the server's disk is full, as it only reads then",
}
_ADVICE = {
    429: "the server has too much to do; try again",
    503: "the server is not ready; look at its health",
}


class OpenSearchServer:
    """One server, OpenSearch 2 or newer.

    Args:
        url: As in `_EXAMPLE`.

    Raises:
        SettingsError: The URL is not understood, or the file of its `ssl_ca` cannot be read.
    """

    errors = (OpenSearchException, OSError)
    """What its driver raises."""

    def __init__(self, url: str) -> None:
        self._url = ServerUrl.parse(url, _EXAMPLE)
        if not self._url.host or self._url.path:
            raise SettingsError(f"--to names no host, or more than one: {_EXAMPLE}")
        self._port = self._url.port or 9200
        self.shown = f"opensearch://{self._url.host}:{self._port}"

    def client(self) -> OpenSearch:
        """A client, for one thread at a time; it blocks."""
        logging.getLogger("opensearch").setLevel(logging.ERROR)  # warns of what it raises
        return OpenSearch(
            hosts=[{"host": self._url.host, "port": self._port}],
            http_auth=(self._url.user, self._url.password) if self._url.user else None,
            use_ssl=self._url.is_secure,
            verify_certs=self._url.is_secure,
            ca_certs=self._url.ca,
            timeout=60,
            max_retries=0,
        )

    def failure(self, error: Exception, doing: str) -> FastdataError:
        """What we raise for an error of the driver; all that it does can be done again."""
        message = f"cannot {doing} in {self.shown}: {_said(error)}"
        status = error.status_code if isinstance(error, TransportError) else None
        if status in _WRONG_SETTINGS:
            return SettingsError(f"{message}; {_WRONG_SETTINGS[status]}")
        if status in _ADVICE:
            return StoreUnavailableError(f"{message}; {_ADVICE[status]}")
        if not isinstance(status, int) and not isinstance(error, BulkIndexError):
            message += "; is the server running, at the host and port of --to?"
        return StoreUnavailableError(message)


def _said(error: Exception) -> str:
    if isinstance(error, BulkIndexError):
        return f"{len(error.errors)} rows were refused, as {str(error.errors[0])[:300]}"
    cause: BaseException = error
    if isinstance(error, TransportError) and isinstance(error.info, Exception):
        cause = error.info
        while (before := cause.__cause__ or cause.__context__) is not None:
            cause = before
    return str(cause).strip().partition("\n")[0] or type(cause).__name__
