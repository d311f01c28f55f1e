"""Operators' templates at work: what they accept is enforced, and what is odd about them is told."""

from __future__ import annotations

from pathlib import Path

from tests.harness.cluster_state import FOREVER, NEVER_STARTS, ledger
from tests.harness.configmap import publish
from tests.harness.sandbox import Sandbox, sandbox
from tests.harness.scenarios import end_workers
from tests.harness.template_story import Roll, texts
from tests.harness.waiting import wait_for

PLAIN = """\
apiVersion: v1
kind: Pod
metadata:
  annotations: {{{annotations}}}
spec:
  securityContext: {{runAsNonRoot: true, runAsUser: 65532, seccompProfile: {{type: RuntimeDefault}}}}
  containers:
    - name: worker
      image: busybox:latest
      env: {env}
      securityContext: {{allowPrivilegeEscalation: false, capabilities: {{drop: [ALL]}}}}
"""
LISTED = 'ottoscaler.io/env: "TOKEN, OTHER, SIM_*"'
SECRET = "[{name: TOKEN, value: the operators own}]"


def write(directory: Path, **templates: str) -> str:
    for profile, text in templates.items():
        (directory / f"{profile}.yaml").write_text(text)
    return str(directory)


def test_each_profile_takes_the_fields_that_it_accepts_and_dead_letters_others(tmp_path: Path) -> None:
    directory = write(
        tmp_path,
        default=PLAIN.format(annotations="example.org/from: default", env="[]"),
        silent=PLAIN.format(annotations=f"example.org/from: silent, {LISTED}", env=SECRET),
        open=PLAIN.format(annotations='ottoscaler.io/accepts: "*", example.org/from: open', env=SECRET),
        closed=PLAIN.format(annotations='ottoscaler.io/accepts: "", example.org/from: closed', env=SECRET),
    )
    with sandbox(OTTO_TEMPLATES_DIR=directory) as place:
        replica = place.start()
        for profile, accepts in {
            "default": "image command args env cpu memory",
            "silent": "env cpu memory",
            "open": "image command args env cpu memory",
            "closed": "",
        }.items():
            check(place, profile, set(accepts.split()))
        letter = place.wait_dead(place.send("scale_up", pod_count=1, profile="gpu"))
        assert "gpu" in letter["error"]
        assert "closed, default, open, silent" in letter["error"]
        place.wait_nothing_pending()
        assert not [w for w in replica.lines(action="settings_warning") if "restricted" in w["message"]]


FIELDS: dict[str, object] = {
    "image": "busybox:latest",
    "command": ["true"],
    "args": ["x"],
    "env": {"TOKEN": "mine", "OTHER": "1", **NEVER_STARTS},
    "cpu": "1",
    "memory": "1Gi",
}


def check(place: Sandbox, profile: str, accepts: set[str]) -> None:
    """Send each field by itself: it is dead-lettered, or its Pod comes from this profile's template."""
    sent = {
        name: place.send("scale_up", pod_count=1, profile=profile, **{name: value})
        for name, value in FIELDS.items()
    }
    for name in set(FIELDS) - accepts:
        letter = place.wait_dead(sent[name])
        assert profile in letter["error"]
        assert name in letter["error"]
        assert letter["field:profile"] == profile
    for name in accepts - {"env"}:
        assert place.wait_event(sent[name])["status"] == "succeeded"
    if "env" in accepts:
        pod = place.wait_workers(sent["env"], "Pending", 1)[0]
        assert pod["metadata"]["annotations"]["example.org/from"] == profile
        told = {e["name"]: e["value"] for e in pod["spec"]["containers"][0]["env"]}
        assert told["OTHER"] == "1"
        assert told["TOKEN"] == ("mine" if profile == "default" else "the operators own")
        place.wait_event(place.send("scale_down", task_id=sent["env"]))


def test_a_profile_takes_no_env_name_that_it_does_not_list(tmp_path: Path) -> None:
    directory = write(
        tmp_path,
        listed=PLAIN.format(annotations=LISTED, env=SECRET),
        silent=PLAIN.format(annotations="", env=SECRET),
    )
    with sandbox(OTTO_TEMPLATES_DIR=directory) as place:
        replica = place.start()
        letter = place.wait_dead(place.scale_up(1, profile="listed", env={"OTHER": "1", "MAKEFLAGS": "x"}))
        assert letter["error"] == (
            "profile listed does not accept the env names MAKEFLAGS; it accepts: OTHER, SIM_*, TOKEN"
        )
        assert place.wait_event(place.scale_up(1, profile="listed", env={"OTHER": "1"}))
        letter = place.wait_dead(place.scale_up(1, profile="silent", env={"OTHER": "1"}))
        assert letter["error"] == "profile silent does not accept env; it accepts: cpu, memory"
        (warning,) = (w["message"] for w in replica.lines(action="settings_warning") if "env" in w["message"])
        assert warning.startswith("silent.yaml: events with env are refused: list the accepted names in ")
        # The built-in default is still there, and takes it.
        assert place.wait_event(place.send("scale_up", pod_count=1, env={"LD_PRELOAD": "/x"}))


