"""The Containerfile says what a production image must be."""

import re

import pytest

from tests.deployment.containerfile import CONTAINERFILE, REPOSITORY, final_stage, global_arguments, read_stages
from tests.deployment.tools import run_tool

VIRTUAL_ENVIRONMENT = "/opt/order-generation"


def test_hadolint_has_nothing_to_say() -> None:
    """The linter's output is empty."""
    assert run_tool("hadolint", str(CONTAINERFILE)) == (0, "")


def test_every_stage_has_the_same_python() -> None:
    """A virtual environment names the interpreter it was made with."""
    stages = read_stages()
    assert stages["packages"].image == final_stage().image == "python:3.13-slim"
    assert stages["build"].image == "packages"
    assert stages["packages"].environment["UV_PYTHON"] == "/usr/local/bin/python3.13"


def test_base_images_can_be_overridden() -> None:
    """CI passes their digests; the default of uv's is a stage of its own, whose tag Dependabot can read."""
    assert global_arguments() == {"PYTHON_IMAGE": "python:3.13-slim", "UV_IMAGE": "uv-release"}
    assert re.fullmatch(r"ghcr\.io/astral-sh/uv:\d+\.\d+\.\d+", read_stages()["uv-release"].image)


def test_everything_comes_from_the_lock_and_nothing_from_the_extras() -> None:
    """The service and the solver are installed without looking at what they require."""
    (sync,) = [run.shell_command for run in read_stages()["packages"].all("RUN")]
    assert sync.startswith("uv sync --frozen --no-dev --no-install-workspace ")
    assert "extra" not in sync
    (install,) = [run.shell_command for run in read_stages()["build"].all("RUN")]
    assert " --no-deps . ./solver " in install


def test_the_packages_layer_needs_only_the_project_files() -> None:
    """Editing the source of the service or the solver does not install the locked packages again."""
    copied = {copy.value for copy in read_stages()["packages"].all("COPY")}
    assert copied == {
        "--from=uv /uv /usr/local/bin/uv",
        "pyproject.toml uv.lock ./",
        "solver/pyproject.toml solver/pyproject.toml",
    }


def test_packages_and_service_reach_the_image_in_layers_of_their_own() -> None:
    """A release whose packages have not changed shares their layer with the release before."""
    assert [copy.value for copy in final_stage().all("COPY")] == [
        f"--from=packages {VIRTUAL_ENVIRONMENT} {VIRTUAL_ENVIRONMENT}",
        f"--from=build /src/installed{VIRTUAL_ENVIRONMENT} {VIRTUAL_ENVIRONMENT}",
    ]
    assert read_stages()["packages"].environment["UV_PROJECT_ENVIRONMENT"] == VIRTUAL_ENVIRONMENT
    assert final_stage().environment["PATH"].split(":")[0] == f"{VIRTUAL_ENVIRONMENT}/bin"


def test_the_contents_of_the_layers_do_not_depend_on_the_build() -> None:
    """Byte code has no times and comes from one process that compiles in order, and every file has the same time."""
    assert read_stages()["packages"].environment["PYTHONHASHSEED"] == "0"
    for stage in ("packages", "build"):
        (run,) = read_stages()[stage].all("RUN")
        assert " -m compileall -q --invalidation-mode unchecked-hash " in run.shell_command
        assert run.shell_command.endswith(" -exec touch --no-dereference --date=@0 {} +")


def test_the_image_takes_security_updates_and_loses_its_installer() -> None:
    """The final stage upgrades Debian's packages, and removes pip and package lists."""
    command = final_stage().only("RUN").shell_command
    for step in ("apt-get upgrade --yes", "rm -rf /var/lib/apt/lists/*", "pip uninstall --yes pip", "ensurepip"):
        assert step in command
    assert "install" not in command.replace("uninstall", "")


def test_it_runs_as_a_numeric_user_that_is_not_root() -> None:
    """Kubernetes can verify the user by its number."""
    user, group = final_stage().only("USER").value.split(":")
    assert int(user) > 0
    assert int(group) > 0


def test_signals_reach_the_server() -> None:
    """An exec form has no shell in between."""
    assert final_stage().only("ENTRYPOINT").arguments == ["order-generation"]
    assert final_stage().only("CMD").arguments == ["serve"]
    assert final_stage().only("STOPSIGNAL").value == "SIGTERM"


def test_it_says_what_it_is() -> None:
    """The labels of the OCI annotations are complete, and their values are build arguments."""
    labels = final_stage().only("LABEL").value
    for label in ("title", "description", "licenses", "source", "version", "revision", "created", "base.name"):
        assert f"org.opencontainers.image.{label}=" in labels
    assert [argument.value for argument in final_stage().all("ARG")] == [
        "VERSION",
        "REVISION",
        "CREATED",
        "PYTHON_DIGEST",
    ]


@pytest.mark.parametrize("needed", ["pyproject.toml", "uv.lock", "README.md", "LICENSE", "app", "solver"])
def test_the_build_context_has_what_the_image_is_built_from(needed: str) -> None:
    """Each copied path passes the ignore file."""
    assert needed in copied_from_context()
    assert f"!{needed}" in context_rules()


def test_the_build_context_has_nothing_else() -> None:
    """The ignore file excludes everything by default, byte code included."""
    rules = context_rules()
    assert rules[0] == "*"
    for rule in rules:
        if rule.startswith("!"):
            assert rule[1:] in copied_from_context()
    assert {"**/__pycache__", "**/*.pyc"} <= set(rules)


def copied_from_context() -> set[str]:
    """Return what the stages copy from the build context."""
    copies = [copy.value for stage in read_stages().values() for copy in stage.all("COPY")]
    return {word for copy in copies if not copy.startswith("--from=") for word in copy.split()[:-1]}


def context_rules() -> list[str]:
    """The lines of .dockerignore."""
    lines = (REPOSITORY / ".dockerignore").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]
