"""A ConfigMap's volume, written as a kubelet writes it: a new version comes in one step, by a link."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path

_versions = itertools.count(1)


def publish(directory: Path, data: Mapping[str, str]) -> None:
    """Make ``data`` the files of the directory, which is this process's own from the first call on.

    As the kubelet's atomic writer does it: each file is a link into ``..data``, which links to the version's
    own directory, and the one rename that moves ``..data`` is the update. Links of what is gone go after it.
    """
    directory.mkdir(exist_ok=True)
    version = directory / f"..version_{next(_versions)}"
    version.mkdir()
    for name, text in data.items():
        (version / name).write_text(text)
    fresh = directory / "..data_tmp"
    fresh.symlink_to(version.name)
    fresh.rename(directory / "..data")
    for name in data:
        if not (directory / name).is_symlink():
            (directory / name).symlink_to(Path("..data") / name)
    for link in directory.iterdir():
        if link.is_symlink() and not link.name.startswith("..") and link.name not in data:
            link.unlink()
