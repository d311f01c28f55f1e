"""Finds the fields that an API server silently left out of a Pod, since it does not know them."""

from __future__ import annotations

from typing import Any


def dropped(sent: Any, kept: Any, path: str = "") -> list[str]:
    """Paths of the fields that are in ``sent`` and not in ``kept``. Any thread.

    Only presence counts, since defaults and admission change values. Empty values, ``false`` and 0 do not
    count, since the API server leaves them out of its answers. Items of a list are compared by name if they
    have names.
    """
    found: list[str] = []
    if isinstance(sent, dict) and isinstance(kept, dict):
        for name, value in sent.items():
            where = f"{path}.{name}" if path else name
            if name in kept:
                found += dropped(value, kept[name], where)
            elif value:
                found.append(where)
    elif isinstance(sent, list) and isinstance(kept, list):
        named = {item["name"]: item for item in kept if isinstance(item, dict) and "name" in item}
        for number, value in enumerate(sent):
            other = named.get(value.get("name")) if isinstance(value, dict) else None
            if other is None and len(kept) == len(sent):
                other = kept[number]
            found += dropped(value, other, f"{path}[{number}]")
    return found
