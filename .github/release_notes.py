"""Print one version's section of a changelog, which is what the release says.

    python3 .github/release_notes.py 0.1.0 CHANGELOG.md

It fails where the section is missing or empty, so that no release goes out untold. A release candidate
(0.2.0rc1) takes the section of its version, or "Unreleased" while there is none.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path


def section(version: str, changelog: str) -> str:
    """The text under the version's heading.

    Raises:
        ValueError: a sentence that says what is missing.
    """
    final, _, candidate = version.partition("rc")
    for name in [final, "Unreleased"] if candidate else [final]:
        heading = rf"^## \[?{re.escape(name)}\]?(?: [^\n]*)?\n"
        found = re.search(heading + r"(.*?)(?=^## |^\[[^\]]+\]: |\Z)", changelog, re.MULTILINE | re.DOTALL)
        if found and found[1].strip():
            return found[1].strip() + "\n"
    raise ValueError(
        f"the changelog has no section for {final}: add '## [{final}] - YYYY-MM-DD' with what changed"
    )


def main(version: str, path: str) -> int:
    try:
        print(section(version, Path(path).read_text(encoding="utf-8")), end="")
    except ValueError as error:
        print(f"release_notes: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
