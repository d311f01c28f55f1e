"""The settings, one line each (docs/settings.md): to add one, add a line.

:mod:`ottoscaler.config.kinds` says what each kind of value accepts, :mod:`ottoscaler.config.load` reads them
from the environment.
"""

from __future__ import annotations

import hashlib
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

from ottoscaler.config import kinds, redis_url
from ottoscaler.config.kinds import Spec, setting, show
from ottoscaler.model import MOST_WORKERS
from ottoscaler.telemetry.redaction import MASK

SERVICE_ACCOUNT_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
YEAR = 365 * 86_400
KUBE_QPS = 500.0
UNSET_QPS_RISES = 8.0  # times: to 4,000 calls/s, more than one replica's creates can use

# Other programs use these names too, so they have no OTTO_ prefix.
_WITHOUT_PREFIX = ("redis_", "kubeconfig", "namespace", "pod_uid")


_ADDRESSES = ("redis_host", "redis_port", "redis_db", "redis_sentinels")


def _own_namespace() -> str:
    try:
        return SERVICE_ACCOUNT_NAMESPACE.read_text(encoding="utf-8").strip() or "default"
    except OSError:
        return "default"


def _log_format() -> str:
    return "text" if sys.stderr.isatty() else "json"


def _as_pattern(image: str) -> str:
    """The one image that a reference means: as a pattern, a name without a tag would allow any tag."""
    named = "@" in image or ":" in image.rpartition("/")[2]
    return image if named else f"{image}:latest"


