"""Lay out the image's file system: one interpreter, one environment, and the shared libraries that they load.

    PYTHON rootfs.py ENVIRONMENT TARGET

The Dockerfile runs this in its build stage, by the base image's own Python. What lies in TARGET afterwards
is the whole image. It has no shell, no package manager and no program but Python. Every path stays where the
base has it, so the official Python images (/usr/local) and Debian's own Python (/usr) serve alike. All of it
follows from the inputs: names are walked in order, times are SOURCE_DATE_EPOCH, and bytecode carries neither
times nor a builder's paths.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

EPOCH = int(os.environ.get("SOURCE_DATE_EPOCH", "0"))
NOBODY = 65532

# Of the standard library: what needs a screen, a compiler or an installer, and the tests.
UNUSED_STDLIB = (
    "config-*", "distutils", "ensurepip", "idlelib", "lib2to3", "pydoc_data", "site-packages",
    "dist-packages", "test", "tkinter", "turtle.py", "turtledemo", "venv",
)  # fmt: skip
UNUSED_EXTENSIONS = (
    "_test*",
    "_tkinter*",
    "_xxtestfuzz*",
    "xx*",
    "_ctypes_test*",
    "_curses*",
    "readline*",
    "_dbm*",
    "_gdbm*",
)
# dlopen()ed, so in nobody's list: a thread that pthread_exit ends needs it, else the process aborts.
DLOPENED = ("libgcc_s.so.1",)
CERTIFICATES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/openssl.cnf",
    "/usr/lib/ssl/certs",
    "/usr/lib/ssl/openssl.cnf",
    "/usr/lib/ssl/cert.pem",
)

# Every module of the service, in one process: what it does not load by then, it never does. The embedded
# cluster stays out, since nobody runs it in this image.
IMPORT_ALL = """
import importlib, json, pkgutil, sys
import ottoscaler
import encodings.idna, encodings.utf_8, encodings.latin_1  # by name, at the first look-up of a host
for module in pkgutil.walk_packages(ottoscaler.__path__, "ottoscaler."):
    if not module.name.startswith("ottoscaler.local") and not module.name.endswith("__main__"):
        importlib.import_module(module.name)
print(json.dumps(sorted({m.__file__ for m in list(sys.modules.values()) if getattr(m, "__file__", None)})))
"""


def main(environment: Path, target: Path) -> None:
    python = environment / "bin" / "python"
    loaded = loaded_files(python)
    trim(site_packages(environment), loaded)
    tidy_scripts(environment)

    tree = Tree(target)
    tree.add_tree(environment, skip=("__pycache__", "activate*", "Activate*"))
    add_interpreter(tree)
    tree.add_libraries(tree.binaries())
    for path in CERTIFICATES:
        if os.path.lexists(path):
            tree.add_deep(Path(path))
    add_accounts(tree)
    add_package_records(tree)
    compile_loaded(python, tree, loaded)
    tree.finish()


def loaded_files(python: Path) -> set[Path]:
    done = subprocess.run([python, "-I", "-B", "-c", IMPORT_ALL], check=True, capture_output=True, text=True)
    return {Path(name) for name in json.loads(done.stdout)}


def site_packages(environment: Path) -> Path:
    (found,) = environment.glob("lib/python3*/site-packages")
    return found


# --- what is installed


def trim(packages: Path, loaded: set[Path]) -> None:
    """Of the Kubernetes client keep the modules that are loaded; drop distributions of which none is."""
    for path in sorted((packages / "kubernetes").rglob("*.py")):
        if path not in loaded:
            path.unlink()
    for record in sorted(packages.glob("*.dist-info/RECORD")):
        distribution = record.parent
        files = [packages / line.split(",")[0] for line in record.read_text(encoding="utf-8").splitlines()]
        if not loaded.isdisjoint(files):
            # What a tool reads of an installed package is true again: the files that are there.
            lines = record.read_text(encoding="utf-8").splitlines(keepends=True)
            kept = [
                line for line in lines if (packages / line.split(",")[0]).exists() and ".pyc," not in line
            ]
            record.write_text("".join(kept), encoding="utf-8")
            continue
        for path in files:
            if path.is_relative_to(packages) and ".." not in path.parts:
                path.unlink(missing_ok=True)
        shutil.rmtree(distribution, ignore_errors=True)
        print(f"rootfs: {distribution.name.removesuffix('.dist-info')} is never imported: left out")
    remove_empty(packages)


def remove_empty(root: Path) -> None:
    for folder, _, _ in sorted(os.walk(root), reverse=True):
        shutil.rmtree(Path(folder) / "__pycache__", ignore_errors=True)
        if folder != str(root) and not os.listdir(folder):
            os.rmdir(folder)


def tidy_scripts(environment: Path) -> None:
    """Other packages' scripts go: nothing here calls them."""
    for path in sorted((environment / "bin").iterdir()):
        if not re.fullmatch(r"python[0-9.]*|ottoscaler", path.name):
            path.unlink()


# --- what is copied


