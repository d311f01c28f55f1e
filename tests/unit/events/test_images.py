"""The image policy: what a pattern allows, and the names that try to get past it."""

from __future__ import annotations

import pytest

from ottoscaler.events.images import ImagePolicy, Reference, parse, repository

SHA = "sha256:" + "a" * 64


def test_each_pattern_says_which_tags_and_digests_it_allows() -> None:
    patterns = ["alpine", "team/*", "busybox:latest", "busybox:1.*", f"app@{SHA}", "app:*@*"]
    assert ImagePolicy(patterns).told() == [
        "alpine (every tag and digest)",
        "docker.io/team/* (every tag and digest)",
        "busybox:latest (this tag, no digest)",
        "docker.io/library/busybox:1.* (these tags, no digest)",
        f"app@{SHA} (by digest only)",
        "docker.io/library/app:*@* (by digest only)",
    ]


def test_refusal_says_which_registry_a_star_stands_in() -> None:
    problem = ImagePolicy(["*", "busybox:1.36"]).problem("quay.io/team/app:1")
    assert problem is not None
    assert problem.endswith("an image that matches: docker.io/library/*, busybox:1.36")


@pytest.mark.parametrize(
    ("pattern", "image"),
    [
        ("busybox:latest", "busybox"),
        ("busybox:latest", "docker.io/library/busybox:latest"),
        ("busybox:latest", "index.docker.io/library/busybox"),
        ("docker.io/busybox", "busybox:1.36"),
        ("busybox", "busybox:1.36"),
        ("busybox", f"busybox@{SHA}"),
        ("busybox*", "busybox-extra:1"),
        ("busybox:1.*", "busybox:1.36.1"),
        ("busybox:*1*", "busybox:1.36"),
        (f"busybox@{SHA}", f"busybox@{SHA}"),
        (f"busybox@{SHA}", f"busybox:whatever@{SHA}"),
        (f"busybox:1.36@{SHA}", f"busybox:1.36@{SHA}"),
        ("busybox:*@*", f"busybox:1@{SHA}"),
        ("registry.example.com:5000/team/*", "registry.example.com:5000/team/app:1"),
        ("localhost/app", "localhost/app:dev"),
        ("*.example.com/team/app", "eu.registry.example.com/team/app"),
        ("team/*-agent:v*", "docker.io/team/build-agent:v2"),
    ],
)
def test_pattern_allows_the_image_however_it_is_written(pattern: str, image: str) -> None:
    assert ImagePolicy([pattern]).problem(image) is None


@pytest.mark.parametrize(
    ("pattern", "image"),
    [
        ("busybox*", "busybox.evil.io/x"),
        ("busybox*", "busybox.evil.io/library/busybox"),
        ("busybox*", "busybox/evil"),
        ("busybox*", "evil/busybox"),
        ("*", "team/app"),
        ("*", "evil.io/app"),
        ("*/*", "evil.io/app"),
        ("team/*", "team/app/deeper"),
        ("registry.example.com/team/*", "registry.example.com.evil.io/team/app"),
        ("registry.example.com/team/*", "registry.example.com:5000/team/app"),
        ("registry.example.com/team/*", "team/app"),
        ("*.example.com/app", "example.com/app"),
        ("*.example.com/app", "evil.io/x.example.com/app"),
        ("*.example.com/app", "evilexample.com/app"),
        ("busybox:1.36", "busybox:1.37"),
        ("busybox:1.36", f"busybox@{SHA}"),
        (f"busybox@{SHA}", "busybox:latest"),
        (f"busybox@{SHA}", f"busybox@sha256:{'b' * 64}"),
        (f"busybox:1.36@{SHA}", f"busybox@{SHA}"),
    ],
)
def test_pattern_does_not_reach_other_images(pattern: str, image: str) -> None:
    assert "not allowed by the operator" in (ImagePolicy([pattern]).problem(image) or "")


def test_digest_behind_an_allowed_tag_is_not_allowed_since_runtimes_pull_the_digest() -> None:
    assert ImagePolicy(["busybox:1.36"]).problem(f"busybox:1.36@{SHA}")


@pytest.mark.parametrize(
    "image",
    [
        "",
        " busybox",
        "busybox ",
        "busybox\n",
        "busybox:",
        "busybox@",
        "busybox@sha256:abc",
        f"busybox@{SHA}@{SHA}",
        "busybox:a:b",
        "BusyBox",
        "busybоx",  # a Cyrillic letter
        "ｂusybox",
        "busybox\u200b",
        "bùsybox",
        "../busybox",
        "library/../busybox",
        "docker.io//busybox",
        "/busybox",
        "busybox/",
        "Docker.io/library/busybox",
        "docker.io:/library/busybox",
        "docker.io:port/library/busybox",
        "user@docker.io/library/busybox",
        "https://docker.io/library/busybox",
        "docker.io./library/busybox",
        "busybox*",
        "*",
        "a" * 64,
        "b" * 300,
        "busybox:" + "t" * 129,
    ],
)
def test_malformed_names_are_refused_even_where_anything_is_allowed(image: str) -> None:
    policy = ImagePolicy(["*", "*/*", "*/*/*", "docker.io/*", "docker.io/*/*", "*.docker.io/*", "busybox"])
    assert policy.problem(image)


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "Busybox",
        "a//b",
        "registry.*/x",
        "reg*.example.com/x",
        "*.com:*/x",
        "**",
        "busybox:",
        "busybox@",
        "büsy",
    ],
)
def test_pattern_that_cannot_be_one_is_refused_with_a_sentence(pattern: str) -> None:
    with pytest.raises(ValueError, match="is not an image pattern: "):
        ImagePolicy([pattern])


def test_many_stars_are_matched_in_linear_time() -> None:
    # A regular expression would need longer than the universe has for this one.
    assert ImagePolicy(["*a" * 60 + "b"]).problem("a" * 200)


def test_a_parsed_name_leaves_nothing_to_defaults() -> None:
    assert parse("busybox") == Reference("docker.io", ("library", "busybox"), "latest", "")
    assert parse(f"team/app@{SHA}") == Reference("docker.io", ("team", "app"), "", SHA)
    assert repository("localhost:5000/app:1") == "localhost:5000/app"
    assert repository("not an image") == ""
