"""Archives on S3: how a store is opened, and what its errors mean."""

import os
import re
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from obstore.store import S3Store

from fastdata.errors import (
    ArchiveError,
    ArchiveRefusedError,
    ArchiveUnavailableError,
    SettingsError,
)

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Config

__all__ = ["code_of", "explain", "is_missing", "open_s3", "was_cut"]

_CODE = re.compile(r"<Code>(\w+)</Code>")
_STATUS = re.compile(r"status code: (\d{3})")
_CREDENTIALS_HOST = "169.254.169.254"
_RETRIES = 3
_KEY = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
_REASONS = {
    "NoSuchBucket": "there is no such bucket: create it, or correct the URL of the archive",
    "InvalidBucketName": "no bucket can have that name: correct the URL of the archive",
    "InvalidAccessKeyId": f"it does not know the key: check {_KEY}",
    "XAdminUserNotFound": f"it does not know the key: check {_KEY}",
    "SignatureDoesNotMatch": f"the secret is not that of the key: check {_KEY}",
    "ExpiredToken": "the credentials have expired: set new ones (AWS_SESSION_TOKEN)",
    "InvalidToken": "the session's token is wrong: check AWS_SESSION_TOKEN",
    "RequestTimeTooSkewed": "this machine's clock is wrong: set it",
    "AccessDenied": "the key has no permission: grant it s3:ListBucket, s3:GetObject, s3:PutObject "
    "and s3:DeleteObject there",
    "AuthorizationHeaderMalformed": "the bucket is in another region: check AWS_REGION",
    "PermanentRedirect": "the bucket is in another region: check AWS_REGION",
}


def open_s3(url: str) -> S3Store:
    """The store of `s3://bucket/prefix`, by the AWS_* variables; asks nothing of it yet.

    Those are AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION (or
    AWS_DEFAULT_REGION), AWS_ENDPOINT_URL_S3 (or AWS_ENDPOINT_URL) and AWS_CA_BUNDLE. Without a
    key, the roles of EC2, ECS and web identities are used; files of ~/.aws are not read.

    Raises:
        SettingsError: The URL or a variable is wrong.
    """
    parts = urlsplit(url)
    if not parts.netloc or "@" in parts.netloc or parts.query or parts.fragment:
        raise SettingsError(
            "an archive on S3 is s3://bucket/prefix and no more; "
            f"credentials belong in {_KEY}, an endpoint in AWS_ENDPOINT_URL"
        )
    endpoint = _endpoint()
    config: S3Config = {"virtual_hosted_style_request": False}
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if region:
        config["region"] = region
    # A body of some megabytes has to go through a slow line in that time.
    client: ClientConfig = {"timeout": timedelta(seconds=60), "connect_timeout": "5 seconds"}
    if endpoint is not None:
        config["endpoint"] = endpoint
        client["allow_http"] = endpoint.startswith("http://")
    if bundle := os.environ.get("AWS_CA_BUNDLE"):
        client["root_certificate"] = _certificates(bundle)
    try:
        return S3Store(
            parts.netloc,
            prefix=parts.path.strip("/") or None,
            config=config,
            client_options=client,
            retry_config={"max_retries": _RETRIES, "retry_timeout": timedelta(seconds=20)},
        )
    except Exception as error:
        reason = next(iter(str(error).splitlines()), "")
        raise SettingsError(f"cannot open an archive on S3: {reason}; check AWS_*") from error


def code_of(error: Exception) -> str | None:
    """S3's own word for an error, such as `NoSuchKey`; None when S3 said none."""
    match = _CODE.search(str(error))
    return match[1] if match else None


def was_cut(error: Exception) -> bool:
    """Whether S3 hung up during an upload, as when it refuses one before it has read it all."""
    return "BodyWrite" in str(error)


def is_missing(error: Exception) -> bool:
    """Whether there is no such object; S3 may say so of one that another one deletes meanwhile."""
    return isinstance(error, FileNotFoundError) or "(code: NoSuchKey)" in str(error)


def explain(failure: str, error: Exception) -> ArchiveError:
    """The error to raise: what could not be done, why, and what to do about it. No secret.

    Args:
        failure: Such as `could not write topics/t`.
        error: Of the driver.

    Raises:
        SettingsError: The endpoint is none.
    """
    text, code = str(error), code_of(error)
    status = _STATUS.search(text)
    where = _endpoint() or "AWS"
    if code in _REASONS:
        return ArchiveRefusedError(f"S3 at {where} {failure}: {_REASONS[code]} ({code})")
    if _CREDENTIALS_HOST in text:
        why = f"there are no credentials: set {_KEY}, or give this machine a role"
    elif "InvalidCertificate" in text:
        why = "its certificate is not trusted: set AWS_CA_BUNDLE to the file of its authority"
    elif status is None:
        why = "it cannot be reached or did not answer: check AWS_ENDPOINT_URL and that it runs"
    elif code is None and status[1].startswith("4"):
        return ArchiveRefusedError(
            f"S3 at {where} {failure}: it answered {status[1]} like no S3 server: check "
            "AWS_ENDPOINT_URL"
        )
    else:
        why = f"it answered {status[1]} {code or ''}".rstrip()
    return ArchiveUnavailableError(
        f"S3 at {where} {failure}: {why}; nothing is lost: try again when it is back"
    )


def _endpoint() -> str | None:
    names = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
    endpoint = next(filter(None, map(os.environ.get, names)), None)
    if endpoint is None:
        return None
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise SettingsError("AWS_ENDPOINT_URL must be http://host:port or https://host:port")
    return endpoint.rstrip("/")


def _certificates(file: str) -> bytes:
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise SettingsError(f"AWS_CA_BUNDLE: cannot read {file}: {error.strerror}") from error
