"""Follows a container's log while it grows. A person waits for it, so it takes no place in the throttle."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote, urlencode

from urllib3.util import Timeout

from ottoscaler.errors import KubernetesUnavailable
from ottoscaler.kube.credentials import Access
from ottoscaler.kube.status import BROKEN_ANSWER, error_of, plain
from ottoscaler.kube.transport import CONNECT_SECONDS

QUIET_SECONDS = 86_400.0  # a log may be silent for so long; a worker's default run limit
PIECE_BYTES = 64 * 1024
LONGEST_REFUSAL = 64 * 1024  # bytes that are read of an error's body


def follow_log(access: Access, namespace: str, pod: str, container: str) -> Iterator[bytes]:
    """Yield a container's log from its beginning to its end, in pieces as they come.

    Raises KubernetesError: PodGone if there is no such Pod; KubernetesUnavailable if a right is missing
    (``status`` 403) or the connection breaks.
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
    except BROKEN_ANSWER as error:
        raise KubernetesUnavailable(f"log: {plain(error)}") from error
