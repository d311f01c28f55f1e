"""What the docs tell people to type works as it stands: kubectl, make, ottoscaler, jq and our modules."""

from __future__ import annotations

import importlib.util
import re
import shlex
from pathlib import Path

import pytest
import yaml

from ottoscaler.cli.arguments import parser

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
PAGES = (
    *sorted(set(ROOT.glob("*.md")) - {ROOT / "CHANGELOG.md"}),
    *sorted((*DOCS.glob("*.md"), *DOCS.glob("ko/*.md"))),
    ROOT / "charts" / "ottoscaler" / "README.md",
    ROOT / "charts" / "ottoscaler" / "templates" / "NOTES.txt",
)
# Of the whole cluster, or with a file or an overlay that names the namespace itself.
WITHOUT = re.compile(
    r"kubectl (drain|cordon|(create|label) namespace|apply -k|delete -k|get nodes|api-resources|config)\b"
)
# What is said about a command is no line to type. README's own line runs where .local-env says which cluster.
SAID = ("kubectl get --raw", "kubectl get jobs", "kubectl exec", "kubectl port-forward", "kubectl auth can-i")
HERE = ("kubectl get pods -l managed-by=ottoscaler",)


def typed(program: str, pages: tuple[Path, ...] = PAGES) -> list[tuple[str, str]]:
    """Every line of the docs that begins with a program: in a block or within a sentence."""
    line = re.compile(rf"(?:^ {{4,}}|^|`|\$\()({program} [^`\n]*)", re.MULTILINE)
    return [
        (page.name, re.sub(r"\s+#\s.*|\)\"?\s*(#.*)?$", "", found).strip())
        for page in pages
        for found in line.findall(page.read_text(encoding="utf-8"))
    ]


def kubectl_lines() -> list[tuple[str, str]]:
    lines = typed("kubectl(?= -| [a-z-]+ )")
    return [(page, line) for page, line in lines if line not in (*SAID, *HERE)]


def test_every_kubectl_line_names_its_namespace() -> None:
    assert len(kubectl_lines()) > 25
    assert [
        (page, line)
        for page, line in kubectl_lines()
        if not re.search(r" (-n|--namespace|-A)[ =]?", line) and not WITHOUT.match(line)
    ] == []


def test_every_kubectl_line_names_what_the_manifests_make() -> None:
    objects = [
        item
        for file in (ROOT / "manifests").glob("**/*.yaml")
        for item in yaml.safe_load_all(file.read_text(encoding="utf-8"))
        if isinstance(item, dict) and "metadata" in item
    ]
    named = {(item["kind"].lower(), item["metadata"].get("name")) for item in objects}
    # Secrets are in no manifest. NOTES.txt has the release's own names, which the chart's tests look at.
    there = {name for kind, name in named if kind == "namespace"} | {"NAMESPACE", "otto-workers"}
    for page, line in kubectl_lines():
        for namespace in re.findall(r" -n (\w\S*)", line):
            assert namespace in there, (page, line)
        for name in re.findall(r" deploy(?:ment)?/(\w\S*)", line):
            assert ("deployment", name) in named, (page, line)


def test_every_jq_line_passes_over_lines_that_are_no_json() -> None:
    piped = [line for page in DOCS.glob("*.md") for line in page.read_text().splitlines() if "| jq " in line]
    assert piped
    piped += re.findall(r"`jq .*`", (ROOT / ".github" / "ISSUE_TEMPLATE" / "bug.yml").read_text())
    assert [line for line in piped if "jq -cR 'fromjson? | " not in line] == []


# A line that shows what may be typed, with brackets, or a part of a sentence.
SHAPE = re.compile(r"[\[…]| (COMMAND|TYPE|TASK)\b|\.\.\.|^ottoscaler (stands|is|has|does|then)\b")


def command_lines() -> list[str]:
    lines = [line for _, line in typed("ottoscaler(?= [a-z])") + typed("python -m ottoscaler(?= [a-z])")]
    lines += [line.partition(" -- ")[2] for _, line in kubectl_lines() if "-- python -m ottoscaler" in line]
    plain = (re.split(r" (?:\|\|?|>|&&) ", line)[0].removeprefix("python -m ") for line in lines)
    filled = {re.sub(r'"\$id"|\bID\b', "1717-0", line.rstrip(":;,.")) for line in plain}
    return sorted(line for line in filled if line != "ottoscaler send" and not SHAPE.search(line))


def test_there_are_many_lines_of_our_own_commands() -> None:
    assert len(command_lines()) > 25


@pytest.mark.parametrize("line", command_lines())
def test_line_of_our_own_commands_is_one_that_they_take(line: str) -> None:
    """The parser would end the test by SystemExit(2), with what is wrong on standard error."""
    assert parser().parse_args(shlex.split(line)[1:]).command == line.split()[1]


def test_every_target_that_is_named_is_in_the_makefile() -> None:
    rules = "".join((ROOT / name).read_text(encoding="utf-8") for name in ("Makefile", "kind.mk"))
    targets = set(re.findall(r"^([a-z-]+):", rules, re.MULTILINE))
    words = [(page, line.split()[1:]) for page, line in typed("make(?= [a-z])")]
    named = {(page, each[0].rstrip(":;,.")) for page, each in words}
    assert len(named) > 40
    assert {(page, target) for page, target in named if target not in targets} == set()


def test_every_module_that_is_run_exists() -> None:
    run = {line.split()[2].rstrip(":;,.") for _, line in typed("python -m(?= (?:tests|ottoscaler)\\.)")}
    assert len(run) > 5
    assert {name for name in run if importlib.util.find_spec(name) is None} == set()


def test_redis_s_users_are_those_that_redis_md_makes() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in DOCS.glob("*.md"))
    made = set(re.findall(r"^ +ACL SETUSER (\S+) reset", text, re.MULTILINE))
    used = set(re.findall(r"rediss://([\w-]+):PASSWORD@|(?:ACL SETUSER|CLIENT KILL USER) ([\w-]+)", text))
    assert {name for pair in used for name in pair if name} - made == set()
