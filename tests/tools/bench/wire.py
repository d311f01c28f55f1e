"""HTTP to the API server with nothing in between: what a request costs at least.

The observers and the ceiling use it, so that what they measure is the server and not a client library.
"""

from __future__ import annotations

import asyncio
import http.client
import os
import re
import ssl
import time
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

import kubernetes.config
from kubernetes.client.configuration import Configuration

ANSWER_SECONDS = 60.0  # a create behind a thousand others, on two cores
LINE_BYTES = 4 * 1024 * 1024  # a watch event is the whole Pod, which is at most 1.5 MiB

# Far enough into a watch event to tell it; an embedded "type" or "name" comes later in the text.
_TYPE = re.compile(rb'"type"\s*:\s*"(ADDED|MODIFIED|DELETED|BOOKMARK|ERROR)"')
# As all contestants call their Pods: the local server writes "name" behind the labels once a Pod was patched.
_NAME = re.compile(rb'"name"\s*:\s*"(otto-agent-[^"]+)"')
_UID = re.compile(rb'"uid"\s*:\s*"([0-9a-f-]{36})"')
_VERSION = re.compile(rb'"resourceVersion"\s*:\s*"(\d+)"')
_PHASE = re.compile(rb'"phase"\s*:\s*"(\w+)"')
_DELETING = b'"deletionTimestamp"'
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Server:
    """Where the API server is and how to be let in, from a kubeconfig."""

    host: str
    port: int
    tls: ssl.SSLContext | None
    token: str
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""

    @property
    def url(self) -> str:
        return f"{'https' if self.tls is not None else 'http'}://{self.host}:{self.port}"

    def headers(self) -> dict[str, str]:
        headers = {"Host": f"{self.host}:{self.port}", "Accept": "application/json"}
        if self.token:
            headers["Authorization"] = self.token
        return headers


def server(kubeconfig: str) -> Server:
    """Read a kubeconfig. Raises what the Kubernetes client raises for one that it cannot read."""
    configuration: Any = Configuration()
    cast(Any, kubernetes.config).load_kube_config(config_file=kubeconfig, client_configuration=configuration)
    address = urlsplit(configuration.host)
    tls = None
    if address.scheme == "https":
        tls = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
        if configuration.cert_file:
            tls.load_cert_chain(configuration.cert_file, configuration.key_file)
    token = str(configuration.get_api_key_with_prefix("authorization") or "")
    return Server(
        address.hostname or "localhost",
        address.port or (443 if tls else 80),
        tls,
        token,
        configuration.ssl_ca_cert or "" if tls else "",
        configuration.cert_file or "" if tls else "",
        configuration.key_file or "" if tls else "",
    )


def kubeconfig_path() -> str:
    return os.environ.get("KUBECONFIG") or os.path.expanduser("~/.kube/config")


@dataclass(frozen=True, slots=True)
class Seen:
    """One watch event, as far as a benchmark looks at it."""

    type: str
    name: str
    uid: str
    version: str
    phase: str
    deleting: bool


def parse_event(line: bytes) -> Seen | None:
    """A watch event read by pattern, at a twentieth of the price of its JSON; ``None`` for no Pod's."""
    kind, name = _TYPE.search(line), _NAME.search(line)
    if kind is None or name is None:
        return None
    uid, version, phase = _UID.search(line), _VERSION.search(line), _PHASE.search(line)
    return Seen(
        kind[1].decode(),
        name[1].decode(),
        uid[1].decode() if uid else "",
        version[1].decode() if version else "",
        phase[1].decode() if phase else "",
        _DELETING in line,
    )


class Connection:
    """One blocking connection, kept open. For one thread."""

    def __init__(self, where: Server) -> None:
        self._where = where
        self._http: http.client.HTTPConnection | None = None

    def request(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        """Send one request; status and body. Raises OSError or HTTPException; nothing is sent again."""
        response = self.open(method, path, body)
        return response.status, response.read()

    def open(self, method: str, path: str, body: bytes | None = None) -> http.client.HTTPResponse:
        """The same, leaving the body to the caller: for a watch."""
        self.send(method, path, body)
        assert self._http is not None
        return self._http.getresponse()

    def send(self, method: str, path: str, body: bytes | None = None) -> float:
        """Send a request; the moment before its bytes left, monotonic. ``answer`` must follow."""
        if self._http is None:
            where = self._where
            if where.tls is not None:
                self._http = http.client.HTTPSConnection(
                    where.host, where.port, timeout=ANSWER_SECONDS, context=where.tls
                )
            else:
                self._http = http.client.HTTPConnection(where.host, where.port, timeout=ANSWER_SECONDS)
        headers = self._where.headers()
        if body is not None:
            headers |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
        self._http.putrequest(method, path, skip_host=True)
        for name, value in headers.items():
            self._http.putheader(name, value)
        now = time.monotonic()
        self._http.endheaders(body)
        return now

    def answer(self) -> tuple[int, bytes]:
        """Status and body of the answer to what was sent."""
        assert self._http is not None
        response = self._http.getresponse()
        return response.status, response.read()

    def close(self) -> None:
        if self._http is not None:
            self._http.close()
            self._http = None


class Pipe:
    """One asyncio connection, kept open: the cheapest request that Python can send."""

    def __init__(self, where: Server) -> None:
        self._where = where
        self._head = "".join(f"{name}: {value}\r\n" for name, value in where.headers().items())
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    async def open(self) -> Pipe:
        where = self._where
        self._reader, self._writer = await asyncio.open_connection(
            where.host, where.port, ssl=where.tls, limit=LINE_BYTES
        )
        return self

    def send(self, method: str, path: str, body: bytes = b"") -> None:
        head = f"{method} {path} HTTP/1.1\r\n{self._head}Content-Length: {len(body)}\r\n"
        if body:
            head += "Content-Type: application/json\r\n"
        self._writer.write(f"{head}\r\n".encode() + body)

    async def request(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Send one request and read all of its answer."""
        self.send(method, path, body)
        head = await self._reader.readuntil(b"\r\n\r\n")
        status, length = int(head[9:12]), _LENGTH.search(head)
        if length is not None:
            return status, await self._reader.readexactly(int(length[1]))
        return status, b"".join([chunk async for chunk in self._chunks()])

    async def events(self, path: str) -> Any:
        """The lines of a watch."""
        self.send("GET", path)
        head = await self._reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise ConnectionError(f"the watch was refused: {head.splitlines()[0].decode()}")
        rest = b""
        async for chunk in self._chunks():
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield line

    async def _chunks(self) -> Any:
        while True:
            size = int((await self._reader.readuntil(b"\r\n")).split(b";")[0], 16)
            chunk = await self._reader.readexactly(size + 2)
            if not size:
                return
            yield chunk[:-2]

    def close(self) -> None:
        self._writer.close()