@dataclass(frozen=True, slots=True, repr=False, kw_only=True)
class Settings:
    """All settings. An attribute has its variable's name in lower case, without ``OTTO_``.

    ``Settings()`` has every default. Only :func:`ottoscaler.config.load.load` checks values. The ``repr``
    shows no secret.
    """

    redis_url: str = setting(
        kinds.REDIS_URL,
        "",
        "the whole URL (`redis://`, `rediss://`, `unix://`); of the other connection settings, only "
        "`REDIS_PASSWORD_FILE` and, with `rediss://`, the three `REDIS_TLS_` files then count",
    )
    redis_host: str = setting(kinds.HOST, "localhost", "Redis's host")
    redis_port: int = setting(kinds.port(1), 6379, "Redis's port")
    redis_db: int = setting(kinds.whole(0, 999_999_999), 0, "the number of Redis's database")
    redis_username: str = setting(kinds.TEXT, "", "the ACL user; `default` if empty")
    redis_password: str = setting(kinds.TEXT, "", "never logged, never in `repr`", secret=True)
    redis_password_file: str = setting(
        kinds.FILE,
        "",
        "a file with the password, read again at every connect; wins over `REDIS_PASSWORD` and `REDIS_URL`'s",
    )
    redis_tls_ca_file: str = setting(
        kinds.FILE,
        "",
        "the CA certificates to trust; without `REDIS_URL`, any of the three TLS files turns TLS on",
    )
    redis_tls_cert_file: str = setting(kinds.FILE, "", "the client certificate")
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
        kinds.word("a key"), "otto:scale:results", "the stream for the results of workers and events"
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
        "this replica's name in the group; each replica needs its own",
        shown_default="the host name (the pod's name)",
    )
    kubeconfig: str = setting(
        kinds.KUBECONFIG,
        "",
        "the kubeconfig file; if set, it is used instead of the in-cluster configuration",
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
        "this pod's UID from the downward API; with it, a container that was restarted in its pod takes its "
        "events back at once instead of after a lease",
    )
    instance: str = setting(
        kinds.DNS_LABEL,
        "",
        "part of every Pod's name and labels; set it if two installations in one namespace use the same "
        "database number, stream and group on different Redis servers",
        shown_default="derived from database, stream and group",
    )
    agent_image: str = setting(kinds.IMAGE, "busybox:latest", "the worker's image")
    templates_dir: str = setting(
        kinds.DIRECTORY,
        "",
        "Pod templates, `default.yaml` and one file per profile; a change is taken up within 5 s",
        shown_default="the built-in template",
    )
    allowed_images: tuple[str, ...] = setting(
        kinds.IMAGE_PATTERNS,
        (),
        "patterns for an event's `image`; names are normalised before they are compared; tag and digest are "
        "matched separately, and a pattern with neither allows every tag and digest",
        shown_default="`OTTO_AGENT_IMAGE` only",
    )
    unknown_fields: Literal["suspect", "metadata", "refuse"] = setting(
        kinds.choice("suspect", "metadata", "refuse"),
        "suspect",
        "a field that is not in docs/events.md: `metadata` takes it for metadata, `refuse` refuses it, "
        "`suspect` refuses it if it reads like a known field misspelt; `meta:NAME` is metadata always",
    )
    max_workers: int = setting(kinds.whole(1, 10_000), 100, "the most workers of this replica at one time")
    max_pods_per_event: int = setting(
        kinds.whole(1, MOST_WORKERS),
        1000,
        "the most workers of one event; an event with more is dead-lettered",
    )
    max_event_bytes: int = setting(
        # An event's parts end in a Pod, and etcd takes no object above 1.5 MiB.
        kinds.whole(1, 1_048_576), 65536, "the largest event; a larger one is dead-lettered"
    )  # fmt: skip
    max_events_in_hand: int = setting(
        kinds.whole(1, 1000), 16, "the most events that are read and whose workers have not all started"
    )
    max_events_waiting: int = setting(
        kinds.whole(1, 100_000),
        500,
        "the most events of this replica that wait for a retry; with so many, it reads nothing more and "
        "takes over only what dead replicas leave",
    )
    poll_seconds: float = setting(
        # Above 10 s a healthy listener would look stuck to /healthz, which allows 15 s.
        kinds.seconds(0.1, 10),
        2.0,
        "how long XREADGROUP blocks, and how often Pods are polled while the watch is unhealthy",
    )
    worker_timeout_seconds: float = setting(
        kinds.seconds(0.1, YEAR),
        3600.0,
        "the default run limit, counted from the container's start",
    )
    pending_timeout_seconds: float = setting(
        kinds.seconds(0.1, YEAR), 900.0, "how long a Pod may take from its creation until it runs"
    )
    max_timeout_seconds: int = setting(
        kinds.whole_seconds(1, YEAR), 86400, "the longest run limit that an event may ask for"
    )
    max_cpu: str = setting(kinds.QUANTITY, "8", "the most CPU that an event may ask for")
    max_memory: str = setting(kinds.QUANTITY, "32Gi", "the most memory that an event may ask for")
    max_event_retries: int = setting(kinds.whole(0, 100), 10, "the most retries that an event may ask for")
    max_retries: int = setting(
        kinds.whole(0, 100),
        2,
        "the default number of retries, for infrastructure failures only",
    )
    failed_pod_ttl_seconds: float = setting(
        kinds.seconds(0, 7 * 86_400), 0.0, "how long a failed Pod is kept for inspection; it holds no slot"
    )
    succeeded_pod_ttl_seconds: float = setting(
        kinds.seconds(0, 7 * 86_400), 0.0, "the same of a Pod whose worker succeeded"
    )
    logs: str = setting(
        kinds.choice("off", "failed", "all"),
        "failed",
        "whose logs are kept in Redis after their Pods: `failed` workers', also of attempts that are tried "
        "again, or `all`, cancelled ones as well; an event's `logs` may ask for less",
    )
    max_logs: str = setting(
        kinds.choice("off", "failed", "all"), "all", "the most that an event's `logs` may ask for"
    )
    log_bytes: int = setting(
        kinds.whole(1024, 4 << 20),
        65536,
        "the last bytes that are kept of one worker's log, before compression",
    )
    logs_total_bytes: int = setting(
        kinds.whole(65_536, 1 << 40),
        64 << 20,
        "the most bytes of all kept logs, compressed, and 256 for the key of each; the oldest go first",
    )
    lease_seconds: float = setting(
        kinds.seconds(0.5, 3600), 30.0, "how long a replica without heartbeats keeps its events"
    )
    shutdown_grace_seconds: float = setting(
        kinds.seconds(0, 7 * 86_400), 600.0, "how long a stop waits for running workers"
    )
    retention_seconds: float = setting(
        kinds.seconds(1, 10 * YEAR),
        86400.0,
        "how long an event's ledger, stream entry and results are kept after its end",
    )
    results_maxlen: int = setting(
        kinds.whole(1, 100_000_000), 100_000, "the most entries kept in the results stream"
    )
    results_max_bytes: int = setting(
        kinds.whole(65_536, 1 << 40),
        64 << 20,
        "the most bytes kept in the results stream; the oldest entries go first",
    )
    dead_retention_seconds: float = setting(
        kinds.seconds(1, 10 * YEAR), 2_592_000.0, "how long a dead letter is kept"
    )
    dead_max_bytes: int = setting(
        kinds.whole(65_536, 1 << 40),
        64 << 20,
        "the most bytes kept in the dead-letter stream; the oldest go first, the newest 100 stay",
    )
    kube_qps: float = setting(
        kinds.decimal(0.1, 100_000),
        KUBE_QPS,
        "the most API server calls in a second; fewer while it answers 429, 503 or slowly. If it is not set, "
        "the rate begins at the default, and rises to eight times as much while many calls come and answers "
        "are quick",
    )
    kube_burst: int = setting(
        kinds.whole(1, 100_000),
        1000,
        "the most API server calls in a burst after idle time; deletes and reads may exceed it by as much",
    )
    kube_create_seconds: float = setting(
        kinds.seconds(1, 600),
        60.0,
        "how long one create may take; it passes every admission webhook, each of which may take 30 s. "
        "The API server is told, but many end a create after 34 s all the same",
    )
    start_gate: bool = setting(
        kinds.FLAG,
        False,
        "`true`: no container starts before Redis knows its Pod; needs Kubernetes 1.27 and the verb `patch`",
    )
    one_cpu: bool = setting(
        kinds.FLAG,
        False,
        "`true`: the service keeps to one CPU, chosen at random at its start; large bursts then cost less "
        "(docs/scaling.md)",
    )
    image_pull_grace_seconds: float = setting(
        kinds.seconds(0, 86400),
        30.0,
        "how long an image may fail to be pulled before its Pod is given up; an event cannot change it",
    )
    http_address: str = setting(
        kinds.HOST, "", "the address of `/metrics`, `/healthz` and `/readyz`", shown_default="all"
    )
    http_port: int = setting(
        kinds.port(0), 9090, "the port of `/metrics`, `/healthz` and `/readyz`; `0` turns them off"
    )
    status_page: str = setting(
        kinds.choice("local", "all", "off"),
        "local",
        "who sees the status page at `/` on that port: `local` (loopback, so `kubectl port-forward` too), "
        "`all` (put an authenticating proxy before it, docs/page.md) or nobody",
    )
    log_level: str = setting(
        kinds.choice("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", WARN="WARNING"),
        "INFO",
        "the lowest level that is logged",
    )
    log_format: str = setting(
        kinds.choice("json", "text"),
        _log_format,
        "`json`, or `text` for people",
        shown_default="`json`; where standard error is a terminal, `text`",
    )

    warnings: tuple[str, ...] = ()
    """Warnings about values that are accepted but probably a mistake."""

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
        """The number of the Redis database, from the URL if there is one."""
        return redis_url.database(self.redis_url) if self.redis_url else self.redis_db

    @property
    def redis_tls(self) -> bool:
        """Whether the connection to Redis is encrypted."""
        if self.redis_url:
            return self.redis_url.startswith("rediss://")
        return bool(self.redis_tls_ca_file or self.redis_tls_cert_file or self.redis_tls_key_file)

    @property
    def kube_most_qps(self) -> float:
        """How far the rate of calls may rise. What an operator set is the most."""
        return self.kube_qps * UNSET_QPS_RISES if self.kube_qps == KUBE_QPS else self.kube_qps

    @property
    def secrets(self) -> tuple[str, ...]:
        """The secrets that must appear in no log, in every spelling that they may have."""
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
        return MASK if text else ""
    if attribute == "redis_url":
        return redis_url.mask(text)
    if attribute.endswith("_file") and "\n" in text:  # no path, but a key itself
        return MASK
    # Somebody may have written a whole URL there.
    return redis_url.mask_address(text) if attribute in _ADDRESSES else text
