"""prefect.yaml as Prefect understands it, but strict: what Prefect ignores or makes optional is refused or required."""

from pathlib import Path
from typing import Any, Literal

import yaml
from prefect.cli.deploy._models import (
    ConcurrencyLimitSpec,
    DeploymentConfig,
    PrefectYamlModel,
    RawScheduleConfig,
    WorkPoolConfig,
)
from prefect.client.schemas.schedules import SCHEDULE_TYPES, CronSchedule, construct_schedule
from pydantic import BaseModel, Field, ValidationError, model_validator

from deployments.errors import PrefectYamlRejected

FILE = "prefect.yaml"
Step = dict[str, dict[str, Any]]


class Schedule(RawScheduleConfig):
    """A schedule with a slug, so that it can be changed, and a timezone, so that it means the same everywhere."""

    slug: str
    timezone: str

    @model_validator(mode="after")
    def _is_a_schedule(self) -> "Schedule":
        _ = self.dates  # raises where it is none
        return self

    @property
    def dates(self) -> SCHEDULE_TYPES:
        """Return when it makes runs."""
        if self.cron and self.day_or is not None:
            return CronSchedule(cron=self.cron, timezone=self.timezone, day_or=bool(self.day_or))
        return construct_schedule(
            cron=self.cron,
            interval=self.interval,
            rrule=self.rrule,
            timezone=self.timezone,
            anchor_date=self.anchor_date,
        )


class ConcurrencyLimit(ConcurrencyLimitSpec, extra="forbid"):
    """How many runs of one deployment at once, and what becomes of the next."""

    limit: int = Field(ge=1)
    collision_strategy: Literal["ENQUEUE", "CANCEL_NEW"]


class WorkPool(WorkPoolConfig, extra="forbid"):
    """Where the runs wait for a worker."""

    name: str


class Deployment(DeploymentConfig, extra="forbid"):
    """One entry of `deployments:`. Chains and service levels are not used here, so their keys are refused."""

    name: str
    entrypoint: str
    tags: list[str]
    work_pool: WorkPool
    schedule: None = None
    schedules: list[Schedule] = Field(default=[], min_length=1)  # type: ignore[assignment]  # narrower than Prefect's
    concurrency_limit: int | ConcurrencyLimit | None = None
    build: None = None
    push: None = None
    pull: None = None
    triggers: None = None
    sla: None = None


class Definitions(BaseModel, extra="allow"):
    """Anchors, and the values of environment templates where the environment has none."""

    environment: dict[str, str] = {}


class PrefectYaml(PrefectYamlModel, extra="forbid"):
    """The whole file."""

    name: str
    build: list[Step] = Field(default=[])
    push: list[Step] = Field(default=[])
    pull: list[Step] = Field(min_length=1)
    definitions: Definitions = Definitions()
    deployments: list[Deployment] = Field(min_length=1)  # type: ignore[assignment]


def read(root: Path) -> PrefectYaml:
    """Read the file of the project in `root`.

    Raises:
        PrefectYamlRejected: there is none, it is no YAML, or it has keys or values that Prefect would not honour.
    """
    try:
        text = (root / FILE).read_text()
        if twice := sorted(_written_twice(yaml.compose(text, yaml.SafeLoader))):
            raise rejected([f"{place} is written twice, and Prefect takes the last" for place in twice])
        return PrefectYaml.model_validate(yaml.safe_load(text))
    except FileNotFoundError as error:
        raise PrefectYamlRejected(f"no {FILE} in {root}: run this in the project's folder") from error
    except yaml.YAMLError as error:
        raise PrefectYamlRejected(f"{FILE} is not YAML: {error}") from error
    except ValidationError as error:
        raise rejected([f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]) from None


def rejected(problems: list[str]) -> PrefectYamlRejected:
    """Make the error that lists all of these problems."""
    lines = "\n".join(f"  {problem}" for problem in problems)
    return PrefectYamlRejected(f"{FILE} is refused, nothing has been changed; correct:\n{lines}")


def _written_twice(node: yaml.Node | None) -> set[str]:
    if isinstance(node, yaml.SequenceNode):
        return {place for item in node.value for place in _written_twice(item)}
    if not isinstance(node, yaml.MappingNode):
        return set()
    keys = [key.value for key, _ in node.value]
    twice = {f"line {node.start_mark.line + 1}: {key}" for key in keys if keys.count(key) > 1}
    return twice.union(*(_written_twice(value) for _, value in node.value))
