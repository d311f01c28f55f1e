"""The image that the real Dockerfile makes: what is in it, that it is reproducible, and that it serves."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from ottoscaler.local.ports import free_port
from tests.harness.sandbox import Sandbox
from tests.image.containers import Container
from tests.image.images import ROOT, WORK, Images, run

pytestmark = pytest.mark.timeout(1800)

MIB = 1024 * 1024
MOST_BYTES = 80 * MIB  # 63 over Debian's Python, 233 before it was cut (docs/adr/0012)
CONSUMER = "one"


def files(root: Path) -> list[Path]:
    return [path for path in sorted(root.rglob("*")) if path.is_file() and not path.is_symlink()]


def packages(root: Path) -> Path:
    (found,) = (root / "opt/ottoscaler/lib").glob("python3*/site-packages")
    return found


def settings(place: Sandbox, folder: Path) -> dict[str, str]:
    """A replica's environment, and in ``folder``, which is /mnt inside, what any user may read."""
    shutil.copy(place.kube.kubeconfig, folder / "kubeconfig")
    folder.chmod(0o755)
    (folder / "kubeconfig").chmod(0o644)
    common = place.environment(
        OTTO_HTTP_PORT=free_port(), REDIS_CONSUMER=CONSUMER, KUBECONFIG="/mnt/kubeconfig"
    )
    return common | image_environment()


def image_environment() -> dict[str, str]:
    """The ENV lines of the Dockerfile's last stage."""
    last = (ROOT / "Dockerfile").read_text().rpartition("FROM scratch")[2].replace("\\\n", " ")
    (line,) = re.findall(r"^ENV (.+)$", last, re.M)
    return dict(item.split("=", 1) for item in line.split())


def test_same_commit_gives_the_same_digest_at_another_path_and_another_time(
    images: Images, built: str, clone: Path, tmp_path: Path
) -> None:
    again = images.build(tmp_path / "quite" / "another path", "localhost/ottoscaler:second", clone)
    assert again == built
    assert images.manifest_digest(again) == images.manifest_digest(built)
    WORK.mkdir(parents=True, exist_ok=True)
    (WORK / "digest").write_text(images.manifest_digest(built) + "\n")


