"""Images by buildah, and the base that stands in for the official Python image."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
WORK = ROOT / "build" / "image-test"
BASE = "localhost/python:3.11-debian"
MIRROR = os.environ.get("DEBIAN_MIRROR", "http://deb.debian.org/debian")
PACKAGES = "python3.11,python3-pip,ca-certificates"
MINUTES = 60


def run(*command: str | Path, **options: Any) -> str:
    """A command's output; a failure shows both of its streams."""
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=20 * MINUTES, check=False, **options
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return str(done.stdout)


def make_base() -> Path:
    """Debian with its own Python and pip, made once and kept in build/image-test."""
    folder = WORK / "base"
    if not (folder / "usr/bin/pip").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        run("debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", folder, MIRROR)
        # This machine's way to PyPI, where that is not the plain one.
        for name in ("/etc/ssl/certs/ca-certificates.crt", "/etc/pip.conf"):
            if os.path.exists(name):
                shutil.copy(name, folder / name[1:])
    return folder


class Images:
    """A store of its own, so that no image of the machine's user is seen or touched."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        settings = folder / "storage.conf"
        lines = ["[storage]", 'driver = "vfs"', f'graphroot = "{folder}/root"', f'runroot = "{folder}/run"']
        settings.write_text("\n".join(lines) + "\n")
        self.environment = {
            **os.environ,
            "CONTAINERS_STORAGE_CONF": str(settings),
            "BUILDAH_ISOLATION": "chroot",  # the others need more than some machines allow
        }

    def buildah(self, *arguments: str | Path) -> str:
        return run("buildah", *arguments, env=self.environment).strip()

    def import_folder(self, folder: Path, name: str) -> None:
        container = self.buildah("from", "scratch")
        self.buildah("copy", "-q", container, folder, "/")
        self.buildah("commit", "-q", "--rm", container, name)

    def build(self, clone: Path, tag: str, source: Path = ROOT) -> str:
        """`make image` in a fresh clone of what is committed; the image's id, a digest of all in it."""
        run("git", "clone", "--quiet", source, clone)
        arguments = (
            "ENGINE=buildah",
            f"PYTHON_IMAGE={BASE}",
            f"KIND_IMAGE={tag}",
            "IMAGE_FLAGS=--format oci",
        )
        print(run("make", "image", *arguments, cwd=clone, env=self.environment), file=sys.stderr)
        return self.buildah("inspect", "--type", "image", "--format", "{{.FromImageID}}", tag)

    def config(self, image: str) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.buildah("inspect", "--type", "image", image))
        return told

    def manifest_digest(self, image: str) -> str:
        return self.buildah("inspect", "--type", "image", "--format", "{{.FromImageDigest}}", image)

    def unpack(self, image: str, target: Path) -> None:
        container = self.buildah("from", image)
        mounted = self.buildah("mount", container)
        shutil.copytree(mounted, target, symlinks=True)
        run("buildah", "rm", container, env=self.environment)
