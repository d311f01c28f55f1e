"""One image, made of a static busybox. The workers run in it, and so does each Pod's sandbox."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import tarfile
from pathlib import Path

BUSYBOX = Path("/bin/busybox")  # of Debian's busybox-static
IMAGE = "docker.io/library/busybox:ottoscaler-test"


def write_image(path: Path) -> None:
    """Write the image to ``path`` in the form of `docker save`, which `ctr images import` takes."""
    layer = _layer()
    digest = hashlib.sha256(layer).hexdigest()
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Entrypoint": [], "Cmd": ["/bin/sleep", "2147483647"], "Env": ["PATH=/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        }
    ).encode()
    name = hashlib.sha256(config).hexdigest() + ".json"
    parts = {"Config": name, "RepoTags": [IMAGE], "Layers": ["layer.tar"]}
    with tarfile.open(path, "w") as archive:
        for entry, content in (
            (name, config),
            ("layer.tar", layer),
            ("manifest.json", json.dumps([parts]).encode()),
        ):
            _add(archive, entry, content)


def _layer() -> bytes:
    listed = subprocess.run(
        [BUSYBOX, "--list"], capture_output=True, text=True, check=True, timeout=10
    ).stdout
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as layer:
        for folder in ("bin", "etc", "home", "proc", "sys", "dev", "tmp"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            layer.addfile(entry)
        _add(layer, "bin/busybox", BUSYBOX.read_bytes())
        for applet in sorted({"sh", *listed.split()} - {"busybox"}):
            entry = tarfile.TarInfo(f"bin/{applet}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
            layer.addfile(entry)
    return written.getvalue()


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), 0o755
    archive.addfile(entry, io.BytesIO(content))
