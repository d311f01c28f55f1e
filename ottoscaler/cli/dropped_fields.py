"""Which fields an API server left out of a Pod: those that it does not know, and did not say so."""

from __future__ import annotations

from typing import Any


def dropped(sent: Any, kept: Any, path: str = "") -> list[str]:
    """Paths of what was sent and is not in what came back. Any thread.

    Only presence counts, since defaults and admission change values. Empty values, ``false`` and 0 are passed
    over, for the API server leaves them out of what it writes. Items of a list are found by their names where
    they have some.
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
