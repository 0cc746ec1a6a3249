"""Finding the jobs: every module beside this one with a flow of its own name is one.

A job that makes plans has two functions next to its flow: `open_store`, whose first parameter takes the
credentials, and `make_judge`, whose first parameter takes the store. Their other parameters bear the names of
the flow's, so that a plan's header is enough to make both again.
"""

from __future__ import annotations

import ast
import inspect
import pkgutil
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from pydantic import validate_call

from tasks.changes.errors import PlanDamaged, WrongStore
from tasks.changes.plan_file import Header
from tasks.changes.protocols import Judge, Store

if TYPE_CHECKING:  # listing the jobs needs no Prefect, which takes a second to import
    from prefect import Flow

    from blocks import Credentials

NOT_JOBS = ("cli", "command", "jobs", "plans", "private_server")


def job_names() -> list[str]:
    """Give the names of all jobs, without importing them."""
    found = pkgutil.iter_modules([str(Path(__file__).parent)])
    return sorted(module.name.replace("_", "-") for module in found if module.name not in NOT_JOBS)


def module_of(job: str) -> ModuleType:
    """Import a job's module."""
    return import_module(f"flows.{job.replace('-', '_')}")


def flow_of(job: str) -> Flow[..., Any]:
    """Give a job's flow."""
    found: Flow[..., Any] = getattr(module_of(job), job.replace("-", "_"))
    return found


def summary_of(job: str) -> str:
    """Give the first line of a job's docstring, without importing it."""
    source = Path(__file__).with_name(f"{job.replace('-', '_')}.py").read_text()
    return (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]


def _part(header: Header, name: str) -> Callable[..., Any]:
    if header.job not in job_names() or not hasattr(module_of(header.job), name):
        message = f"The plan was made by the job {header.job!r}, which this Steward does not have."
        raise PlanDamaged(message)
    part: Callable[..., Any] = getattr(module_of(header.job), name)
    return part


def _remake(part: Callable[..., Any], first: Any, header: Header) -> Any:
    takes = list(inspect.signature(part).parameters)[1:]
    given = {name: header.parameters[name] for name in takes if name in header.parameters}
    return validate_call(config={"arbitrary_types_allowed": True})(part)(first, **given)


def store_of(header: Header, credentials: Credentials) -> Store[Any]:
    """Open the store of a plan.

    Raises WrongStore where its job takes other credentials.
    """
    part = _part(header, "open_store")
    wanted = next(iter(inspect.signature(part, eval_str=True).parameters.values())).annotation
    if not isinstance(credentials, wanted):
        message = f"The plan was made by {header.job}, whose store is {wanted.takes}. Nothing was done."
        raise WrongStore(message)
    store: Store[Any] = _remake(part, credentials, header)
    return store


def judge_of(header: Header, store: Store[Any]) -> Judge[Any]:
    """Make the judge of a plan again, to look again before a batch is applied."""
    judge: Judge[Any] = _remake(_part(header, "make_judge"), store, header)
    return judge
