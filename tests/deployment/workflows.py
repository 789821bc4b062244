"""The GitHub workflows and actions of the project, as text and as data."""

from pathlib import Path
from typing import Any

import yaml

from tests.deployment.containerfile import REPOSITORY

GITHUB = REPOSITORY / ".github"
FILES = sorted((GITHUB / "workflows").glob("*.yml"))

type Workflow = dict[str, Any]
type Job = dict[str, Any]


class WorkflowLoader(yaml.SafeLoader):
    """YAML as GitHub reads it, where the key `on` is a word and not a truth value."""


WorkflowLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def load(path: Path) -> Workflow:
    """One file."""
    loaded: Workflow = yaml.load(path.read_text(), WorkflowLoader)
    return loaded


def workflow(name: str) -> Workflow:
    """The workflow in a file of that name."""
    return load(GITHUB / f"workflows/{name}.yml")


def jobs() -> dict[str, Job]:
    """Every job of every workflow, by file and name."""
    return {f"{path.stem}/{name}": job for path in FILES for name, job in load(path)["jobs"].items()}


def commands(job: Job) -> list[str]:
    """What its steps run."""
    return [step["run"] for step in job.get("steps", []) if "run" in step]


def scripts() -> dict[str, str]:
    """Every script in a workflow or action, by its place."""
    steps = {name: job.get("steps", []) for name, job in jobs().items()}
    steps |= {path.parent.name: load(path)["runs"]["steps"] for path in GITHUB.glob("actions/*/action.yml")}
    return {
        f"{place} {number}": step["run"] for place in steps for number, step in enumerate(steps[place]) if "run" in step
    }


def step_using(job: Job, action: str) -> Any:
    """The inputs of the one step that uses an action."""
    (found,) = [step for step in job["steps"] if step.get("uses", "").startswith(f"{action}@")]
    return found["with"]
