"""Write the file anew."""

from __future__ import annotations

from tests.tools.dashboard.render import FILE, render

FILE.write_text(render(), encoding="utf-8")
