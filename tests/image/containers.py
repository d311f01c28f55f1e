"""A container without an engine: namespaces by unshare, the image's root mounted read-only, a user id."""

from __future__ import annotations

import os
import signal
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

from tests.harness.waiting import wait_for

# What a container runtime sets up: the root read-only, /proc, two devices, one folder of the test's.
SET_UP = """
mount --bind "$1" "$1" && mount --bind "$2" "$1/mnt" && mount -t proc proc "$1/proc" &&
mount -t tmpfs tmpfs "$1/dev" &&
for device in null urandom; do touch "$1/dev/$device" && mount --bind "/dev/$device" "$1/dev/$device"; done &&
mount -o remount,bind,ro "$1" || exit 125
root=$1 user=$3; shift 3
exec chroot --groups= --userspec="$user" "$root" "$@"
"""

# The image has no env to set variables with; the program is looked up in the PATH that they name.
BEGIN = """
import os, sys
given = sys.stdin.read().split(chr(0))
os.execvpe(sys.argv[1], sys.argv[1:], dict(item.split("=", 1) for item in given))
"""


class Container:
    """One process that is PID 1 of the image's file system, as the image's configuration starts it."""

    def __init__(
        self, root: Path, folder: Path, user: str, environment: dict[str, str], *arguments: str
    ) -> None:
        self.log_path = folder / f"log-{user.partition(':')[0]}"
        self.port = environment.get("OTTO_HTTP_PORT", "0")
        given = "\0".join(f"{name}={value}" for name, value in environment.items())
        space = [
            "unshare",
            "--mount",
            "--pid",
            "--fork",
            "sh",
            "-c",
            SET_UP,
            "sh",
            str(root),
            str(folder),
            user,
        ]
        command = [*space, "/opt/ottoscaler/bin/python", "-c", BEGIN, *arguments]
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env={"PATH": os.environ["PATH"]},
            )
        assert self.process.stdin is not None
        self.process.stdin.write(given.encode())
        self.process.stdin.close()

    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def pid(self) -> int:
        """The first process's number as the machine has it."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[0])

    def get(self, path: str) -> int:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def wait_ready(self) -> None:
        def ready() -> bool:
            assert self.process.poll() is None, f"it ended with {self.process.returncode}:\n{self.log()}"
            return self.get("/readyz") == 200

        wait_for(ready, "the service is ready", 60)

    def wait(self, seconds: float = 60) -> int:
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it did not end:\n{self.log()[-4000:]}") from None

    def stop(self) -> int:
        """SIGTERM to PID 1; its exit code, which unshare passes on."""
        os.kill(self.pid(), signal.SIGTERM)
        return self.wait()

    def close(self) -> None:
        if self.process.poll() is None:
            os.kill(self.pid(), signal.SIGKILL)
        self.process.wait(30)