class Tree:
    """The image's root: paths are added under their own names, with the links that lead to them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.root.mkdir(parents=True)
        self.sources: set[str] = set()  # the real paths that were copied

    def place(self, path: Path) -> Path:
        return self.root / path.relative_to("/")

    def add(self, path: Path) -> None:
        """One file, with each folder and link on its way (/lib is a link to /usr/lib in Debian)."""
        walked = Path("/")
        for part in path.parts[1:]:
            walked /= part
            here = self.place(walked)
            if os.path.islink(walked):
                if not os.path.lexists(here):
                    os.symlink(os.readlink(walked), here)
                rest = path.relative_to(walked)
                self.add(Path(os.path.normpath(walked.parent / os.readlink(walked))) / rest)
                return
            if walked == path and not walked.is_dir():
                if not here.exists():
                    shutil.copy2(walked, here)
                    self.sources.add(str(walked))
            else:
                here.mkdir(exist_ok=True)

    def add_deep(self, path: Path) -> None:
        """A file or folder, and wherever its links lead."""
        self.add(path)
        real = Path(os.path.realpath(path))
        for below in sorted(real.rglob("*")) if real.is_dir() else ():
            if "private" not in below.relative_to(real).parts and below.exists():
                self.add(below)

    def add_tree(self, folder: Path, skip: Iterable[str]) -> None:
        for path in sorted(folder.iterdir()):
            if any(path.match(pattern) for pattern in skip):
                continue
            if path.is_dir() and not path.is_symlink():
                self.add_tree(path, skip)
            else:
                self.add(path)

    def binaries(self) -> list[Path]:
        found = [path for path in sorted(self.root.rglob("*")) if path.is_file() and not path.is_symlink()]
        return [path for path in found if path.open("rb").read(4) == b"\x7fELF"]

    def add_libraries(self, binaries: list[Path]) -> None:
        """What the loader would load for them, and the loader itself. (ldd lists the whole closure.)"""
        for binary in binaries:
            source = Path("/") / binary.relative_to(self.root)
            listed = subprocess.run(["ldd", source], check=False, capture_output=True, text=True).stdout
            if "not found" in listed:
                sys.exit(f"rootfs: {source} needs a library that the base image has not:\n{listed}")
            for library in re.findall(r"(?:=> )?(/\S+) \(0x", listed):
                self.add(Path(library))
        listed = subprocess.run(["/sbin/ldconfig", "-p"], check=True, capture_output=True, text=True).stdout
        for name in DLOPENED:
            beside = {
                folder for folder in map(os.path.dirname, self.sources) if os.path.exists(f"{folder}/{name}")
            }
            for path in beside or re.findall(rf"^\s*{re.escape(name)} .*=> (\S+)$", listed, re.MULTILINE)[:1]:
                self.add(Path(path) / name if path in beside else Path(path))
        if os.path.exists("/etc/ld.so.cache"):  # /usr/local/lib is known by this alone
            self.add(Path("/etc/ld.so.cache"))

    def write(self, path: str, text: str) -> None:
        here = self.place(Path(path))
        here.parent.mkdir(parents=True, exist_ok=True)
        here.write_text(text, encoding="utf-8")

    def finish(self) -> None:
        """Modes and times: nothing is setuid, only /tmp can be written to, and no clock shows."""
        self.place(Path("/tmp")).mkdir(exist_ok=True)
        for folder, folders, files in os.walk(self.root, topdown=False):
            for name in sorted(files + folders):
                path = Path(folder) / name
                if not path.is_symlink():
                    mode = stat.S_IMODE(path.stat().st_mode)
                    path.chmod(0o755 if path.is_dir() or mode & 0o111 else 0o644)
                os.chown(path, 0, 0, follow_symlinks=False)
                os.utime(path, (EPOCH, EPOCH), follow_symlinks=False)
        self.place(Path("/tmp")).chmod(0o1777)
        os.utime(self.root, (EPOCH, EPOCH))


def add_interpreter(tree: Tree) -> None:
    tree.add(Path(sys.executable))
    standard = Path(sysconfig.get_path("stdlib"))
    tree.add_tree(standard, skip=("__pycache__", "lib-dynload", *UNUSED_STDLIB))
    tree.add_tree(standard / "lib-dynload", skip=UNUSED_EXTENSIONS)


def add_accounts(tree: Tree) -> None:
    home = "/nonexistent"
    tree.write("/etc/passwd", f"root:x:0:0:root:/:/none\nnonroot:x:{NOBODY}:{NOBODY}:nonroot:{home}:/none\n")
    tree.write("/etc/group", f"root:x:0:\nnonroot:x:{NOBODY}:\n")
    tree.write("/etc/nsswitch.conf", "hosts: files dns\n")
    tree.add_deep(Path("/etc/os-release"))


def add_package_records(tree: Tree) -> None:
    """Which Debian packages the files are of, where scanners of small images look, and their licences."""
    database = Path("/var/lib/dpkg")
    if not database.is_dir():
        return
    sources = {path.removeprefix("/usr") for path in tree.sources}
    stanzas = {
        match[1]: stanza
        for stanza in (database / "status").read_text(encoding="utf-8").split("\n\n")
        if (match := re.search(r"^Package: (\S+)$", stanza, re.MULTILINE))
    }
    for listing in sorted((database / "info").glob("*.list")):
        name = listing.name.removesuffix(".list").partition(":")[0]
        files = {line.removeprefix("/usr") for line in listing.read_text(encoding="utf-8").splitlines()}
        if name in stanzas and not sources.isdisjoint(files):
            tree.write(f"/var/lib/dpkg/status.d/{name}", stanzas[name].strip() + "\n")
            licence = Path(f"/usr/share/doc/{name}/copyright")
            if licence.exists():
                tree.add(licence)


def compile_loaded(python: Path, tree: Tree, loaded: set[Path]) -> None:
    """Bytecode for what the service loads, checked against nothing at run time, so that no time is in it."""
    sources = [
        str(tree.place(path)) for path in sorted(loaded) if path.suffix == ".py" and tree.place(path).exists()
    ]
    subprocess.run(
        [
            python, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash",
            "-s", tree.root, "-p", "/", "-i", "-",
        ],
        input="\n".join(sources), text=True, check=True, env=os.environ | {"PYTHONHASHSEED": "0"},
    )  # fmt: skip


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
