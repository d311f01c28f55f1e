"""Checks whether the settings fit a Redis Cluster, where all keys of a script must be in one hash slot."""

from __future__ import annotations

import re

from ottoscaler.config.settings import Settings

_TAG = re.compile(r"\{([^}]*)\}")


def hash_tag(name: str) -> str:
    """The part of a key that alone decides on its slot; '' if the whole key does."""
    found = _TAG.search(name)
    return found[1] if found else ""


def cluster_problem(settings: Settings) -> str:
    """Why a Redis Cluster cannot be used with these settings, in one sentence; '' if it can."""
    if settings.redis_url.startswith("unix://"):
        return (
            "this Redis is a Redis Cluster, whose nodes cannot be followed over a Unix socket: use redis:// "
            "or rediss:// in REDIS_URL"
        )
    names = {
        "REDIS_STREAM": settings.redis_stream,
        "REDIS_RESULTS_STREAM": settings.redis_results_stream,
        "REDIS_DEAD_STREAM": settings.redis_dead_stream,
    }
    tags = {hash_tag(name) for name in names.values()}
    if len(tags) == 1 and tags != {""}:
        return ""
    shared = next(iter(sorted(tags - {""})), "") or re.sub(r"[{}]", "", names["REDIS_STREAM"]).split(":")[0]
    would_do = ", ".join(f"{variable}={_tagged(name, shared)}" for variable, name in names.items())
    return (
        "this Redis is a Redis Cluster, where our three streams must share a hash tag, as an event's steps "
        f"are atomic over several keys: set {would_do}"
    )


def _tagged(name: str, tag: str) -> str:
    plain = re.sub(r"[{}]", "", name)
    rest = plain.removeprefix(tag)
    return f"{{{tag}}}{rest}" if rest != plain and rest.startswith(":") else f"{{{tag}}}:{plain}"
