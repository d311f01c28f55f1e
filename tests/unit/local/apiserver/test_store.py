"""The store: versions, history, and what is forgotten."""

from __future__ import annotations

from typing import Any

from ottoscaler.local.apiserver.store import Event, Store


def named(name: str, **more: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "n"}, **more}


def test_every_write_raises_the_version_and_reaches_the_listeners() -> None:
    store, events = Store(), list[Event]()
    stop = store.subscribe("pods", events.append)
    store.create("pods", ("n", "a"), named("a"))
    store.update("pods", ("n", "a"), {**named("a"), "x": 1})
    store.remove("pods", ("n", "a"))
    store.create("nodes", ("", "b"), named("b"))
    stop()
    store.create("pods", ("n", "c"), named("c"))
    assert [event.type for event in events] == ["ADDED", "MODIFIED", "DELETED"]
    assert [event.version for event in events] == [2, 3, 4]


def test_equal_object_is_not_written() -> None:
    store = Store()
    entry = store.create("pods", ("n", "a"), named("a", x=1))
    same = {**entry.obj, "metadata": dict(entry.obj["metadata"])}
    assert store.update("pods", ("n", "a"), same) is entry
    assert store.version == entry.version


def test_the_past_can_be_listed_until_it_is_forgotten() -> None:
    store = Store(history_limit=3)
    store.create("pods", ("n", "a"), named("a"))
    version = store.version
    store.create("pods", ("n", "b"), named("b"))
    store.remove("pods", ("n", "a"))
    assert [key[1] for key, _ in store.items_at("pods", "n", version) or []] == ["a"]
    for name in "cde":
        store.create("pods", ("n", name), named(name))
    assert store.items_at("pods", "n", version) is None
    assert store.oldest > version


def test_compaction_forgets_everything_before() -> None:
    store = Store()
    store.create("pods", ("n", "a"), named("a"))
    before = store.version
    store.compact()
    assert store.oldest > before
    assert store.events_after(store.oldest, "pods") == []
