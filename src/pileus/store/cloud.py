"""From `s3:`, `gs:` and `az:` URIs to stores, with credentials from the chains that every tool of those clouds uses.

S3      AWS_* variables; else botocore's chain (profile, SSO, container, instance). AWS_ENDPOINT_URL for others' S3.
Google  GOOGLE_APPLICATION_CREDENTIALS and its kin, the login of gcloud, the metadata server.
Azure   AZURE_STORAGE_ACCOUNT_NAME with AZURE_STORAGE_ACCOUNT_KEY, a SAS token, a client secret or a managed identity.

A URI names no credentials, and one that does is refused without being repeated.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import botocore.exceptions
import botocore.session
from obstore.exceptions import BaseError
from obstore.store import AzureStore, GCSStore, S3Store

from pileus.errors import StoreError, UsageError
from pileus.store.objects import RETRIES, ObjectsStore, VersionField, client_options
from pileus.store.ports import checked_key

if TYPE_CHECKING:
    from obstore.store import ObjectStore, S3Config, S3Credential

_CREDENTIALS_KEPT = datetime.timedelta(minutes=10)
_TRUE = ("1", "true", "yes")


def open_cloud(uri: str) -> ObjectsStore:
    """UsageError for a URI without a bucket; StoreError where no client can be made, as without credentials."""
    scheme, _, rest = uri.partition("://")
    bucket, _, prefix = rest.partition("/")
    prefix = prefix.strip("/")
    if not bucket or "@" in bucket or ":" in bucket:
        raise UsageError(
            f"a place in a cloud store is {scheme}://BUCKET/PREFIX; credentials come from the environment."
        )
    if prefix:
        checked_key(prefix)
    place = f"{scheme}://{bucket}" + (f"/{prefix}" if prefix else "")
    opener, version = _CLOUDS[scheme]
    try:
        return ObjectsStore(opener(bucket, prefix or None), place, version)
    except (BaseError, ValueError) as error:
        raise StoreError(
            f"cannot open {place}: {type(error).__name__}; check the credentials and the endpoint in the environment."
        ) from None


def _open_s3(bucket: str, prefix: str | None) -> ObjectStore:
    settings: S3Config = {}
    provider: Callable[[], S3Credential] | None = None
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if not _has_own_credentials():
        session = botocore.session.get_session()
        provider = _from_profile(session)
        if region := session.get_config_variable("region"):
            settings["region"] = region
        endpoint = endpoint or session.get_scoped_config().get("endpoint_url")
    if endpoint:
        settings["endpoint"] = endpoint
    return S3Store(
        bucket,
        prefix=prefix,
        config=settings,
        client_options=client_options(allow_http=_is_loopback(endpoint) or _is_set("AWS_ALLOW_HTTP")),
        retry_config=RETRIES,
        credential_provider=provider,
    )


def _has_own_credentials() -> bool:
    """obstore finds them in the environment by itself."""
    return bool(os.environ.get("AWS_ACCESS_KEY_ID")) or _is_set("AWS_SKIP_SIGNATURE")


def _from_profile(session: botocore.session.Session) -> Callable[[], S3Credential]:
    try:
        found = session.get_credentials()
    except botocore.exceptions.BotoCoreError as error:
        raise StoreError(f"S3 credentials cannot be had: {error}") from None
    if found is None:
        raise StoreError(
            "there are no S3 credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, "
            "or AWS_SKIP_SIGNATURE=true for a public bucket."
        )

    def fresh() -> S3Credential:
        frozen = found.get_frozen_credentials()
        return {
            "access_key_id": frozen.access_key,
            "secret_access_key": frozen.secret_key,
            "token": frozen.token,
            "expires_at": datetime.datetime.now(datetime.UTC) + _CREDENTIALS_KEPT,
        }

    return fresh


def _open_gs(bucket: str, prefix: str | None) -> ObjectStore:
    base = os.environ.get("GOOGLE_BASE_URL")
    options = client_options(allow_http=_is_loopback(base))
    return GCSStore(bucket, prefix=prefix, client_options=options, retry_config=RETRIES)


def _open_az(container: str, prefix: str | None) -> ObjectStore:
    endpoint = os.environ.get("AZURE_STORAGE_ENDPOINT") or os.environ.get("AZURE_ENDPOINT")
    options = client_options(allow_http=_is_loopback(endpoint) or _is_set("AZURE_STORAGE_USE_EMULATOR"))
    return AzureStore(container, prefix=prefix, client_options=options, retry_config=RETRIES)


_CLOUDS: dict[str, tuple[Callable[[str, str | None], ObjectStore], VersionField]] = {
    "s3": (_open_s3, "e_tag"),
    "gs": (_open_gs, "version"),
    "az": (_open_az, "e_tag"),
}
"""By scheme: the client, and what of an object its conditional writes compare."""


def _is_set(variable: str) -> bool:
    return os.environ.get(variable, "").lower() in _TRUE


def _is_loopback(endpoint: str | None) -> bool:
    """Only there may a request go without TLS unasked."""
    host = urlsplit(endpoint or "").hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
