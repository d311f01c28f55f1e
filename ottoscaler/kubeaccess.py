"""Where the API server is and how to be let in: in-cluster, or a kubeconfig. Only pods.py uses this.

The Kubernetes client's configuration does what it is good at (kubeconfig, exec plugins, certificates,
token files); its request layer is passed over, since it has no default timeout, re-sends GET and DELETE on
its own and sleeps on 429.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import kubernetes.config
import urllib3
from kubernetes.client.configuration import Configuration
from kubernetes.client.rest import RESTClientObject

from ottoscaler.errors import KubernetesUnavailable

# The client ships annotations for its models, not for its loaders.
kube_config: Any = kubernetes.config

RELOAD_SECONDS = 5.0  # a 401 re-reads the credentials at most this often
_IN_CLUSTER = "KUBERNETES_SERVICE_HOST"


class Access:
    """A connection pool and the Authorization header for it. Thread-safe; loads at first use."""

    def __init__(self, kubeconfig: str, connections: int) -> None:
        self._kubeconfig = kubeconfig
        self._connections = connections
        self._lock = threading.Lock()
        self._configuration: Any = None
        self._pool: Any = None
        self._loaded_at = 0.0

    def __repr__(self) -> str:
        return f"Access({self.host})"

    @property
    def host(self) -> str:
        """The API server's address, for messages."""
        return str(self._configuration.host) if self._configuration else "not known yet"

    def pool(self) -> urllib3.PoolManager:
        """The shared connections. Raises KubernetesUnavailable where no configuration can be read."""
        if self._pool is None:
            with self._lock:
                if self._pool is None:
                    self._load()
        return self._pool  # type: ignore[no-any-return]

    def url(self, path: str) -> str:
        self.pool()
        return str(self._configuration.host).rstrip("/") + path

    def headers(self) -> dict[str, str]:
        """The Authorization header, if the configuration has one. The client refreshes what expires."""
        self.pool()
        with self._lock:
            try:
                settings = self._configuration.auth_settings()
            except Exception as error:
                raise KubernetesUnavailable(f"the credentials cannot be read: {error}") from error
        for setting in settings.values():
            if setting["in"] == "header" and setting["value"]:
                return {str(setting["key"]).title(): str(setting["value"])}
        return {}

    def reload(self) -> None:
        """Read the credentials again, after a 401: tokens are rotated under us."""
        with self._lock:
            if time.monotonic() - self._loaded_at >= RELOAD_SECONDS:
                self._load()

    def _load(self) -> None:
        configuration = Configuration()
        try:
            if self._kubeconfig or not os.environ.get(_IN_CLUSTER):
                path = self._kubeconfig or str(Path("~/.kube/config").expanduser())
                kube_config.load_kube_config(config_file=path, client_configuration=configuration)
            else:
                kube_config.load_incluster_config(client_configuration=configuration)
        except Exception as error:
            raise KubernetesUnavailable(f"no usable Kubernetes configuration: {error}") from error
        configuration.retries = False
        configuration.connection_pool_maxsize = self._connections
        pool = RESTClientObject(configuration).pool_manager
        self._configuration = configuration  # first: who sees the new pool must see its host
        self._pool = pool
        self._loaded_at = time.monotonic()