def test_image_is_small(root: Path) -> None:
    size = sum(path.stat().st_size for path in files(root))
    parts = {
        name: sum(path.stat().st_size for path in files(root / name)) // 1024
        for name in ("usr", "opt", "etc", "var", str(packages(root).relative_to(root) / "kubernetes"))
    }
    figures = {"bytes": size, "files": len(files(root)), "kib": parts}
    (WORK / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")
    print(figures)
    assert size < MOST_BYTES


def test_nothing_is_setuid_or_writable_for_others_but_tmp(root: Path) -> None:
    for path in sorted(root.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            assert not mode & (stat.S_ISUID | stat.S_ISGID), path
            assert path == root / "tmp" or not mode & (stat.S_IWGRP | stat.S_IWOTH), path
            assert (path.stat().st_uid, path.stat().st_gid) == (0, 0), path


def test_no_package_manager_no_shell_and_no_program_but_python(root: Path) -> None:
    names = {path.name for path in files(root)}
    assert not names & {
        "dpkg",
        "apt",
        "apt-get",
        "pip",
        "pip3",
        "sh",
        "bash",
        "dash",
        "busybox",
        "perl",
        "CA.pl",
    }
    assert not list(packages(root).glob("pip*")) + list(packages(root).glob("setuptools*"))
    assert not list(root.rglob("ensurepip"))
    folders = [
        root / name for name in ("bin", "sbin", "usr/bin", "usr/sbin", "usr/local/bin", "opt/ottoscaler/bin")
    ]
    programs = {path.name for folder in folders if folder.is_dir() for path in folder.iterdir()}
    assert {re.sub(r"[0-9.]+$", "", name) for name in programs} == {"python", "ottoscaler"}


def test_every_debian_package_in_it_is_named_for_scanners_with_its_licence(root: Path) -> None:
    named = {path.name for path in (root / "var/lib/dpkg/status.d").iterdir()}
    assert {"libc6", "libssl3"} <= named
    assert all((root / "usr/share/doc" / name / "copyright").exists() for name in named)


def test_every_python_package_has_the_locks_version(root: Path) -> None:
    locked = dict(
        re.findall(r"^([a-z0-9-]+)==([^ ;\\]+)", (ROOT / "requirements.lock.txt").read_text(), re.M)
    )
    installed = [
        path.name.removesuffix(".dist-info").rpartition("-") for path in packages(root).glob("*.dist-info")
    ]
    plain = {name.lower().replace("_", "-").replace(".", "-"): version for name, _, version in installed}
    plain.pop("ottoscaler")
    assert {name: locked.get(name) for name in plain} == plain
    assert {"redis", "kubernetes", "tenacity", "python-json-logger", "prometheus-client", "pyyaml"} <= set(
        plain
    )


def test_image_tells_its_user_entry_point_signal_port_and_origin(
    images: Images, built: str, clone: Path
) -> None:
    config = images.config(built)["OCIv1"]["config"]
    assert config["User"] == "65532:65532"
    assert config["Entrypoint"] == ["python", "-m", "ottoscaler"]
    assert config["StopSignal"] == "SIGTERM"
    assert list(config["ExposedPorts"]) == ["9090"] or list(config["ExposedPorts"]) == ["9090/tcp"]
    labels = {
        name.rpartition(".")[2]: value for name, value in config["Labels"].items() if "opencontainers" in name
    }
    assert labels["revision"] == run("git", "rev-parse", "HEAD", cwd=clone).strip()
    assert labels["created"].endswith("Z")
    for name in ("title", "description", "licenses", "source", "documentation", "version"):
        assert labels[name]


def test_threads_keep_little_of_the_memory_that_they_have_freed(images: Images, built: str) -> None:
    """After 96,000 workers a replica took 137 MiB, and was still growing."""
    environment = images.config(built)["OCIv1"]["config"]["Env"]
    assert "GLIBC_TUNABLES=glibc.malloc.tcache_max=512" in environment


@pytest.mark.parametrize("user", ["65532:65532", "1000770000:0"], ids=["its own user", "any user"])
def test_serves_on_a_read_only_root_and_sigterm_ends_it(
    user: str, root: Path, place: Sandbox, tmp_path: Path
) -> None:
    container = Container(root, tmp_path, user, settings(place, tmp_path), "python", "-m", "ottoscaler")
    try:
        container.wait_ready()
        status = Path(f"/proc/{container.pid()}/status").read_text()
        assert f"Uid:\t{user.partition(':')[0]}\t" in status
        assert re.search(r"^NSpid:\t\d+\t1$", status, re.M), "it is PID 1"
        assert place.wait_event(place.scale_up(3), 60)["status"] == "succeeded"
        assert container.stop() == 0, container.log()
    finally:
        container.close()


def test_check_finds_nothing_missing(root: Path, place: Sandbox, tmp_path: Path) -> None:
    inside = settings(place, tmp_path)
    container = Container(root, tmp_path, "65532:65532", inside, "python", "-m", "ottoscaler", "check")
    assert container.wait() == 0, container.log()


# Certificates of public authorities; what a thread's end needs; a name that is looked up; no write.
PROBE = """
import ctypes, os, socket, ssl, threading
assert ssl.create_default_context().cert_store_stats()["x509_ca"] > 50
ctypes.CDLL("libgcc_s.so.1")
threading.Thread(target=lambda: None).start()
socket.getaddrinfo("localhost", 80)
for folder in ("/", "/tmp", "/opt/ottoscaler"):
    try:
        open(folder + "/x", "w")
    except OSError as error:
        assert error.errno in (30, 13), error
    else:
        raise SystemExit("written: " + folder)
import ottoscaler.local  # is in the package, and nothing in the image keeps it from being loaded
"""


def test_what_is_loaded_late_is_there(root: Path, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    container = Container(root, tmp_path, "65532:65532", image_environment(), "python", "-c", PROBE)
    assert container.wait() == 0, container.log()


def test_kubernetes_client_still_does_what_its_tests_ask_for(root: Path, tmp_path: Path) -> None:
    """Kubeconfigs, tokens and certificates, with the image's cut-down packages before this machine's."""
    if sys.version_info[:2] != (3, 11):
        pytest.skip("the image's packages are built for Python 3.11")
    cut = packages(root)
    environment = {**os.environ, "PYTHONPATH": f"{cut}", "PYTHONDONTWRITEBYTECODE": "1"}
    where = [sys.executable, "-c", "import kubernetes; print(kubernetes.__file__)"]
    assert run(*where, env=environment).startswith(str(cut))
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", "tests/unit/kube"]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:]
