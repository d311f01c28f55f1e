"""The API server's address and our credentials, from a service account or a kubeconfig.

The Kubernetes client's configuration code is used (kubeconfig, exec plugins, certificates, token files). Its
request layer is not: it has no default timeout, re-sends GET and DELETE on its own, and sleeps on 429.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

import urllib3
from kubernetes.client.configuration import Configuration

from ottoscaler.errors import KubernetesUnavailable, UnusableAnswer
from ottoscaler.kube.kubeconfig import context_of, fault, files, has_plugin, kube_config, loader, pool, stamp
from ottoscaler.telemetry.redaction import MASK

T = TypeVar("T")

RELOAD_SECONDS = 5.0  # least time between two re-reads of the credentials after a 401
PROGRAM_SECONDS = 10.0  # for the program that tells a token; shorter than what /healthz calls a stall
_IN_CLUSTER = "KUBERNETES_SERVICE_HOST"
_TOKEN_FILE: str = kube_config.incluster_config.SERVICE_TOKEN_FILENAME
_DEFAULT_FILE = "~/.kube/config"
# In the texts of errors over certificates. A server that does not speak TLS is not among them.
_OF_FILES = re.compile(
    r"\[SSL(?!: WRONG_VERSION_NUMBER|: UNEXPECTED_EOF)|\[X509|No such file|Permission denied"
)
_HANGS = "does the program hang that tells the token?"


def in_cluster() -> bool:
    """Whether a service account can be used. The variable alone is no proof: Pods without one have it too."""
    return bool(os.environ.get(_IN_CLUSTER)) and Path(_TOKEN_FILE).is_file()


def _header(value: str) -> str:
    """The header that a token makes, without the line's end that mostly follows a token in a file.

    Raises KubernetesUnavailable for one that is no header: it would split the request, and urllib3's error
    would show the token."""
    value = value.strip()
    if not (value.isascii() and value.isprintable()):
        raise KubernetesUnavailable("the token has characters that no token has; is it the right file?")
    return value


class Access:
    """A connection pool and the Authorization header for it. Thread-safe; it is loaded at its first use."""

    def __init__(self, kubeconfig: str, connections: int) -> None:
        self._kubeconfig = kubeconfig
        self._connections = connections
        self._lock = threading.Lock()
        self._configuration: Any = None
        self._pool: Any = None
        self._tried_at = 0.0
        self._context: str | None = None  # the current one at the first reading; no other is followed
        self._unusable = ""  # what is wrong with the files as they are now, while the ones before are used
        self._stamp: list[tuple[int, int, int]] = []  # of the kubeconfig that was read
        self._at_once = False  # whether the Authorization header is known without running a plugin

    def __repr__(self) -> str:
        return f"Access({self.host})"

    @property
    def host(self) -> str:
        """The API server's address, for messages: without a password that may stand in it."""
        if not self._configuration:
            return "not known yet"
        return re.sub(r"//[^/]*@", f"//{MASK}@", str(self._configuration.host))

    def sentence(self, error: Exception) -> str:
        """What was tried, the error, and what a person can do about it. Any thread."""
        text, status = str(error).rstrip("."), getattr(error, "status", 0)
        if text.endswith(_HANGS):
            return text
        if not self._configuration:
            return f"{text}. Set KUBECONFIG to a kubeconfig file, or run this inside the cluster."
        read_again = status == 401 or getattr(error, "unsent", False)
        if read_again and self._unusable and self._unusable not in text:
            return f"tried {self.host}, which was read before: {text}. Now there is {self._unusable}."
        if " is forbidden: User " in text:
            to_do = "Does the Role in manifests/base grant it in NAMESPACE? `check` names each missing right."
        elif status in (401, 403):
            to_do = "Is the token or certificate still valid, and is it for this cluster?"
        elif (status == 429 or status >= 500) and not isinstance(error, UnusableAnswer):
            to_do = "It answers, so its own log says why it cannot serve."
        elif not status and _OF_FILES.search(text):
            to_do = f"Are the certificates and the key of {self._source()} there, and for this cluster?"
        else:
            to_do = f"Is it running, and is the address in {self._source()} right?"
        return f"tried {self.host}: {text}{'' if text.endswith('?') else '.'} {to_do}"

    def _source(self) -> str:
        if self._kubeconfig:
            return f"KUBECONFIG ({self._kubeconfig})"
        return "the pod's environment" if in_cluster() else _DEFAULT_FILE

    def pool(self) -> urllib3.PoolManager:
        """The shared connections. Raises KubernetesUnavailable if no configuration can be read."""
        if self._pool is None:
            self._read(self._load_first)
        return self._pool  # type: ignore[no-any-return]

    def url(self, path: str) -> str:
        self.pool()
        return str(self._configuration.host).rstrip("/") + path

    def headers(self) -> dict[str, str]:
        """The Authorization header, if the configuration has one. The client refreshes tokens that expire.

        Raises KubernetesUnavailable if the credentials cannot be read."""
        self.pool()
        return self._read(self._headers)

    def headers_at_once(self) -> dict[str, str] | None:
        """The same without waiting, and without running a plugin.

        ``None`` if a plugin tells the token, or another thread reads the credentials. Raises nothing."""
        if not self._lock.acquire(blocking=False):
            return None
        try:
            return self._headers() if self._at_once else None
        except KubernetesUnavailable:
            return None
        finally:
            self._lock.release()

    def _headers(self) -> dict[str, str]:
        """Under the lock."""
        try:
            settings = self._configuration.auth_settings()
        except Exception as error:
            raise KubernetesUnavailable(f"the credentials cannot be read: {error}") from error
        for setting in settings.values():
            if setting["in"] == "header" and setting["value"]:
                return {str(setting["key"]).title(): _header(str(setting["value"]))}
        return {}

    def reload(self) -> None:
        """Read the credentials again after a 401, since tokens are rotated while this process runs."""
        self._read(self._load_again)

    def reload_if_changed(self) -> None:
        """The same after a server that could not be connected to, if the kubeconfig was written anew since it
        was read: it may name another server. Else the connections that there are stay."""
        if self._stamp and stamp(self._path()) not in ([], self._stamp):
            self.reload()

    def _path(self) -> str:
        return self._kubeconfig or os.path.expanduser(_DEFAULT_FILE)

    def _read(self, read: Callable[[], T]) -> T:
        """What ``read`` returns, under the lock.

        Where a program may tell the token, it has a thread of its own, since such a program may hang. Raises
        KubernetesUnavailable if it does; its thread goes on, and those of later calls end after that time."""
        if self._at_once:
            with self._lock:
                return read()
        result: Future[T] = Future()

        def run() -> None:
            if self._lock.acquire(timeout=PROGRAM_SECONDS):
                try:
                    result.set_result(read())
                except Exception as error:  # noqa: BLE001  it is raised in the thread that asked
                    result.set_exception(error)
                finally:
                    self._lock.release()

        try:
            threading.Thread(target=run, name="credentials", daemon=True).start()
        except RuntimeError as error:  # a moment without threads
            raise KubernetesUnavailable(f"the credentials cannot be read: {error}", unsent=True) from error
        try:
            return result.result(PROGRAM_SECONDS)
        except TimeoutError:
            raise KubernetesUnavailable(
                f"the credentials of {self._source()} were not read within {PROGRAM_SECONDS:g} s: {_HANGS}",
                unsent=True,
            ) from None

    def _load_first(self) -> None:
        if self._pool is None:
            self._load()

    def _load_again(self) -> None:
        if time.monotonic() - self._tried_at < RELOAD_SECONDS:
            return
        self._unusable = ""
        try:
            self._load()
        except KubernetesUnavailable as error:
            self._unusable = str(error)
            raise

    def _load(self) -> None:
        try:
            self._read_files()
        finally:  # when it is over, as a program that tells the token may take long
            self._tried_at = time.monotonic()

    def _read_files(self) -> None:
        configuration: Any = Configuration()
        path = self._path()
        inside = not self._kubeconfig and in_cluster()
        # Unlike Path.exists, this takes a home that we may not enter for one without the file.
        found = "" if inside else files(path)
        stamped = [] if inside else stamp(path)  # before it is read: what is written meanwhile is read again
        if not inside and not found:
            if self._kubeconfig:
                raise KubernetesUnavailable(f"no usable Kubernetes configuration: {path} is no file any more")
            raise KubernetesUnavailable(
                "no Kubernetes configuration: KUBECONFIG is not set, no service account's token is mounted, "
                f"and there is no {path}"
            )
        configuration.retries = False
        configuration.connection_pool_maxsize = self._connections
        try:
            if inside:
                kube_config.load_incluster_config(client_configuration=configuration)
                at_once, context = True, None
            else:
                read = loader(found, self._context)
                read.load_and_set(configuration)
                context = context_of(read)
                # Where there is a hook, it may run the plugin each time that the token is asked for.
                at_once = configuration.refresh_api_key_hook is None or not has_plugin(read)
            made = pool(configuration)
        except Exception as error:
            source = "the service account" if inside else path
            raise KubernetesUnavailable(
                f"no usable Kubernetes configuration in {source}: {fault(error)}"
            ) from error
        self._configuration = configuration  # before the pool: who sees the new pool must see its host
        self._pool = made
        self._at_once = at_once
        self._stamp = stamped
        self._context = context
