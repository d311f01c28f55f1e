"""Redis over TLS, with a certificate on each side, and both renewed while workers run."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from tests.harness.preloaded import run
from tests.harness.sandbox import Sandbox
from tests.harness.scenarios import end_workers, ends_well, running
from tests.harness.tls_front import Authority, TlsFront
from tests.harness.waiting import wait_for

RECOVERY_SECONDS = 10.0


class Files:
    """What the settings ``REDIS_TLS_*`` name, written anew as a Secret's mount is."""

    def __init__(self, directory: Path) -> None:
        self._names = {each: directory / each for each in ("ca", "cert", "key")}
        self.settings: dict[str, Any] = {
            f"REDIS_TLS_{each.upper()}_FILE": str(path) for each, path in self._names.items()
        }

    def trust(self, *authorities: Authority) -> None:
        self._names["ca"].write_text("".join(each.certificate.read_text() for each in authorities))

    def show(self, authority: Authority, name: str) -> None:
        for file, issued in zip(("cert", "key"), authority.issue(name), strict=True):
            shutil.copy(issued, self._names[file])


# Certificates are made by openssl; where it is not installed there is nothing to collect.
if shutil.which("openssl"):

    def test_certificates_of_another_authority_need_no_restart(place: Sandbox, tmp_path: Path) -> None:
        old, new, files = Authority(tmp_path, "old"), Authority(tmp_path, "new"), Files(place.directory)
        files.trust(old)
        files.show(old, "client-1")
        front = TlsFront(place.redis_server.port, old, "server-1")
        replica = place.start(REDIS_URL=f"rediss://127.0.0.1:{front.port}", **files.settings)
        event_id = running(place, 2)
        files.trust(old, new)
        front.renew(new, "server-2")
        wait_for(lambda: not replica.ready(), "our own certificate is one of the old authority", 5)
        files.show(new, "client-2")
        wait_for(replica.ready, "it is let in again", RECOVERY_SECONDS)
        files.trust(new)
        front.renew(new, "server-3")
        end_workers(place, event_id)
        ends_well(place, event_id, 2)
        ends_well(place, place.scale_up())
        front.close()

    def test_server_of_a_strange_authority_is_told_and_not_spoken_to(place: Sandbox, tmp_path: Path) -> None:
        ours, strange, files = Authority(tmp_path, "a"), Authority(tmp_path, "b"), Files(place.directory)
        files.trust(ours)
        files.show(ours, "client")
        front = TlsFront(place.redis_server.port, strange, "server")
        url = f"rediss://user:s3cret@127.0.0.1:{front.port}"
        checked = run(["check"], place.environment(REDIS_URL=url, **files.settings))
        assert checked.returncode == 1
        assert "certificate verify failed" in checked.stdout
        assert "s3cret" not in checked.stdout + checked.stderr
        front.close()
