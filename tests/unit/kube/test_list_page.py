"""A list's page is decoded Pod by Pod, however its bytes come; what is no list of Pods is never "no Pods"."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

from ottoscaler.errors import UnusableAnswer
from ottoscaler.kube import list_page
from ottoscaler.kube.list_page import page


def pod(name: str, **more: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "uid": f"u-{name}", **more}, "spec": {"n": [1, 2.5, None, True]}}


PODS = [pod("a"), pod("b", annotations={"note": 'é "quoted" \\ {]},: 字🚀'}), pod("c", fat="x" * 5000)]
DOCUMENT = {
    "kind": "PodList",
    "apiVersion": "v1",
    "metadata": {"resourceVersion": "77", "continue": "go-on", "remainingItemCount": 12},
    "items": PODS,
}


def name_of(item: dict[str, Any]) -> str:
    return str(item["metadata"]["name"])


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 1000, 10**6])
@pytest.mark.parametrize("layout", [{"separators": (",", ":")}, {"indent": 1}, {"ensure_ascii": False}])
def test_page_is_the_same_in_pieces_of_any_size(size: int, layout: dict[str, Any]) -> None:
    data = json.dumps(DOCUMENT, **layout).encode()
    assert page(pieces(data, size), lambda item: item) == (PODS, "77", "go-on")


def test_members_may_come_in_any_order_and_unknown_ones_are_passed_over() -> None:
    document = {"items": PODS, "more": {"items": [1]}, "n": 12, "metadata": {"resourceVersion": "5"}, "x": 1}
    data = json.dumps(document).encode()
    for size in (1, 5, 10**6):
        assert page(pieces(data, size), name_of) == (["a", "b", "c"], "5", "")


@pytest.mark.parametrize("items", ["null", "[]", "[ ]"])
def test_empty_list_is_empty(items: str) -> None:
    data = f'{{"metadata": {{"resourceVersion": "1", "continue": ""}}, "items": {items}}}\n'.encode()
    assert page(pieces(data, 4), name_of) == ([], "1", "")


def test_each_pod_is_handed_out_before_the_next_one_is_read() -> None:
    read: list[int] = []

    def one_by_one() -> Iterator[bytes]:
        yield b'{"metadata": {"resourceVersion": "1"}, "items": ['
        for number, one in enumerate(PODS):
            read.append(number)
            yield (b"," if number else b"") + json.dumps(one).encode()
        yield b"]}"

    seen = []
    page(one_by_one(), lambda item: seen.append((name_of(item), len(read))))
    assert seen == [("a", 1), ("b", 2), ("c", 3)]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"<html>please log in</html>",
        b'{"metadata": {"resourceVersion": "1"}}',
        b'{"metadata": {"resourceVersion": 1}, "items": []}',
        b'{"metadata": {"resourceVersion": ""}, "items": []}',
        b'{"metadata": [], "items": []}',
        b'{"items": []}',
        b'{"metadata": {"resourceVersion": "1"}, "items": [null]}',
        b'{"metadata": {"resourceVersion": "1"}, "items": {"a": 1}}',
        b'{"metadata": {"resourceVersion": "1"}, "items": [{"metadata": {"name": "a"}}]}',
        b'{"metadata": {"resourceVersion": "1"}, "items": []',
        b'{"metadata": {"resourceVersion": "1"}, "items": [] ]',
        b'{"metadata": {"resourceVersion": "1"}, "items": []} {}',
        b'{"metadata": {"resourceVersion": "1"} "items": []}',
        b'{"metadata": {"resourceVersion": "1"}, "items": [\xff]}',
        b'{"metadata": {"resourceVersion": "\xc3',
        b'{"metadata": {"resourceVersion": "1"}, "items": ' + b"[" * 100_000,
        b'{"metadata": {"resourceVersion": "7"}, "items": [{"metadata": {"name": "a", "uid": "u"}},]}',
        b'{"metadata": {"resourceVersion": "7"}, "items": [{"metadata": {"name": "a", "uid": "u"}}]}}',
        b'{"metadata": {"resourceVersion": "7", "x": {"items": []}}, "itms": []}',
        json.dumps(DOCUMENT).encode()[:-3000],
    ],
)
@pytest.mark.parametrize("size", [3, 10**6])
def test_what_is_no_list_of_pods_is_unusable(data: bytes, size: int) -> None:
    with pytest.raises(UnusableAnswer):
        page(pieces(data, size), name_of)


def test_text_without_an_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(list_page, "MOST_ANSWER", 10_000)

    def endless() -> Iterator[bytes]:
        yield b'{"metadata": "'
        while True:
            yield b"x" * 1000

    with pytest.raises(UnusableAnswer, match="too large"):
        page(endless(), name_of)


def test_page_holds_one_decoded_pod_at_a_time() -> None:
    fat = {"metadata": {"name": "a", "uid": "u", "annotations": {str(n): "x" * 20 for n in range(5000)}}}
    data = json.dumps({"metadata": {"resourceVersion": "7"}, "items": [fat] * 40}).encode()
    tracemalloc.start()
    try:
        page(pieces(data, 65536), name_of)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < len(data) / 2
