"""The words that people filter and alert on: those of the code and those of the docs are the same."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import ottoscaler

LEVELS = {"debug", "info", "warning", "error"}
# The loggers' own modules pass words on; the local cluster is no part of the service.
ELSEWHERE = ("telemetry", "local")


def said(tree: ast.AST) -> Iterator[str]:
    """The first word of each call such as ``log.info("action", "sentence")``."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        if node.func.attr in LEVELS and len(node.args) >= 2:
            word = node.args[0]
            if isinstance(word, ast.Constant) and isinstance(word.value, str):
                yield word.value


def in_the_code() -> set[str]:
    root = Path(ottoscaler.__file__).parent
    found: set[str] = set()
    for path in root.rglob("*.py"):
        if path.relative_to(root).parts[0] not in ELSEWHERE:
            found |= set(said(ast.parse(path.read_text())))
    return found


def in_the_docs() -> set[str]:
    page = (Path(__file__).parents[3] / "docs" / "logs.md").read_text()
    table = page.partition("## Actions")[2]
    rows = re.findall(r"^\| ((?:`[a-z_]+`(?:, )?)+) \|", table, re.MULTILINE)
    return {word for row in rows for word in re.findall(r"`([a-z_]+)`", row)}


def test_the_docs_tell_every_action_of_the_code_and_no_other() -> None:
    # Records of third-party libraries get theirs from the formatter.
    assert in_the_docs() == in_the_code() | {"library"}
