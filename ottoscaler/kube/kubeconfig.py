"""Reads kubeconfig files by the Kubernetes client's code, and says what is wrong with them."""

from __future__ import annotations

import errno
import os
import re
import ssl
from contextlib import suppress
from typing import Any

import kubernetes.config
from kubernetes.client.configuration import Configuration
from kubernetes.client.rest import RESTClientObject

# The client ships annotations for its models, not for its loaders.
kube_config: Any = kubernetes.config


def check(kubeconfig: str) -> None:
    """Read the kubeconfig files as :class:`Access` will, without any network call or plugin. Main thread.

    Raises:
        ValueError: a clause that says what is wrong with them. It repeats nothing that may be a secret.
    """
    kubeconfig = files(kubeconfig)
    paths = kubeconfig.split(os.pathsep)
    for path in paths:
        try:
            kube_config.kube_config.KubeConfigMerger(path)
        except Exception as error:
            raise ValueError(f"{fault(error)} ({path})" if len(paths) > 1 else fault(error)) from error
    try:
        _check_context(loader(kubeconfig))
    except Exception as error:
        raise ValueError(fault(error)) from error


def files(kubeconfig: str) -> str:
    """The same, without paths that lead to no file. The client would open a named pipe, and wait for ever."""
    return os.pathsep.join(path for path in kubeconfig.split(os.pathsep) if os.path.isfile(path))


def loader(kubeconfig: str, context: str | None = None) -> Any:
    """The client's loader of these files, for a context or the current one. Raises what ``fault`` explains.

    It refuses a token file that is no file: the client would open a named pipe, and wait for ever."""
    made: Any = kube_config.kube_config._get_kube_config_loader(
        filename=kubeconfig, active_context=context, persist_config=True
    )
    user: Any = made._user or ()
    if "tokenFile" in user and "token" not in user:
        path = os.path.join(made._get_base_path(user.path), user["tokenFile"])
        if os.path.exists(path) and not os.path.isfile(path):
            raise OSError(errno.EINVAL, "not a file", path)
    return made


def context_of(loader: Any) -> str:
    """The name of the context that it reads."""
    return str(loader._current_context["name"])


def stamp(kubeconfig: str) -> list[tuple[int, int, int]]:
    """What tells files that were written anew from those that were read. Empty where there is none."""
    with suppress(OSError):
        states = [os.stat(path) for path in files(kubeconfig).split(os.pathsep)]
        return [(state.st_ino, state.st_size, state.st_mtime_ns) for state in states]
    return []


def _check_context(loader: Any) -> None:
    """Check what the client's loader does not: the current context's server URL, certificates and proxy."""
    loader._load_cluster_info()
    host = getattr(loader, "host", "")
    if not re.match(r"https?://[^/]", host):
        raise kube_config.ConfigException("the current context's cluster has no server that is a URL")
    user = loader._user
    if user and "exec" not in user and "auth-provider" not in user:
        loader._load_user_token()
    trust, certificate = getattr(loader, "ssl_ca_cert", None), getattr(loader, "cert_file", None)
    if trust:
        ssl.create_default_context(cafile=trust)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_cert_chain(certificate, loader.key_file, password="")  # never asked for on a terminal
    configuration: Any = Configuration()
    loader._set_config(configuration)
    pool(configuration)


def pool(configuration: Any) -> Any:
    """The connections that a configuration describes. None is made yet. Raises what ``fault`` explains."""
    return RESTClientObject(configuration).pool_manager


def delete_temporary_files() -> None:
    """Delete the files in which the client keeps a kubeconfig's inline certificates and keys. Raises nothing.

    It does so itself where a process runs its exit handlers."""
    kube_config.kube_config._cleanup_temp_files()


def has_plugin(loader: Any) -> bool:
    """Whether the kubeconfig names a program, or a service, that tells the token."""
    user: Any = loader._user or ()
    return "exec" in user or "auth-provider" in user


def fault(error: Exception) -> str:
    """What is wrong with a kubeconfig, in a clause. The client's own texts are not used whole: they contain
    users with their tokens."""
    if type(error).__module__.startswith("yaml"):
        mark = getattr(error, "problem_mark", None)
        return "it is not valid YAML" + (f" in line {mark.line + 1}" if mark else "")
    if isinstance(error, ssl.SSLError):
        return f"its certificates cannot be used ({error.reason or 'they hold none'})"
    if isinstance(error, OSError):
        return f"{error.filename or 'a file that it names'} cannot be read ({error.strerror})"
    if isinstance(error, UnicodeError):
        return "it is not text in UTF-8"
    if isinstance(error, ImportError):
        return "a SOCKS proxy, in its proxy-url or in ALL_PROXY, needs the package PySocks: install it"
    if type(error).__module__.startswith("urllib3"):
        return "its proxy-url, or HTTPS_PROXY or ALL_PROXY, is no proxy's address"
    if isinstance(error, kube_config.ConfigException):
        text = re.sub(r"/\{.*\}|Invalid kube-config( file)?\. ", "", str(error), flags=re.DOTALL).rstrip(".")
        return "it is empty" if text.endswith("is empty") else f"it cannot be used ({text})"
    return "it is not a kubeconfig, a map with clusters, contexts and current-context"
