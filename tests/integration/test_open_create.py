"""An idle replica opens its first create while Redis takes the event, as seen before the API server."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from tests.harness.cluster_state import local_only
from tests.harness.kubeconfigs import leading_to, server_of
from tests.harness.sandbox import Sandbox
from tests.harness.scenarios import ends_well
from tests.harness.waiting import wait_for


class Tap:
    """Passes bytes on between the service and the API server, and keeps what each read brought."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self.asked: list[bytes] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                far = socket.create_connection(self._target)
                for source, to, kept in ((near, far, self.asked), (far, near, None)):
                    threading.Thread(target=self._pass, args=(source, to, kept), daemon=True).start()

    def _pass(self, source: socket.socket, to: socket.socket, kept: list[bytes] | None) -> None:
        with contextlib.suppress(OSError):
            while part := source.recv(65536):
                if kept is not None:
                    kept.append(part)
                to.sendall(part)
            to.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._listening.close()


@contextmanager
def tapped(place: Sandbox) -> Iterator[tuple[Tap, str]]:
    target = urlsplit(server_of(place))
    tap = Tap(target.hostname or "", target.port or 80)
    try:
        yield tap, leading_to(place, tap.url)
    finally:
        tap.close()


@local_only
def test_idle_replica_sends_the_last_byte_of_its_first_create_by_itself(place: Sandbox) -> None:
    with tapped(place) as (tap, kubeconfig):
        place.start(KUBECONFIG=kubeconfig)

        def opened() -> bool:
            """Whether an event's create came in two parts: the replica was idle, and so was a connection."""
            tap.asked.clear()
            ends_well(place, place.scale_up())
            return b"}" in tap.asked

        wait_for(opened, "a create's last byte comes by itself")
