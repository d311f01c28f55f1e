"""TLS before a server that speaks none, as a Redis with certificates: whoever connects has to show one."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import subprocess
import threading
from pathlib import Path

CHUNK = 65536


class Authority:
    """Issues certificates for 127.0.0.1, by the program openssl."""

    def __init__(self, directory: Path, name: str) -> None:
        self._directory, self._name = directory, name
        self.certificate, self._key = directory / f"{name}.crt", directory / f"{name}.key"
        self._request(name, "-x509", "-days", "2", "-out", str(self.certificate))

    def issue(self, name: str) -> tuple[Path, Path]:
        """A new certificate and its key, in files of that name."""
        asked, certificate = self._directory / f"{name}.csr", self._directory / f"{name}.crt"
        self._request(name, "-out", str(asked))
        extension = self._directory / "extension"
        extension.write_text("subjectAltName=IP:127.0.0.1")
        by = ["-CA", str(self.certificate), "-CAkey", str(self._key), "-CAcreateserial", "-days", "2"]
        _openssl("x509", "-req", "-in", str(asked), *by, "-extfile", str(extension), "-out", str(certificate))
        return certificate, self._directory / f"{name}.key"

    def _request(self, name: str, *more: str) -> None:
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        named = ["-subj", f"/CN={name}", "-keyout", str(self._directory / f"{name}.key")]
        _openssl("req", *key, *named, *more)


def _openssl(*words: str) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True, timeout=30)


class TlsFront:
    """Passes what it decrypts to a port of this machine. ``close`` ends it and its connections."""

    def __init__(self, server_port: int, authority: Authority, name: str) -> None:
        self._server_port = server_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._servers: set[socket.socket] = set()
        self.renew(authority, name)
        threading.Thread(target=self._accept, name="tls", daemon=True).start()

    def renew(self, authority: Authority, name: str) -> None:
        """From now on show another certificate and trust that authority alone; cut all connections."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority.certificate))
        context.load_cert_chain(*map(str, authority.issue(name)))
        context.verify_mode = ssl.CERT_REQUIRED
        self._context = context
        self._cut()

    def close(self) -> None:
        self._listener.close()
        self._cut()

    def _cut(self) -> None:
        for each in list(self._servers):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), name="tls", daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        with (
            contextlib.suppress(OSError),
            plain,
            self._context.wrap_socket(plain, server_side=True) as client,
            socket.create_connection(("127.0.0.1", self._server_port)) as server,
        ):
            self._servers.add(server)
            try:
                _pass(client, server)
            finally:
                self._servers.discard(server)


def _pass(client: ssl.SSLSocket, server: socket.socket) -> None:
    """Both ways in one thread, since OpenSSL does not let two read and write one connection at a time."""
    while True:
        ready = [client] if client.pending() else select.select([client, server], [], [])[0]
        for source in ready:
            data = source.recv(CHUNK)
            if not data:
                return
            (server if source is client else client).sendall(data)
