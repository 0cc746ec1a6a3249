"""Everything that can be known about prefect.yaml without a server, so that a bad one is refused before any change."""

import inspect
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect.blocks.core import Block
from prefect.client.schemas.schedules import SCHEDULE_TYPES
from prefect.deployments.steps.core import RESERVED_KEYWORDS
from prefect.exceptions import MissingFlowError, ScriptError
from prefect.flows import Flow, load_flow_from_entrypoint
from prefect.utilities.importtools import import_object

from deployments.alerts import TAG
from deployments.differences import Wanted
from deployments.leaks import leaks
from deployments.parameters import parameter_problems, references, server_problems
from deployments.prefect_deploy import ONLY_FOR_WORKERS
from deployments.prefect_yaml import Deployment, PrefectYaml, Step, read, rejected
from deployments.templates import hide, misspelt, unset
from deployments.work_pools import POOLS


@dataclass(frozen=True)
class Project:
    """What a checked prefect.yaml asks for."""

    wanted: Mapping[str, Wanted]  # by flow/deployment
    documents: Mapping[str, str]  # slug of a block document → a deployment that refers to it
    schedules: Mapping[str, Sequence[SCHEDULE_TYPES]]  # flow/deployment → its schedules, where some are active
    environment: Mapping[str, str]  # what fills in the templates: the variables, and the file's defaults

    @property
    def deployments(self) -> frozenset[str]:
        """Return the names of all deployments, as flow/deployment."""
        return frozenset(self.wanted)


def check(root: Path, types: Mapping[str, type[Block]], environ: Mapping[str, str]) -> Project:
    """Check prefect.yaml in `root` against the flows beside it and the known block types.

    Raises:
        PrefectYamlRejected: the message lists every problem found, with its place in the file.
    """
    file = read(root)
    given = {name: value for name, value in environ.items() if value}  # an empty variable takes its default
    environment = {**file.definitions.environment, **given}
    problems = [*_step_problems(file), *leaks(file.model_dump(), environment)]
    problems += misspelt(file.model_dump(), given)
    problems += unset(file.pull, {**environment, **dict.fromkeys(ONLY_FOR_WORKERS, "the worker's")}, "pull")
    named: dict[str, Wanted] = {}
    for deployment in file.deployments:
        try:
            flow: Flow[..., Any] = load_flow_from_entrypoint(
                f"{root}/{deployment.entrypoint}", use_placeholder_flow=False
            )
        except (MissingFlowError, ScriptError, ImportError, OSError) as error:
            problems.append(f"deployments.{deployment.name}.entrypoint: {error.__cause__ or error}")
            continue
        name = f"{flow.name}/{deployment.name}"
        problems += [f"deployments: {name} is there twice"] if name in named else []
        problems += [f"deployments.{name}.{problem}" for problem in _problems(deployment, flow, types, environment)]
        named[name] = Wanted(deployment, flow, file.pull)
    if problems:
        raise rejected([hide(problem, given, file.model_dump()) for problem in problems])
    documents = {slug: name for name, d in named.items() for slug in references(d.deployment.parameters)}
    schedules = {name: active for name, d in named.items() if (active := _active_schedules(d.deployment))}
    return Project(named, documents, schedules, environment)


def _active_schedules(deployment: Deployment) -> list[SCHEDULE_TYPES]:
    return [schedule.dates for schedule in deployment.schedules if schedule.active is not False]


def _problems(
    deployment: Deployment, flow: Flow[..., Any], types: Mapping[str, type[Block]], environ: Mapping[str, str]
) -> Iterator[str]:
    yield from unset(deployment.model_dump(), environ)
    if TAG not in deployment.tags:
        yield f"tags: without {TAG} no alert covers its runs"
    yield from _pool_problems(deployment)
    scheduled = bool(deployment.schedules)
    yield from parameter_problems(flow, deployment.parameters, types, environ, complete=scheduled)
    if deployment.enforce_parameter_schema is not False:
        yield from server_problems(flow, deployment.parameters)
    for schedule in deployment.schedules:
        merged = {**deployment.parameters, **schedule.parameters}
        if schedule.parameters:
            problems = parameter_problems(flow, merged, types, environ, complete=True)
            yield from (f"schedules.{schedule.slug}.{problem}" for problem in problems)
    slugs = Counter(schedule.slug for schedule in deployment.schedules)
    yield from (f"schedules: slug {slug} is there {n} times" for slug, n in slugs.items() if n > 1)


def _pool_problems(deployment: Deployment) -> Iterator[str]:
    pools = {pool.name: pool for pool in POOLS}
    if deployment.work_pool.name not in pools:
        yield f"work_pool.name: deployments/work_pools.py has no pool {deployment.work_pool.name}"
        return
    known = pools[deployment.work_pool.name].template["variables"]["properties"]
    for key in deployment.work_pool.job_variables.keys() - known.keys():
        yield f"work_pool.job_variables.{key}: unknown; there is {', '.join(sorted(known))}"


def _step_problems(file: PrefectYaml) -> Iterator[str]:
    for section in ("build", "push", "pull"):
        for step in getattr(file, section):
            yield from (f"{section}: {problem}" for problem in _one_step(step))


def _one_step(step: Step) -> Iterator[str]:
    if len(step) != 1:
        yield f"a step has one key, the function's name, not {', '.join(step)}"
        return
    ((name, inputs),) = step.items()
    try:
        known = inspect.signature(import_object(name)).parameters
    except (ImportError, AttributeError) as error:
        yield f"{name}: {error}"
        return
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in known.values()):
        return
    for key in inputs.keys() - known.keys() - set(RESERVED_KEYWORDS):
        yield f"{name}.{key}: unknown; there is {', '.join(known)}"
