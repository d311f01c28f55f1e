"""A node of a control plane from ../shared/cluster: a kubelet, containerd and a network bridge of its own.

It needs root, Debian's containerd, runc, containernetworking-plugins and busybox-static, and a cluster that
was started with ``CLUSTER_NODES=0``. Its authority's key lies in the folder ``pki`` beside its kubeconfig.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from pathlib import Path

from tests.harness.observer import Kube
from tests.harness.waiting import wait_for
from tests.node.images import IMAGE, write_image

NAME = "real-node"
BRIDGE = "otto-test0"
SUBNET = "10.89.0.0/16"
KUBELET_PORT = 27460
# The kubelet sets these for the whole machine; they are put back.
KERNEL = ("kernel.panic", "kernel.panic_on_oops", "vm.overcommit_memory", "vm.panic_on_oom")

CONTAINERD = """
version = 2
root = "{folder}/containerd"
state = "{folder}/state"
[grpc]
  address = "{folder}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{image}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{folder}/cni"
"""


class RealNode:
    """Starts, crashes and ends the node. Use it from one thread."""

    def __init__(self, folder: Path, kubelet: Path, kubeconfig: Path) -> None:
        self._folder = folder
        self._kubelet_program = kubelet
        self._kubeconfig = kubeconfig
        self._kube = Kube(str(kubeconfig), "default")
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._kernel = {name: _sysctl(name) for name in KERNEL}

    def start(self) -> None:
        """Start both programs, load the image, and wait until the node is ready."""
        self._write_settings()
        self._containerd()
        write_image(self._folder / "image.tar")
        _run(*self._ctr, "images", "import", str(self._folder / "image.tar"))
        self.kubelet()
        wait_for(self._ready, "the node is ready", 60)

    def kubelet(self) -> None:
        """Start the kubelet."""
        self._start(
            "kubelet",
            str(self._kubelet_program),
            *("--config", f"{self._folder}/kubelet.json", "--kubeconfig", str(self._kubeconfig)),
            *("--hostname-override", NAME, "--node-ip", _address(), "--root-dir", f"{self._folder}/kubelet"),
            *("--container-runtime", "remote"),
            *("--container-runtime-endpoint", f"unix://{self._folder}/containerd.sock"),
        )

    def stop_kubelet(self) -> None:
        """End the kubelet at once. The containers run on."""
        self._kill("kubelet")

    def crash(self) -> None:
        """End all that runs on the node at once, as a power failure does."""
        self._kill("kubelet")
        self._kill("containerd")
        for pid in self._of_the_node():
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not self._of_the_node(), "no container of the node runs")

    def boot(self) -> None:
        """Start the node again after a crash."""
        self._containerd()
        self.kubelet()

    def close(self) -> None:
        """End the node, take it out of the cluster, and put the machine back as it was."""
        for name, value in self._kernel.items():
            _run("sysctl", "-qw", f"{name}={value}")
        self.crash()
        self._kube.request("DELETE", f"/api/v1/nodes/{NAME}")
        subprocess.run(["ip", "link", "delete", BRIDGE], capture_output=True, check=False, timeout=10)
        for line in reversed(Path("/proc/mounts").read_text().splitlines()):
            if (mounted := line.split()[1]).startswith(str(self._folder)):
                subprocess.run(["umount", "-l", mounted], capture_output=True, check=False, timeout=10)

    # --- its parts

    @property
    def _ctr(self) -> tuple[str, ...]:
        return ("ctr", "-a", f"{self._folder}/containerd.sock", "-n", "k8s.io")

    def _containerd(self) -> None:
        self._start("containerd", "containerd", "-c", f"{self._folder}/containerd.toml")
        wait_for(self._answers, "containerd answers")

    def _answers(self) -> bool:
        return subprocess.run([*self._ctr, "version"], capture_output=True, check=False).returncode == 0

    def _write_settings(self) -> None:
        folder, pki = self._folder, self._kubeconfig.parent / "pki"
        (folder / "containerd.toml").write_text(CONTAINERD.format(folder=folder, image=IMAGE))
        (folder / "cni").mkdir()
        ranges = [[{"subnet": SUBNET}]]
        ipam = {"type": "host-local", "ranges": ranges, "dataDir": f"{folder}/addresses"}
        bridge = {"type": "bridge", "bridge": BRIDGE, "isGateway": True, "ipam": ipam}
        (folder / "cni/10.conflist").write_text(
            json.dumps({"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge]})
        )
        self._certify(pki)
        settings = {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": _address(),
            "port": KUBELET_PORT,
            "healthzPort": 0,
            "tlsCertFile": f"{folder}/node.crt",
            "tlsPrivateKeyFile": f"{folder}/node.key",
            "authentication": {"webhook": {"enabled": False}, "x509": {"clientCAFile": f"{pki}/ca.crt"}},
            "authorization": {"mode": "AlwaysAllow"},
            "cgroupDriver": "cgroupfs",
            "failSwapOn": False,
            "resolvConf": "",
            "evictionHard": {
                "memory.available": "100Mi",
                "nodefs.available": "1%",
                "imagefs.available": "1%",
            },
        }
        (folder / "kubelet.json").write_text(json.dumps(settings))

    def _certify(self, pki: Path) -> None:
        """The API server reads logs only from a kubelet whose certificate its authority signed."""
        key, asked, signed = (str(self._folder / f"node.{kind}") for kind in ("key", "csr", "crt"))
        extension = self._folder / "node.ext"
        extension.write_text(f"subjectAltName=IP:{_address()}\nextendedKeyUsage=serverAuth\n")
        _run(
            "openssl",
            "req",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-keyout",
            key,
            "-subj",
            f"/CN={NAME}",
            "-out",
            asked,
        )
        by = ("-CA", f"{pki}/ca.crt", "-CAkey", f"{pki}/ca.key", "-set_serial", "1")
        _run(
            "openssl",
            "x509",
            "-req",
            "-in",
            asked,
            *by,
            "-days",
            "2",
            "-extfile",
            str(extension),
            "-out",
            signed,
        )

    def _ready(self) -> bool:
        status, node = self._kube.request("GET", f"/api/v1/nodes/{NAME}")
        conditions = node["status"].get("conditions", ()) if status == 200 else ()
        taints = node["spec"].get("taints") if status == 200 else ()
        return not taints and any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)

    def _start(self, name: str, *command: str) -> None:
        with (self._folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)

    def _kill(self, name: str) -> None:
        if process := self._processes.pop(name, None):
            process.kill()
            process.wait(10)

    def _of_the_node(self) -> list[int]:
        """The shims of this containerd, and what runs below them."""
        parents: dict[int, int] = {}
        found: list[int] = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    words = (entry / "cmdline").read_bytes().decode(errors="replace")
                    parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                except OSError:
                    continue  # it has just ended
                if "containerd-shim" in words and str(self._folder) in words:
                    found.append(int(entry.name))
        for pid in found:  # it grows while it is walked
            found += [child for child, parent in parents.items() if parent == pid]
        return found


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def _sysctl(name: str) -> str:
    return _run("sysctl", "-n", name).strip()


def _address() -> str:
    """This machine's own address, which a kubelet needs: it takes no loopback one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # nothing is sent
        return str(probe.getsockname()[0])
