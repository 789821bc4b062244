"""The Containerfile says what a production image must be."""

import pytest

from tests.deployment.containerfile import CONTAINERFILE, REPOSITORY, final_stage, read_stages
from tests.deployment.tools import run_tool

VIRTUAL_ENVIRONMENT = "/opt/order-generation"


def test_hadolint_has_nothing_to_say() -> None:
    assert run_tool("hadolint", str(CONTAINERFILE)) == (0, "")


def test_both_stages_have_the_same_python() -> None:
    """A virtual environment names the interpreter it was made with."""
    stages = read_stages()
    assert stages["build"].image == final_stage().image == "python:3.13-slim"
    assert stages["build"].environment["UV_PYTHON"] == "/usr/local/bin/python3.13"


def test_everything_comes_from_the_lock_and_nothing_from_the_extras() -> None:
    syncs = [run.shell_command for run in read_stages()["build"].all("RUN") if "uv " in run.value]
    assert len(syncs) == 2
    for sync in syncs:
        assert sync.startswith("uv sync --frozen --no-dev ")
        assert "--extra" not in sync
        assert "--all-extras" not in sync
    assert syncs[-1].endswith("--no-editable")


def test_the_packages_layer_needs_only_the_project_files() -> None:
    """Editing the source of the service or the solver does not install the locked packages again."""
    build = read_stages()["build"].instructions
    first = next(index for index, instruction in enumerate(build) if "--no-install-workspace" in instruction.value)
    copied = " ".join(instruction.value for instruction in build[:first] if instruction.keyword == "COPY").split()
    assert {"pyproject.toml", "uv.lock", "solver/pyproject.toml"} <= set(copied)
    assert not {"app", "solver", "persistence", "integrations"} & set(copied)


def test_only_the_virtual_environment_reaches_the_image() -> None:
    assert final_stage().only("COPY").value == f"--from=build {VIRTUAL_ENVIRONMENT} {VIRTUAL_ENVIRONMENT}"
    assert read_stages()["build"].environment["UV_PROJECT_ENVIRONMENT"] == VIRTUAL_ENVIRONMENT
    assert final_stage().environment["PATH"].split(":")[0] == f"{VIRTUAL_ENVIRONMENT}/bin"


def test_the_image_takes_security_updates_and_loses_its_installer() -> None:
    command = final_stage().only("RUN").shell_command
    for step in ("apt-get upgrade --yes", "rm -rf /var/lib/apt/lists/*", "pip uninstall --yes pip", "ensurepip"):
        assert step in command
    assert "install" not in command.replace("uninstall", "")


def test_it_runs_as_a_numeric_user_that_is_not_root() -> None:
    user, group = final_stage().only("USER").value.split(":")
    assert int(user) > 0
    assert int(group) > 0


def test_signals_reach_the_server() -> None:
    """An exec form has no shell in between."""
    assert final_stage().only("ENTRYPOINT").arguments == ["order-generation"]
    assert final_stage().only("CMD").arguments == ["serve"]
    assert final_stage().only("STOPSIGNAL").value == "SIGTERM"


def test_it_says_what_it_is() -> None:
    labels = final_stage().only("LABEL").value
    for label in ("title", "description", "licenses", "source", "version", "revision", "created", "base.name"):
        assert f"org.opencontainers.image.{label}=" in labels
    assert [argument.value for argument in final_stage().all("ARG")] == ["VERSION", "REVISION", "CREATED"]


@pytest.mark.parametrize("needed", ["pyproject.toml", "uv.lock", "README.md", "LICENSE", "app", "solver"])
def test_the_build_context_has_what_the_image_is_built_from(needed: str) -> None:
    copied = " ".join(copy.value for copy in read_stages()["build"].all("COPY"))
    assert needed in copied
    assert f"!{needed}" in context_rules()


def test_the_build_context_has_nothing_else() -> None:
    rules = context_rules()
    assert rules[0] == "*"
    for rule in rules:
        if rule.startswith("!"):
            assert any(rule[1:] in copy.value.split() for copy in read_stages()["build"].all("COPY"))
    assert {"**/__pycache__", "**/*.pyc"} <= set(rules)


def context_rules() -> list[str]:
    """The lines of .dockerignore."""
    lines = (REPOSITORY / ".dockerignore").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]
