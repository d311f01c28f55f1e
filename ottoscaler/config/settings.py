"""The settings, one line each (DESIGN.md 3.1): to add one, add a line.

:mod:`ottoscaler.config.kinds` says what each kind of value accepts, :mod:`ottoscaler.config.load` reads them
from the environment.
"""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from ottoscaler.config import kinds, redis_url
from ottoscaler.config.kinds import Spec, setting, show

SERVICE_ACCOUNT_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
YEAR = 365 * 86_400

# These names are other people's conventions too, so they carry no OTTO_.
_WITHOUT_PREFIX = ("redis_", "kubeconfig", "namespace", "pod_uid")


_ADDRESSES = ("redis_host", "redis_port", "redis_db", "redis_sentinels")


def _own_namespace() -> str:
    try:
        return SERVICE_ACCOUNT_NAMESPACE.read_text(encoding="utf-8").strip() or "default"
    except OSError:
        return "default"


def _as_pattern(image: str) -> str:
    """The one image that a reference means: as a pattern, a name without a tag would allow any tag."""
    named = "@" in image or ":" in image.rpartition("/")[2]
    return image if named else f"{image}:latest"


@dataclass(frozen=True, slots=True, repr=False, kw_only=True)
class Settings:
    """All settings. An attribute is named as its variable, in lower case and without ``OTTO_``.

    ``Settings()`` has every default; :func:`ottoscaler.config.load.load` is the way from an environment and
    the only one that checks. Its ``repr`` shows no secret.
    """

    redis_url: str = setting(
        kinds.REDIS_URL, "", "whole URL (`redis://`, `rediss://`, `unix://`); wins over the single parts"
    )
    redis_host: str = setting(kinds.HOST, "localhost", "Redis's host")
    redis_port: int = setting(kinds.port(1), 6379, "Redis's port")
    redis_db: int = setting(kinds.whole(0, 999_999_999), 0, "the number of Redis's database")
    redis_username: str = setting(kinds.TEXT, "", "the ACL user; without it, `default`")
    redis_password: str = setting(kinds.TEXT, "", "never logged, never in `repr`", secret=True)
    redis_tls_ca_file: str = setting(
        kinds.FILE, "", "whom to trust; any of the three turns TLS on where there is no URL"
    )
    redis_tls_cert_file: str = setting(kinds.FILE, "", "the client certificate, with its key")
    redis_tls_key_file: str = setting(kinds.FILE, "", "the client certificate's key")
    redis_sentinels: tuple[tuple[str, int], ...] = setting(
        kinds.SENTINELS, (), "`host:port,host:port` of the Sentinels to ask for the master"
    )
    redis_sentinel_master: str = setting(
        kinds.word("a name"), "", "the name under which the Sentinels know the master"
    )
    redis_stream: str = setting(
        kinds.word("a key"), "otto:scale:events", "the stream that events are read from"
    )
    redis_results_stream: str = setting(
        kinds.word("a key"), "otto:scale:results", "the stream that finished workers and events are told on"
    )
    redis_dead_stream: str = setting(
        kinds.word("a key"), "otto:scale:dead", "the stream for events that cannot be carried out"
    )
    redis_consumer_group: str = setting(
        kinds.word("a name"), "ottoscaler", "the group, created at `0`; replicas in one group share the work"
    )
    redis_consumer: str = setting(
        kinds.word("a name"),
        socket.gethostname,
        "this replica's name in the group; one per replica",
        shown_default="the host name (the pod's name)",
    )
    kubeconfig: str = setting(
        kinds.KUBECONFIG,
        "",
        "how to reach Kubernetes; set, it wins over the in-cluster configuration",
        shown_default="in-cluster if there, else `~/.kube/config`",
    )
    namespace: str = setting(
        kinds.DNS_LABEL,
        _own_namespace,
        "where workers run",
        shown_default="the service account's, else `default`",
    )
    pod_uid: str = setting(
        kinds.word("a UID"),
        "",
        "this pod's UID by the downward API; optional: with it, a container that was restarted in its pod "
        "takes its events back at once instead of after a lease",
    )
    instance: str = setting(
        kinds.DNS_LABEL,
        "",
        "in every Pod's name and labels; set it where two installations in one namespace use the same "
        "database number, stream and group of different Redis servers",
        shown_default="derived from database, stream and group",
    )
    agent_image: str = setting(kinds.IMAGE, "busybox:latest", "the worker's image")
    templates_dir: str = setting(
        kinds.DIRECTORY,
        "",
        "Pod templates, `default.yaml` and one file per profile",
        shown_default="the built-in template",
    )
    allowed_images: tuple[str, ...] = setting(
        kinds.IMAGE_PATTERNS,
        (),
        "comma-separated patterns for an event's `image`; compared after normalising, `*` stops at `/`, "
        "tag and digest are matched apart; a pattern with neither allows every tag and digest",
        shown_default="`OTTO_AGENT_IMAGE` only",
    )
    max_workers: int = setting(kinds.whole(1, 10_000), 100, "workers of this replica at one time")
    max_pods_per_event: int = setting(
        kinds.whole(1, 100_000), 1000, "above it an event is dead-lettered, never clamped"
    )
    max_event_bytes: int = setting(
        # An event's parts end in a Pod, and etcd takes no object above 1.5 MiB.
        kinds.whole(1, 1_048_576), 65536, "above it an event is dead-lettered"
    )  # fmt: skip
    max_events_in_hand: int = setting(
        kinds.whole(1, 1000), 16, "events read whose workers have not all started"
    )
    poll_seconds: float = setting(
        # Above 10 s a healthy listener would look stuck to /healthz, which allows 15 s.
        kinds.seconds(0.1, 10),
        2.0,
        "the XREADGROUP block, and the fallback poll while the watch is unhealthy",
    )
    worker_timeout_seconds: float = setting(
        kinds.seconds(0.1, YEAR),
        3600.0,
        "run limit of a worker whose event names none, counted from the container's start",
    )
    pending_timeout_seconds: float = setting(kinds.seconds(0.1, YEAR), 900.0, "from creation to running")
    max_timeout_seconds: int = setting(
        kinds.whole_seconds(1, YEAR), 86400, "the longest run limit that an event may ask for"
    )
    max_cpu: str = setting(kinds.QUANTITY, "8", "the most CPU that an event may ask for")
    max_memory: str = setting(kinds.QUANTITY, "32Gi", "the most memory that an event may ask for")
    max_event_retries: int = setting(kinds.whole(0, 100), 10, "the most retries that an event may ask for")
    max_retries: int = setting(
        kinds.whole(0, 100),
        2,
        "new attempts of a worker whose event names no number, for infrastructure failures only",
    )
    failed_pod_ttl_seconds: float = setting(
        kinds.seconds(0, 7 * 86_400), 0.0, "keep a failed Pod so long for a look at it (it holds no slot)"
    )
    lease_seconds: float = setting(
        kinds.seconds(0.5, 3600), 30.0, "how long a silent replica keeps its events"
    )
    shutdown_grace_seconds: float = setting(
        kinds.seconds(0, 7 * 86_400), 600.0, "how long a stop waits for running workers"
    )
    retention_seconds: float = setting(
        kinds.seconds(1, 10 * YEAR), 86400.0, "from an event's end: its ledger, its stream entry, its results"
    )
    results_maxlen: int = setting(
        kinds.whole(1, 100_000_000), 100_000, "entries kept in the results stream at most"
    )
    dead_retention_seconds: float = setting(
        kinds.seconds(1, 10 * YEAR), 2_592_000.0, "how long a dead letter is kept"
    )
    kube_qps: float = setting(
        kinds.decimal(0.1, 100_000),
        500.0,
        "calls to the API server in a second; adaptive below that on 429 and slow answers",
    )
    kube_burst: int = setting(kinds.whole(1, 100_000), 1000, "calls to the API server at once after a rest")
    http_address: str = setting(
        kinds.HOST, "", "where `/metrics`, `/healthz` and `/readyz` listen", shown_default="all"
    )
    http_port: int = setting(kinds.port(0), 9090, "their port; `0` turns them off")
    log_level: str = setting(
        kinds.choice("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", WARN="WARNING"),
        "INFO",
        "the least level logged",
    )
    log_format: str = setting(kinds.choice("json", "text"), "json", "`json`, or `text` for people")

    warnings: tuple[str, ...] = ()
    """Sentences about values that were taken, but hardly meant so."""

    def __post_init__(self) -> None:
        if not self.allowed_images:
            object.__setattr__(self, "allowed_images", (_as_pattern(self.agent_image),))
        if not self.instance:
            object.__setattr__(self, "instance", self._derived_instance())

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={shown_value(self, name)!r}" for name in NAMES)
        return f"Settings({shown})"

    @property
    def database(self) -> int:
        """The number of Redis's database, from the URL where there is one."""
        return redis_url.database(self.redis_url) if self.redis_url else self.redis_db

    @property
    def redis_tls(self) -> bool:
        """Whether the connection to Redis is to be encrypted."""
        if self.redis_url:
            return self.redis_url.startswith("rediss://")
        return bool(self.redis_tls_ca_file or self.redis_tls_cert_file or self.redis_tls_key_file)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must appear in no log, in every spelling it may have."""
        return tuple({self.redis_password, *redis_url.secrets(self.redis_url)} - {""})

    def _derived_instance(self) -> str:
        # Not the host: one Redis has many names, and an instance that changed with them would leave the
        # running Pods behind. NUL cannot stand in a name, so no two triples join to one text.
        text = "\0".join((str(self.database), self.redis_stream, self.redis_consumer_group))
        return hashlib.sha256(text.encode()).hexdigest()[:10]


def variable(attribute: str) -> str:
    """The environment variable of an attribute of :class:`Settings`."""
    name = attribute.upper()
    return name if attribute.startswith(_WITHOUT_PREFIX) else f"OTTO_{name}"


SPECS: Mapping[str, Spec] = {each.name: each.metadata["spec"] for each in fields(Settings) if each.metadata}
NAMES: tuple[str, ...] = tuple(SPECS)


def shown_value(settings: Settings, attribute: str) -> str:
    """The value of a setting as text, with ``***`` for what is secret in it."""
    return masked(attribute, show(getattr(settings, attribute)))


def masked(attribute: str, text: str) -> str:
    """A setting's text with ``***`` for what is secret in it."""
    if SPECS[attribute].secret:
        return redis_url.MASK if text else ""
    if attribute == "redis_url":
        return redis_url.mask(text)
    # Somebody may have written a whole URL there.
    return redis_url.mask_address(text) if attribute in _ADDRESSES else text
