"""Finds unknown fields of an event whose names look like those of known fields (docs/events.md).

Such a field would be taken for metadata, and the event would not run what its producer meant. The names that
other systems use are data in this module; docs/events.md shows the same table.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache

from ottoscaler.events.values import MAX_SHOWN, shown
from ottoscaler.tables import markdown

META = "meta:"  # the rest of such a field's name is a metadata name, whatever it looks like
MOST_NAMED = 8  # unknown fields of one event that the error names
SHORT = 4  # letters; a name as short as this is one letter away from many other words

OTHER_WORDS: Mapping[str, tuple[str, ...]] = {
    "type": ("action", "event", "event_type", "kind", "op", "operation"),
    "pod_count": (
        "completions", "count", "desired_count", "instance_count", "instances", "num_pods", "num_workers",
        "parallelism", "pods", "replica_count", "replicas", "worker_count", "workers",
    ),
    "task_id": ("task", "task_arn", "task_name"),
    "image": ("container_image", "docker_image", "image_name", "image_url", "img"),
    "command": ("cmd", "entrypoint", "script"),
    "args": ("arg", "arguments", "argv"),
    "env": ("env_vars", "environ", "environment", "environment_variables", "variables"),
    "cpu": ("cores", "cpu_limit", "cpu_request", "n_cpus", "num_cpus", "vcpu", "vcpus"),
    "memory": ("mem", "mem_limit", "memory_limit", "memory_mb", "memory_request", "ram"),
    "profile": ("flavor", "flavour", "instance_type", "machine_type", "pod_template", "template"),
    "timeout_seconds": (
        "active_deadline_seconds", "max_runtime", "run_limit", "time_limit", "timeout", "timeout_in_minutes",
        "timeout_minutes", "timeout_ms", "timeout_s", "timeout_sec",
    ),
    "max_retries": ("backoff_limit", "max_attempts", "max_retry_count", "retries", "retry", "retry_count"),
    "dedup_key": (
        "dedup", "dedup_id", "deduplication_id", "deduplication_key", "idempotency_key",
        "message_deduplication_id",
    ),
    "priority": ("prio",),
    "expires_at": ("expiration", "expire", "expires", "expires_in", "expiry", "ttl", "valid_until"),
    "logs": ("keep_logs", "save_logs"),
    "running": ("keep_running",),
}  # fmt: skip

SELECTS = "a scale_down selects workers by task_id, pod_count and running=keep"

NO_FIELD: Mapping[str, tuple[str, ...]] = {
    "where its workers run is the operator's setting NAMESPACE": ("namespace",),
    "the operator's template sets those of the Pod; what is to be told about an event is metadata": (
        "annotations", "labels", "pod_labels",
    ),
    "Ottoscaler names the Pods; task_id is the name to find them by": ("pod_name",),
    "the operator's template sets it, and an event chooses a template by profile": (
        "affinity", "containers", "gpu", "gpus", "host_network", "image_pull_policy", "image_pull_secrets",
        "init_containers", "node_name", "node_selector", "ports", "priority_class", "priority_class_name",
        "privileged", "restart_policy", "runtime_class", "runtime_class_name", "security_context",
        "service_account", "service_account_name", "sidecars", "tolerations", "volume_mounts", "volumes",
    ),
    "use cpu and memory": ("limits", "requests", "resources"),
    SELECTS: ("label_selector", "selector"),
    "begin the command with cd": ("work_dir", "working_dir", "working_directory"),
    "an event is carried out as soon as there is room": ("cron", "delay", "delay_seconds", "schedule"),
}  # fmt: skip

_NO_LETTER = re.compile(r"[\W_]+")
_VARIABLES = re.compile(r"\s*(\{|\[|[A-Za-z_][A-Za-z0-9_]*=)")
# A short name that is one letter off (log, end, tape) counts as a field's only if the value fits that field.
_VALUES = {
    "type": re.compile(r"scale_?(up|down)", re.IGNORECASE),
    "env": _VARIABLES,
    "args": re.compile(r"\s*\["),
    "logs": re.compile(r"off|failed|all"),
}


def _folded(name: str) -> str:
    """``name`` in one form for all its spellings, such as podCount, POD-COUNT and pod_count."""
    return _NO_LETTER.sub("", name.lower())


_MEANT = {_folded(word): field for field, words in OTHER_WORDS.items() for word in words}
_WHY_NOT = {_folded(word): why for why, words in NO_FIELD.items() for word in words}


def problems(
    unknown: Mapping[str, str], fields: Collection[str], *, type_given: bool, refuse: bool
) -> list[str]:
    """A sentence for each unknown field whose name looks like one of ``fields``; with ``refuse``, for every
    unknown field.

    At most :data:`MOST_NAMED` fields are named, and no values. Any thread; linear in the names' length.
    """
    found: list[str] = []
    more = 0
    alike = _by_length(tuple(fields))
    for name, value in unknown.items():
        if name.startswith(META):
            continue
        problem = _problem(name, value, fields, alike, type_given)
        if problem is None and refuse:
            problem = f"not a field of this event; for metadata, write {_as_meta(name)}"
        if problem is None:
            continue
        if len(found) < MOST_NAMED:
            found.append(f"{_told(name)}: {problem}")
        else:
            more += 1
    return [*found, f"and {more} fields more that are not known"] if more else found


def mark_problems(fields: Mapping[str, str], given: Collection[str]) -> list[str]:
    """Sentences for wrong uses of the prefix ``meta:``. ``fields`` are an event's unknown fields, and
    ``given`` are the names of its known ones."""
    wrong = []
    for name in fields:
        bare = name.removeprefix(META)
        if name == META:
            wrong.append(f"{META}: no name; expected {META}NAME")
        elif bare != name and (bare in fields or bare in given):
            wrong.append(f"{_told(name)}: given together with {_told(bare)}; expected one of them")
    return wrong[:MOST_NAMED]


def render_table() -> str:
    """The names of other systems in Markdown. docs/events.md has this table; a unit test compares the two."""
    rows = [(_words(words), f"`{field}`") for field, words in OTHER_WORDS.items()]
    rows += [(_words(words), f"an event cannot set it: {why}") for why, words in NO_FIELD.items()]
    return markdown(("instead of", "write"), rows)


@lru_cache(maxsize=8)
def _by_length(fields: tuple[str, ...]) -> Mapping[int, Sequence[tuple[str, str]]]:
    """The fields, each with its folded name, by each length that a name may have to look like it."""
    found: dict[int, list[tuple[str, str]]] = {}
    for field in fields:
        fold = _folded(field)
        for length in (len(fold) - 1, len(fold), len(fold) + 1):
            found.setdefault(length, []).append((field, fold))
    return found


def _problem(
    name: str,
    value: str,
    fields: Collection[str],
    alike: Mapping[int, Sequence[tuple[str, str]]],
    type_given: bool,
) -> str | None:
    """The words that follow an unknown name in an error: what to write instead. ``None`` for plain
    metadata."""
    if name[: len(META)].lower() == META:
        return f"did you mean {_as_meta(name[len(META) :])}?"
    folded = _folded(name)
    meant = _MEANT.get(folded)
    # environment=production is good metadata: it names a deployment, and holds no variables.
    if (meant == "type" and type_given) or (folded == "environment" and not _VARIABLES.match(value)):
        meant = None
    if meant not in fields:
        near = alike.get(len(folded), ())
        meant = next((field for field, fold in near if _reads_like(folded, fold, value)), None)
    if meant:
        return f"not a field; did you mean {meant}? For metadata, write {_as_meta(name)}"
    if folded in _WHY_NOT:
        return f"an event cannot set it: {_WHY_NOT[folded]}. For metadata, write {_as_meta(name)}"
    return None


def _reads_like(name: str, field: str, value: str) -> bool:
    """Whether two folded names, at most one letter apart in length, are equal, one letter apart, or have two
    neighbours swapped."""
    if name == field:
        return True
    pairs = enumerate(zip(name, field, strict=False))
    at = next((i for i, (a, b) in pairs if a != b), min(len(name), len(field)))
    if name[at : at + 2] == field[at : at + 2][::-1] and name[at + 2 :] == field[at + 2 :] and name[at + 1 :]:
        return True
    if len(field) <= SHORT and name != field + "s" and not (field in _VALUES and _VALUES[field].match(value)):
        return False
    return field[at + 1 :] in (name[at:], name[at + 1 :]) or field[at:] == name[at + 1 :]


def _told(name: str) -> str:
    return name if len(name) <= MAX_SHOWN and re.fullmatch(r"[\w:.-]+", name, re.ASCII) else shown(name)


def _as_meta(name: str) -> str:
    return _told(META + (name or "NAME"))  # an empty name is none


def _words(words: Collection[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)
