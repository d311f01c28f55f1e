"""docs/modules.md, written from the source: each module and script, with how its docstring begins.

``python -m tests.tools.modules_page`` writes it anew; a unit test holds its names to the tree.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "ottoscaler"
PAGE = ROOT / "docs" / "modules.md"
HEAD = """# Every module

Each by how its own docstring begins. [architecture.md](architecture.md) says how they work together.
"""
FOOT = "\n<!-- Written by `python -m tests.tools.modules_page`; do not edit. -->\n"


def render() -> str:
    folders: dict[str, list[str]] = {}
    for path in sorted((*SOURCE.rglob("*.py"), *SOURCE.rglob("*.lua"))):
        phrase = _phrase(path)
        if phrase:
            place = path.parent.relative_to(ROOT).as_posix()
            folders.setdefault(place, []).append(f"| `{path.name}` | {phrase} |\n")
    tables = (f"\n## {name}/\n\n| | |\n|---|---|\n{''.join(rows)}" for name, rows in sorted(folders.items()))
    return HEAD + "".join(tables) + FOOT


def _phrase(path: Path) -> str:
    """A module's first paragraph, or a script's first comment up to its arguments. It may be empty."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".lua":
        comment = re.match(r"(?:-- ?.*\n)+", text)
        said = re.sub(r"^-- ?", "", comment[0], flags=re.MULTILINE) if comment else ""
        said = re.split(r"(?<=[.?])\s|: A = ", said.replace("\n", " "))[0]
        said = said if said[-1:] in ".?" else f"{said}."
    else:
        said = (ast.get_docstring(ast.parse(text)) or "").partition("\n\n")[0]
    plain = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", said.replace("``", "`"))
    return " ".join(plain.replace("|", "\\|").split())


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
