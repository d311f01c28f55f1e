"""Follows a container's log while it grows: for a person, so it waits for nothing but the log."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote, urlencode

import urllib3
from urllib3.util import Timeout

from ottoscaler.errors import KubernetesUnavailable
from ottoscaler.kube.credentials import Access
from ottoscaler.kube.status import error_of, plain
from ottoscaler.kube.transport import CONNECT_SECONDS

QUIET_SECONDS = 86_400.0  # for which a log may tell nothing: a worker's longest run limit by default
PIECE_BYTES = 64 * 1024
LONGEST_REFUSAL = 64 * 1024  # bytes of an answer that is none


def follow_log(access: Access, namespace: str, pod: str, container: str) -> Iterator[bytes]:
    """A container's log from its begin to its end, in pieces as they come.

    Raises KubernetesError and its kin: PodGone where the Pod is not there, KubernetesUnavailable also for a
    missing right (``status`` 403), and where the connection breaks.
    """
    path = f"/api/v1/namespaces/{quote(namespace)}/pods/{quote(pod)}/log"
    query = urlencode({"container": container, "follow": "true"})
    try:
        response = access.pool().request(
            "GET",
            access.url(f"{path}?{query}"),
            headers={**access.headers(), "Accept": "*/*"},
            timeout=Timeout(connect=CONNECT_SECONDS, read=QUIET_SECONDS),
            retries=False,
            redirect=False,
            preload_content=False,
        )
        try:
            if response.status >= 300:
                raise error_of("log", response.status, response.read(LONGEST_REFUSAL), 0.0)
            yield from response.stream(PIECE_BYTES)
        finally:
            response.close()
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise KubernetesUnavailable(f"log: {plain(error)}") from error
