"""What the docs tell an operator to type works as it stands, whatever namespace kubectl points at."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).parents[3] / "docs"
# Of the whole cluster, or with a file or an overlay that names the namespace itself.
WITHOUT = re.compile(
    r"kubectl (drain|cordon|(create|label) namespace|apply -k|delete -k|get nodes|api-resources|config)\b"
)
TYPED = re.compile(r"(?:^    +|`)(kubectl (?:-|[a-z-]+ )[^`\n]*)", re.MULTILINE)
# What is said about a command is no line to type.
SAID = ("kubectl get --raw", "kubectl get jobs", "kubectl exec", "kubectl port-forward", "kubectl describe")


def lines() -> list[tuple[str, str]]:
    """Every kubectl line of the docs, with its page."""
    return [
        (page.name, line)
        for page in sorted(DOCS.glob("*.md"))
        for line in TYPED.findall(page.read_text(encoding="utf-8"))
        if line.strip() not in SAID
    ]


def test_every_kubectl_line_names_its_namespace() -> None:
    assert len(lines()) > 15
    assert [
        (page, line)
        for page, line in lines()
        if not re.search(r" (-n|--namespace|-A)[ =]?", line) and not WITHOUT.match(line)
    ] == []


def test_every_jq_line_passes_over_lines_that_are_no_json() -> None:
    piped = [line for page in DOCS.glob("*.md") for line in page.read_text().splitlines() if "| jq " in line]
    assert piped
    assert [line for line in piped if "jq -cR 'fromjson? | " not in line] == []
