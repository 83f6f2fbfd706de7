"""A container registry over its HTTP API, as far as finding digests goes."""

from __future__ import annotations

import http.client
import json
import re
import ssl
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from ..errors import SlipwayError
from ..image_references import Reference

MANIFESTS = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)

LARGEST_MANIFEST = 4 * 1024 * 1024


class UnreachableError(SlipwayError):
    """A registry that does not answer, or not to us."""


class RegistryClient:
    """One connection to one registry, kept open over many questions."""

    def __init__(self, address: str, context: ssl.SSLContext, timeout: float = 5.0) -> None:
        self._address = address
        self._connection = http.client.HTTPSConnection(address, context=context, timeout=timeout)

    def __enter__(self) -> RegistryClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def check(self) -> None:
        """Raise unless the registry answers and accepts us."""
        status, _headers, _body = self._ask("GET", "/v2/", {})
        if status != http.client.OK:
            raise self._refused(status)

    def digest(self, repository: str, tag: str) -> str | None:
        """The digest behind a tag; None when the registry does not have it."""
        status, answer, _body = self._manifest("HEAD", repository, tag)
        if status == http.client.NOT_FOUND:
            return None
        if status != http.client.OK:
            raise self._refused(status)
        return answer.get("docker-content-digest")

    def manifest(self, repository: str, name: str) -> dict[str, Any] | None:
        """The manifest, or the index of several, behind a tag or a digest; None when there is none."""
        status, _answer, body = self._manifest("GET", repository, name)
        if status == http.client.NOT_FOUND:
            return None
        if status != http.client.OK:
            raise self._refused(status)
        return dict(json.loads(body))

    def _manifest(self, method: str, repository: str, name: str) -> tuple[int, dict[str, str], bytes]:
        path, headers = f"/v2/{repository}/manifests/{name}", {"Accept": MANIFESTS}
        status, answer, body = self._ask(method, path, headers)
        if status == http.client.UNAUTHORIZED and "www-authenticate" in answer:
            token = _anonymous_token(answer["www-authenticate"])
            return self._ask(method, path, {**headers, "Authorization": f"Bearer {token}"})
        return status, answer, body

    def _ask(self, method: str, path: str, headers: Mapping[str, str]) -> tuple[int, dict[str, str], bytes]:
        try:
            self._connection.request(method, path, headers=dict(headers))
            answer = self._connection.getresponse()
            body = answer.read(LARGEST_MANIFEST)
            answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise UnreachableError(
                f"registry {self._address} cannot be reached: {error}",
                "Check that it runs, that no firewall is in the way and that its certificate is valid",
            ) from error
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, body

    def _refused(self, status: int) -> UnreachableError:
        return UnreachableError(
            f"registry {self._address} answers with status {status}",
            "Check the client certificate, or the access rights of this registry",
        )


def client_context(folder: Path) -> ssl.SSLContext:
    """TLS as an engine does it: the CA and the client certificate of an /etc/docker/certs.d folder."""
    context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    context.load_cert_chain(folder / "client.cert", folder / "client.key")
    return context


def resolve(reference: Reference) -> str | None:
    """The digest that a public registry has for a reference now; None when it does not know the tag."""
    with RegistryClient(reference.registry, ssl.create_default_context()) as registry:
        return registry.digest(reference.repository, reference.tag)


def _anonymous_token(challenge: str) -> str:
    """A pull token for anybody, from where the registry's challenge points."""
    fields = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
    realm = urllib.parse.urlsplit(fields.get("realm", ""))
    if realm.scheme != "https" or not realm.hostname:
        raise UnreachableError(
            "the registry asks for a login", "Pin the image by digest, so that nothing has to be asked"
        )
    query = urllib.parse.urlencode({key: fields[key] for key in ("service", "scope") if key in fields})
    connection = http.client.HTTPSConnection(realm.netloc, context=ssl.create_default_context(), timeout=5.0)
    try:
        connection.request("GET", f"{realm.path}?{query}")
        answer = json.loads(connection.getresponse().read())
        return str(answer.get("token") or answer["access_token"])
    except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
        raise UnreachableError(
            f"{realm.hostname} gives no token to pull with: {error}",
            "Pin the image by digest, so that nothing has to be asked",
        ) from error
    finally:
        connection.close()
