"""The real Dockerfile, built by buildah over a base that debootstrap makes, and run without an engine.

That takes root, Debian's buildah and debootstrap, and some minutes: so it is collected only where
``make image-test`` asks for it. The base is not the one that the Dockerfile names, since no registry may be
at hand: Debian's own Python stands in for it, under a name of its own.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.image.images import BASE, Images, make_base

ASKED = os.environ.get("OTTOSCALER_TEST_IMAGE") == "1"
collect_ignore_glob = [] if ASKED else ["test_*.py"]


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Images]:
    """A store of images with the base in it."""
    folder = tmp_path_factory.mktemp("images")
    made = Images(folder / "store")
    made.import_folder(make_base(), BASE)
    yield made
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the first clone is put; it stays at one commit, whatever is committed meanwhile."""
    return tmp_path_factory.mktemp("first") / "clone"


@pytest.fixture(scope="session")
def built(images: Images, clone: Path) -> str:
    """The image's id, built from a fresh clone."""
    return images.build(clone, "localhost/ottoscaler:first")


@pytest.fixture(scope="session")
def root(images: Images, built: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image's file system, unpacked, with the mount points that a container runtime adds."""
    folder = tmp_path_factory.mktemp("image") / "root"
    images.unpack(built, folder)
    for name in ("proc", "dev", "mnt"):
        (folder / name).mkdir(exist_ok=True)
    (folder / "etc/hosts").write_text("127.0.0.1 localhost\n")
    return folder
