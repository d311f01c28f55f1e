"""Kubeconfigs: what stops the start, what is waited for, and which one is taken."""

from __future__ import annotations

import json
import os
import re
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import certifi
import pytest

from ottoscaler.config.load import load
from ottoscaler.errors import BadSettings, KubernetesError, KubernetesUnavailable
from ottoscaler.kube.credentials import RELOAD_SECONDS, Access
from ottoscaler.kube.kubeconfig import check
from tests.harness.kubeconfigs import kubeconfig
from tests.harness.waiting import wait_for

WRONG = {
    "empty": ("", "it is empty"),
    "only a comment": ("# nothing yet\n", "it is empty"),
    "half a list": ("clusters: [\n- a", "it is not valid YAML in line 2"),
    "an alias that may be a token": ("token: *t0ps3cret", "it is not valid YAML in line 1"),
    "a text": ("hello", "it is not a kubeconfig"),
    "a list": ("[1, 2]", "it is not a kubeconfig"),
    "no current context": (kubeconfig(**{"current-context": None}), "current-context"),
    "another current context": (kubeconfig(**{"current-context": "d"}), "name d"),
    "no such cluster": (kubeconfig(clusters=[]), "name c"),
    "no server": (kubeconfig({"server": ""}), "no server"),
    "a server without its scheme": (kubeconfig({"server": "10.0.0.1:6443"}), "no server that is a URL"),
    "no certificate file": (kubeconfig({"certificate-authority": "/nowhere/ca"}), "/nowhere/ca"),
    "no certificate in the data": (kubeconfig({"certificate-authority-data": "aGVsbG8="}), "certificates"),
    "no token file": (kubeconfig(user={"tokenFile": "/nowhere/token"}), "/nowhere/token"),
    "a token in the wrong place": (kubeconfig(users=[{"name": "u", "token": "t0ps3cret"}]), "key user"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_kubeconfig_that_cannot_be_used_is_a_wrong_setting(case: str, tmp_path: Path) -> None:
    text, named = WRONG[case]
    path = tmp_path / "kubeconfig"
    path.write_text(text)
    with pytest.raises(BadSettings) as caught:
        load({"KUBECONFIG": str(path)}, check)
    (sentence,) = caught.value.problems
    assert sentence.startswith(f"KUBECONFIG: invalid value '{path}' (")
    assert named in sentence
    assert "t0ps3cret" not in sentence


def test_no_token_is_told_where_a_file_became_wrong_later(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(WRONG["a token in the wrong place"][0])
    with pytest.raises(KubernetesUnavailable) as caught:
        Access(str(path), 1).pool()
    assert str(path) in str(caught.value)
    assert "t0ps3cret" not in str(caught.value)


def test_of_several_files_the_wrong_one_is_named(tmp_path: Path) -> None:
    (tmp_path / "good").write_text(kubeconfig())
    (tmp_path / "bad").write_text("[")
    with pytest.raises(BadSettings, match=f"in line 1 .{tmp_path}/bad"):
        load({"KUBECONFIG": f"{tmp_path}/good:{tmp_path}/bad"}, check)
    assert load({"KUBECONFIG": f"{tmp_path}/good:{tmp_path}/missing"}, check).kubeconfig


def test_a_plugin_is_not_run_to_check_a_kubeconfig(tmp_path: Path) -> None:
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "touch",
        "args": [f"{tmp_path}/ran"],
    }
    (tmp_path / "kubeconfig").write_text(kubeconfig(user={"exec": plugin}))
    load({"KUBECONFIG": f"{tmp_path}/kubeconfig"}, check)
    assert not (tmp_path / "ran").exists()


def test_a_file_that_is_being_rewritten_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(kubeconfig())
    access = Access(load({"KUBECONFIG": str(path)}, check).kubeconfig, 1)
    path.write_text("")
    with pytest.raises(KubernetesUnavailable, match="it is empty"):
        access.pool()
    path.write_text(kubeconfig())
    assert access.url("/version") == "https://127.0.0.1:1/version"


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The clock of the credentials, monotonic seconds."""
    told = [1000.0]
    monkeypatch.setattr("ottoscaler.kube.credentials.time", SimpleNamespace(monotonic=lambda: told[0]))
    return told


def test_credentials_are_read_again_after_a_401_but_not_with_each(tmp_path: Path, now: list[float]) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(kubeconfig(user={"token": "first"}))
    access = Access(str(path), 1)
    assert access.headers() == {"Authorization": "Bearer first"}
    path.write_text(kubeconfig(user={"token": "second"}))
    for passed, token in ((RELOAD_SECONDS - 0.1, "first"), (0.2, "second")):
        now[0] += passed
        access.reload()
        assert access.headers() == {"Authorization": f"Bearer {token}"}


def test_kubeconfig_that_stayed_as_it_was_keeps_its_connections(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ottoscaler.kube.credentials.RELOAD_SECONDS", 0.0)
    path = tmp_path / "kubeconfig"
    path.write_text(kubeconfig())
    access = Access(str(path), 1)
    before = access.pool()
    access.reload_if_changed()
    assert access.pool() is before
    path.unlink()
    access.reload_if_changed()
    assert access.pool() is before, "it is being written anew"
    path.write_text(kubeconfig(cluster={"server": "https://127.0.0.1:22"}))
    access.reload_if_changed()
    assert access.host == "https://127.0.0.1:22"
    assert access.pool() is not before


def two_contexts(current: str, port: int = 1, *names: str) -> str:
    """A kubeconfig of two clusters, in which ``c`` is at this port. Only the named contexts are in it."""
    contexts = [{"name": n, "context": {"cluster": n, "user": n}} for n in names or ("c", "prod")]
    servers = {"c": f"https://127.0.0.1:{port}", "prod": "https://127.0.0.1:443"}
    clusters = [{"name": n, "cluster": {"server": server}} for n, server in servers.items()]
    users = [{"name": n, "user": {"token": f"{n}-{port}"}} for n in servers]
    return kubeconfig(
        **{"current-context": current, "contexts": contexts, "clusters": clusters, "users": users}
    )


@pytest.mark.parametrize("read_again", [Access.reload, Access.reload_if_changed])
def test_no_other_context_is_followed_than_the_current_one_of_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read_again: Callable[[Access], None]
) -> None:
    """In another cluster all Pods are gone, so their workers would run a second time."""
    monkeypatch.setattr("ottoscaler.kube.credentials.RELOAD_SECONDS", 0.0)
    path = tmp_path / "kubeconfig"
    path.write_text(two_contexts("c"))
    access = Access(str(path), 1)
    assert access.url("") == "https://127.0.0.1:1"
    path.write_text(two_contexts("prod", 22))
    read_again(access)
    assert access.url("") == "https://127.0.0.1:22"
    assert access.headers() == {"Authorization": "Bearer c-22"}
    path.write_text(two_contexts("prod", 333, "prod"))
    with pytest.raises(KubernetesUnavailable, match=r"no usable .*name c in .*/contexts list"):
        read_again(access)
    assert access.url("") == "https://127.0.0.1:22"
    assert access.headers() == {"Authorization": "Bearer c-22"}
    refused = KubernetesUnavailable("list: Connection refused", unsent=True)
    assert access.sentence(refused).startswith(
        "tried https://127.0.0.1:22, which was read before: list: Connection refused. Now there is no usable "
    )
    path.write_text(two_contexts("prod", 4444))
    read_again(access)
    assert access.url("") == "https://127.0.0.1:4444"
    assert "which was read before" not in access.sentence(refused)


def test_half_written_kubeconfig_is_not_read_again_with_each_call_that_fails(
    tmp_path: Path, now: list[float]
) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(kubeconfig())
    access = Access(str(path), 1)
    access.pool()
    path.write_text("clusters: [")
    now[0] += RELOAD_SECONDS
    with pytest.raises(KubernetesUnavailable, match="not valid YAML"):
        access.reload_if_changed()
    access.reload_if_changed()
    now[0] += RELOAD_SECONDS
    with pytest.raises(KubernetesUnavailable, match="not valid YAML"):
        access.reload_if_changed()


def test_credentials_that_a_plugin_tells_are_never_had_at_once(tmp_path: Path) -> None:
    """Their plugin may run for as long as it likes. Nobody who must not wait has it run."""
    ran = tmp_path / "ran"
    version = "client.authentication.k8s.io/v1"
    status = {"token": "told", "expirationTimestamp": "2000-01-01T00:00:00Z"}
    told = json.dumps({"apiVersion": version, "kind": "ExecCredential", "status": status})
    script = f"echo >> {ran}; echo '{told}'"
    plugin = {"apiVersion": version, "command": "sh", "args": ["-c", script]}
    (tmp_path / "kubeconfig").write_text(kubeconfig(user={"exec": plugin}))
    access = Access(str(tmp_path / "kubeconfig"), 1)
    assert access.headers_at_once() is None
    assert not ran.exists()
    assert access.headers() == {"Authorization": "Bearer told"}
    runs = ran.read_text()
    assert access.headers_at_once() is None
    assert ran.read_text() == runs


def test_a_program_that_hangs_is_told_and_stops_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one does that asks a cloud over a dead network. Before, who asked waited as long as it hung."""
    monkeypatch.setattr("ottoscaler.kube.credentials.PROGRAM_SECONDS", 0.2)
    version = "client.authentication.k8s.io/v1"
    told = json.dumps({"apiVersion": version, "kind": "ExecCredential", "status": {"token": "told"}})
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    plugin = {"apiVersion": version, "command": "sh", "args": ["-c", f"read line < {gate}; echo '{told}'"]}
    (tmp_path / "kubeconfig").write_text(kubeconfig(user={"exec": plugin}))
    access = Access(str(tmp_path / "kubeconfig"), 1)
    for _ in range(2):
        with pytest.raises(
            KubernetesUnavailable, match="does the program hang that tells the token"
        ) as raised:
            access.headers()
        assert access.sentence(raised.value) == str(raised.value)
    gate.write_text("go on\n")
    wait_for(lambda: access._configuration, "the program has told the token")
    assert access.headers() == {"Authorization": "Bearer told"}


def test_a_moment_without_threads_is_waited_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the thread of the watch, which reads the credentials first, ends, and the process with it."""
    (tmp_path / "kubeconfig").write_text(kubeconfig(user={"token": "told"}))
    access = Access(str(tmp_path / "kubeconfig"), 1)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", Mock(side_effect=RuntimeError("can't start new thread")))
        with pytest.raises(KubernetesUnavailable, match="can't start new thread"):
            access.headers()
    assert access.headers() == {"Authorization": "Bearer told"}


@pytest.mark.parametrize("user", [{"username": "its certificate says who it is"}, {"token": "t0ps3cret"}])
def test_credentials_without_a_plugin_are_had_at_once_unless_they_are_being_read_again(
    user: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "kubeconfig").write_text(kubeconfig(user=user))
    access = Access(str(tmp_path / "kubeconfig"), 1)
    assert access.headers_at_once() is None, "nothing was read yet"
    told = {"Authorization": f"Bearer {user['token']}"} if "token" in user else {}
    assert access.headers() == access.headers_at_once() == told
    with access._lock:
        assert access.headers_at_once() is None


@pytest.mark.parametrize("end", ["\n", "\r\n", " \n\n"])
def test_the_end_of_the_line_in_a_tokens_file_is_not_part_of_the_token(tmp_path: Path, end: str) -> None:
    (tmp_path / "token").write_text(f"t0ken{end}")
    (tmp_path / "kubeconfig").write_text(kubeconfig(user={"tokenFile": str(tmp_path / "token")}))
    access = Access(str(tmp_path / "kubeconfig"), 1)
    assert access.headers() == access.headers_at_once() == {"Authorization": "Bearer t0ken"}


@pytest.mark.parametrize("text", ["t0ps3cret\nand more", "t0ps3cret\0", "t0ps3cret\N{EURO SIGN}"])
def test_a_file_that_holds_no_token_is_told_and_not_shown(tmp_path: Path, text: str) -> None:
    (tmp_path / "token").write_text(text)
    (tmp_path / "kubeconfig").write_text(kubeconfig(user={"tokenFile": str(tmp_path / "token")}))
    access = Access(str(tmp_path / "kubeconfig"), 1)
    with pytest.raises(KubernetesUnavailable, match="the token has characters that no token has") as raised:
        access.headers()
    assert "t0ps3cret" not in str(raised.value)
    assert access.headers_at_once() is None


@pytest.mark.parametrize(
    ("proxy", "told"),
    [
        ("socks5://u:t0ps3cret@10.0.0.1:1080", "needs the package PySocks"),
        ("u:t0ps3cret@10.0.0.1:3128", "is no proxy's address"),
        ("http://u:t0ps3cret@[10.0.0.1", "is no proxy's address"),
    ],
)
@pytest.mark.filterwarnings("ignore::urllib3.exceptions.DependencyWarning")
def test_a_proxy_that_cannot_be_used_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proxy: str, told: str
) -> None:
    """Before, the thread of the watch died of it, and the process with it."""
    monkeypatch.setitem(sys.modules, "socks", None)  # as where PySocks is not installed
    path = tmp_path / "kubeconfig"
    path.write_text(kubeconfig({"proxy-url": proxy}))
    with pytest.raises(BadSettings, match=told) as raised:
        load({"KUBECONFIG": str(path)}, check)
    assert "t0ps3cret" not in str(raised.value)
    with pytest.raises(KubernetesUnavailable, match=told):
        Access(str(path), 1).pool()
    path.write_text(kubeconfig())
    monkeypatch.setenv("ALL_PROXY", proxy)
    with pytest.raises(KubernetesUnavailable, match=told):
        Access(str(path), 1).pool()


def test_a_password_in_the_servers_address_is_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(kubeconfig({"server": "https://u:t0ps3cret@127.0.0.1:1"}))
    access = Access(str(path), 1)
    access.pool()
    assert access.host == "https://***@127.0.0.1:1"
    assert "t0ps3cret" not in access.sentence(KubernetesError("list: Connection refused"))


def test_a_kubeconfig_that_a_named_pipe_has_replaced_is_told_and_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    os.mkfifo(path)
    with pytest.raises(KubernetesUnavailable, match="kubeconfig is no file any more"):
        Access(str(path), 1).pool()
    (tmp_path / "other").write_text(kubeconfig())
    several = f"{path}{os.pathsep}{tmp_path / 'other'}"
    check(several)
    assert Access(several, 1).url("") == "https://127.0.0.1:1"


def test_a_named_pipe_in_the_token_files_place_is_told_and_not_waited_for(tmp_path: Path) -> None:
    path, token = tmp_path / "kubeconfig", tmp_path / "token"
    path.write_text(kubeconfig(user={"tokenFile": "token"}))
    os.mkfifo(token)
    with pytest.raises(ValueError, match=r"token cannot be read \(not a file\)") as told:
        check(str(path))
    access = Access(str(path), 1)
    with pytest.raises(KubernetesUnavailable, match=re.escape(str(told.value))):
        access.pool()
    token.unlink()
    token.write_text("t0ken")
    check(str(path))
    assert access.headers() == {"Authorization": "Bearer t0ken"}


def test_service_accounts_token_is_had_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text("t0ken")
    inside = "kubernetes.config.incluster_config"
    monkeypatch.setattr(f"{inside}.SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(f"{inside}.SERVICE_CERT_FILENAME", certifi.where())
    monkeypatch.setattr("ottoscaler.kube.credentials._TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    access = Access("", 1)
    access.pool()
    assert access.headers_at_once() == {"Authorization": "bearer t0ken"}


def test_without_a_service_accounts_token_the_file_at_home_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    with pytest.raises(KubernetesUnavailable, match="there is no "):
        Access("", 1).pool()
    (tmp_path / ".kube").mkdir()
    (tmp_path / ".kube" / "config").write_text(kubeconfig())
    assert Access("", 1).url("") == "https://127.0.0.1:1"


@pytest.mark.parametrize(
    ("text", "status", "to_do"),
    [
        (
            'list: pods is forbidden: User "a" cannot list resource "pods"',
            403,
            "`check` names each missing right",
        ),
        ("list: slow down", 429, "It answers, so its own log says why"),
        ("list: etcdserver: no leader", 500, "It answers, so its own log says why"),
        ("list: Unauthorized", 401, "Is the token or certificate still valid"),
        ("list: [SSL] PEM lib (_ssl.c:3926)", 0, "Are the certificates and the key of KUBECONFIG ("),
        ("list: [SSL: WRONG_VERSION_NUMBER] wrong version number", 0, "is the address in KUBECONFIG ("),
        ("list: [SSL: UNEXPECTED_EOF_WHILE_READING] EOF occurred", 0, "is the address in KUBECONFIG ("),
        ("list: Connection refused", 0, "Is it running, and is the address in KUBECONFIG ("),
    ],
)
def test_error_is_told_with_what_was_tried_and_what_to_do(
    text: str, status: int, to_do: str, tmp_path: Path
) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(kubeconfig())
    access = Access(str(path), 1)
    access.pool()
    told = access.sentence(KubernetesError(text, status=status))
    assert told.startswith(f"tried {access.host}: {text}. ")
    assert to_do in told


def test_home_that_cannot_be_looked_into_is_one_without_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """As /root is for another user. Root may enter every directory, so here the name is too long for one."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("HOME", f"/{'h' * 300}")
    with pytest.raises(KubernetesUnavailable, match="there is no /hhh"):
        Access("", 1).pool()


def test_error_before_any_address_is_known_asks_for_one() -> None:
    told = Access("", 1).sentence(KubernetesUnavailable("no Kubernetes configuration"))
    assert told == (
        "no Kubernetes configuration. Set KUBECONFIG to a kubeconfig file, or run this inside the cluster."
    )
