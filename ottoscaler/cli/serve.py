"""``run``: the service. The main thread starts everything and then only waits for signals."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from ottoscaler.config import load as config
from ottoscaler.config.settings import Settings
from ottoscaler.errors import BadSettings, BadTemplate
from ottoscaler.name_lookups import bound_lookups
from ottoscaler.pods.templates import Templates, load_templates
from ottoscaler.scheduling import keep_to_one_cpu
from ottoscaler.telemetry import logs
from ottoscaler.telemetry.redaction import hide

if TYPE_CHECKING:
    from ottoscaler.app import App

SIGNALS = {signal.SIGTERM, signal.SIGINT}
GC_THRESHOLDS = (20_000, 20, 20)  # reference counts free decoded JSON; cycles are rare here
FLUSH_SECONDS = 5.0  # for the last lines, when the process ends
HARD_LIMIT_SECONDS = 30.0  # after the grace period, a process that has not stopped by then is ended


def complain(problems: list[str]) -> None:
    """Print one line for each problem. It is plain text for people, whatever the log format is."""
    for problem in problems:
        print(f"ottoscaler: {problem}", file=sys.stderr)


def check_kubeconfig(kubeconfig: str) -> None:
    """Raise ValueError if the kubeconfig's files cannot be used."""
    from ottoscaler.kube.kubeconfig import check  # imported late: the Kubernetes client is slow to import

    check(kubeconfig)


def load(environ: Mapping[str, str]) -> tuple[Settings, Templates] | None:
    """Settings and templates. If there are problems, prints a line for each and returns ``None``."""
    try:
        settings = config.load(environ, check_kubeconfig)
    except BadSettings as error:
        complain(error.problems)
        return None
    try:
        return settings, load_templates(
            settings.templates_dir or None, agent_image=settings.agent_image, namespace=settings.namespace
        )
    except BadTemplate as error:
        complain(error.problems)
        return None


def serve(environ: Mapping[str, str]) -> int:
    """Run the service until a signal. Returns the exit code."""
    loaded = load(environ)
    if loaded is None:
        return 2
    settings, templates = loaded
    hide(*settings.secrets)
    logs.configure(settings.log_level, settings.log_format)
    log = logs.get_logger("ottoscaler")
    for warning in (*settings.warnings, *config.unknown_settings(environ), *templates.warnings):
        log.warning("settings_warning", warning)
    for problem in templates.problems:
        log.error("template_invalid", problem)
    from ottoscaler.app import App
    from ottoscaler.controller.dispatcher import STACK_BYTES

    threading.stack_size(STACK_BYTES)
    bound_lookups()
    if settings.one_cpu:
        keep_to_one_cpu()
    app = App(settings, templates)
    # Imported modules are never freed, so the collector need not visit them again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    try:
        app.start()
    except OSError as error:
        complain([error.strerror or str(error)])
        return 2
    return _wait(app)


def _wait(app: App) -> int:
    """Wait for signals on the main thread. The first one starts the stop thread, which sends the last one.
    Any other makes the service leave its workers."""
    signal.sigwait(SIGNALS)

    def stop() -> None:
        try:
            app.stop()
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    limit = threading.Timer(app.settings.shutdown_grace_seconds + HARD_LIMIT_SECONDS, end, args=(1,))
    limit.daemon = True
    limit.start()
    threading.Thread(target=stop, name="stop", daemon=True).start()
    while not app.finished.is_set():
        signal.sigwait(SIGNALS)
        if not app.finished.is_set():
            app.leave_workers()
    return app.exit_code


def end(code: int) -> None:
    """Flush the logs, delete temporary files and end the process.

    It waits for no pool thread, nor for more than FLUSH_SECONDS for a reader of our output that hangs."""
    flusher = threading.Thread(target=_flush, name="flush", daemon=True)
    with suppress(RuntimeError):  # no thread can be started: the last lines are lost, the exit code is not
        flusher.start()
        flusher.join(FLUSH_SECONDS)
    os._exit(code)


def _flush() -> None:
    kubeconfig = sys.modules.get("ottoscaler.kube.kubeconfig")  # to import it takes longer than most commands
    with suppress(Exception):  # a thread may be making such a file
        if kubeconfig is not None:
            kubeconfig.delete_temporary_files()
    for flush in (logging.shutdown, sys.stdout.flush, sys.stderr.flush):
        with suppress(OSError, ValueError):  # closed by us or by the reader: what was not written is lost
            flush()