def test_a_broken_profile_dead_letters_its_own_events_and_no_others(tmp_path: Path) -> None:
    (tmp_path / "Bad_Name.yaml").write_text("")
    directory = write(
        tmp_path,
        bad=PLAIN.format(annotations="", env="[]").replace("spec:\n", "spec:\n  restartPolicy: Always\n", 1),
        good=PLAIN.format(annotations='ottoscaler.io/accepts: "*"', env="[]"),
    )
    with sandbox(OTTO_TEMPLATES_DIR=directory) as place:
        replica = place.start()
        bad, good, plain = (place.scale_up(1, profile=each) for each in ("bad", "good", "default"))
        letter = place.wait_dead(bad)
        assert letter["error"] == (
            "profile: the template of 'bad' is invalid: "
            "bad.yaml: spec.restartPolicy must be Never: a worker runs once"
        )
        assert letter["field:profile"] == "bad"
        assert place.wait_event(good)["status"] == "succeeded"
        assert place.wait_event(plain)["status"] == "succeeded"
        place.wait_nothing_pending()
        told = [(line["level"], line["message"]) for line in replica.lines(action="template_invalid")]
        assert [level for level, _ in told] == ["ERROR", "ERROR"]
        assert "Bad_Name.yaml: invalid name" in told[0][1]
        assert "bad.yaml: spec.restartPolicy" in told[1][1]
        wait_for(lambda: replica.metric("ottoscaler_template_problems") == 2, "they are counted")


def test_a_templates_own_grace_is_kept_when_its_worker_is_cancelled(tmp_path: Path) -> None:
    text = PLAIN.format(annotations='ottoscaler.io/accepts: "*"', env="[]")
    text = text.replace("spec:\n", "spec:\n  terminationGracePeriodSeconds: 3\n")
    with sandbox(OTTO_TEMPLATES_DIR=write(tmp_path, slow=text)) as place:
        place.start()
        event_id = place.scale_up(
            1, run_seconds=FOREVER, profile="slow", task_id="s", env={"SIM_TERM_SECONDS": "1"}
        )
        place.wait_workers(event_id, "Running", 1)
        place.send("scale_down", task_id="s")
        pod = wait_for(
            lambda: [p for p in place.kube.workers(event_id) if p["metadata"].get("deletionTimestamp")],
            "it is deleted",
        )[0]
        assert pod["metadata"]["deletionGracePeriodSeconds"] == 3
        assert place.workers(event_id) == []
        assert place.wait_event(event_id)["status"] == "cancelled"


def test_changed_templates_are_taken_up_while_it_serves(tmp_path: Path) -> None:
    """As a kubelet mounts a ConfigMap: a new version comes by one link that moves."""
    directory = tmp_path / "templates"
    publish(directory, texts(default="one"))
    with sandbox(OTTO_TEMPLATES_DIR=str(directory)) as place:
        replica = place.start()
        # Nobody knows it, so it is looked for at once: whenever it comes, the next event finds it.
        letter = place.wait_dead(place.scale_up(1, profile="early"))
        assert letter["error"] == "profile: unknown profile 'early'; expected one of default"
        publish(directory, texts(default="one", early="one"))
        assert place.wait_event(place.scale_up(1, profile="early"))["status"] == "succeeded"
        Roll(place, replica, lambda data: publish(directory, data)).play()


def test_an_update_that_breaks_a_profile_takes_no_running_worker_away(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    for directory in (old, new):
        directory.mkdir()
        write(directory, default=PLAIN.format(annotations="", env="[]"))
    write(old, builds=PLAIN.format(annotations=LISTED, env="[]"))
    write(new, builds="kind: Deployment")
    with sandbox(OTTO_MAX_WORKERS="1", OTTO_SHUTDOWN_GRACE_SECONDS="0") as place:
        first = place.start(OTTO_TEMPLATES_DIR=str(old))
        event_id = place.scale_up(2, run_seconds=FOREVER, profile="builds", task_id="build-7")
        (pod,) = place.wait_workers(event_id, "Running", 1)
        behind = place.scale_up(2, profile="builds")  # taken, and none of it begun
        wait_for(lambda: ledger(place, behind), "it is taken")
        assert first.stop() == 0
        second = place.start("b", OTTO_TEMPLATES_DIR=str(new))
        wait_for(lambda: second.lines(action="pod_adopted", event_id=event_id), "what runs is adopted")
        end_workers(place, event_id)
        assert place.wait_event(event_id)["status"] == "partial"
        running, other = place.workers(event_id)
        assert (running["status"], running["pod"]) == ("succeeded", pod["metadata"]["name"])
        assert second.lines(action="event_out_of_policy", event_id=event_id, task_id="build-7")
        assert place.wait_event(behind)["status"] == "failed"
        for worker in (other, *place.workers(behind)):
            assert (worker["status"], worker["reason"], worker["pod"]) == ("failed", "Rejected", "")
            assert worker["message"].startswith("profile: the template of 'builds' is invalid: builds.yaml: ")
        assert not place.redis.exists("otto:scale:dead")
