"""Finding the jobs: every module beside this one with a flow of its own name is one.

A job that makes plans has two functions next to its flow: `open_store`, whose first parameter takes the
credentials, and `make_judge`, whose first parameter takes the store. Their other parameters bear the names of
the flow's, so that a plan's header is enough to make both again. A job whose parameters a file may hold has `runs_in`,
which reads them, and names them in `IN_FILE`: the command does not take those.
"""

from __future__ import annotations

import ast
import pkgutil
from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from inspect import signature
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, get_args

from pydantic import validate_call

from tasks.changes.errors import BadInput, PlanDamaged, WrongStore
from tasks.changes.plan_file import Header
from tasks.changes.protocols import Judge, Store

if TYPE_CHECKING:  # listing the jobs needs no Prefect, which takes a second to import
    from prefect import Flow

    from blocks.credentials import Credentials

NOT_JOBS = (
    *("announcing", "cli", "command", "failures", "importing", "jobs", "log_file", "masking", "named_stores"),
    *("plans", "prefect_api", "printing", "private_server", "terminal"),
)
SYSTEMS = {"datajoint": "DataJoint", "datashare": "Datashare"}
OWN = "Plans"
"""What the jobs are about that know no system."""
Reader = Callable[..., list[dict[str, Any]]]


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


def reader_of(job: str) -> Reader | None:
    """Give what reads a job's parameters from a file, if it has that."""
    found: Reader | None = getattr(module_of(job), "runs_in", None)
    return found


def summary_of(job: str) -> str:
    """Give the first line of a job's docstring, without importing it."""
    return (ast.get_docstring(_source_of(job)) or "").partition("\n")[0]


def system_of(job: str) -> str:
    """Return the name of the system that a job is about, by what it imports, without importing it."""
    imported = [node.module or "" for node in _source_of(job).body if isinstance(node, ast.ImportFrom)]
    rooms = [module.split(".")[1] for module in imported if module.startswith("tasks.")]
    system = next((room for room in rooms if room not in ("changes", "stores")), None)
    return SYSTEMS.get(system, system.title()) if system else OWN


@cache
def _source_of(job: str) -> ast.Module:
    return ast.parse(Path(__file__).with_name(f"{job.replace('-', '_')}.py").read_text())


def _part(header: Header, name: str) -> Callable[..., Any]:
    if header.job not in job_names() or not hasattr(module_of(header.job), name):
        message = f"The plan was made by the job {header.job!r}, which this Steward does not have."
        raise PlanDamaged(message)
    part: Callable[..., Any] = getattr(module_of(header.job), name)
    return part


def _remake(part: Callable[..., Any], first: Any, parameters: Mapping[str, Any]) -> Any:
    own = list(signature(part).parameters.values())[1:]
    given = {one.name: _loaded(parameters[one.name]) for one in own if one.name in parameters}
    if missing := [one.name for one in own if one.default is one.empty and one.name not in given]:
        message = f"STORE does not tell the plan's {', '.join(missing)}: give the file that its job was run with."
        raise BadInput(message)
    return validate_call(config={"arbitrary_types_allowed": True})(part)(first, **given)


def _loaded(value: Any) -> Any:
    """Load the blocks that a parameter refers to."""
    from prefect.blocks.core import Block

    if isinstance(value, list):
        return [_loaded(one) for one in value]
    return Block.load_from_ref(value["$ref"]) if isinstance(value, dict) and "$ref" in value else value


def given_for(header: Header, store: Credentials | str) -> dict[str, Any]:
    """Give the parameters of a plan's job that hold credentials, from what was given for its store.

    Where that is a file of the job's runs, they are those of the run that the plan is of. Raises WrongStore where there
    is none, or where the job takes other credentials.
    """
    part = _part(header, "open_store")
    first = next(iter(signature(part, eval_str=True).parameters.values()))
    reader = reader_of(header.job)
    if reader and isinstance(store, str) and Path(store).is_file():
        return _run_of(header, first.name, reader(store), store)
    if not isinstance(store, first.annotation):
        takes = " or ".join(
            getattr(one, "takes", "a folder") for one in get_args(first.annotation) or [first.annotation]
        )
        message = f"The plan was made by {header.job}, whose store is {takes}."
        raise WrongStore(message)
    return {first.name: store}


def _run_of(header: Header, store: str, runs: list[dict[str, Any]], file: str) -> dict[str, Any]:
    from tasks.changes.plan import without_credentials

    required = [one.name for one in signature(flow_of(header.job).fn).parameters.values() if one.default is one.empty]
    for run in runs:
        plain = without_credentials({name: run[name] for name in required})
        place = getattr(run[store], "location", "")
        if header.store.startswith(place) and all(header.parameters.get(name) == plain[name] for name in plain):
            return {name: run[name] for name in required if name == store or name not in plain}
    message = f"None of the runs in {file} is the one that the plan is of, on {header.store}."
    raise WrongStore(message)


def store_of(header: Header, given: Mapping[str, Any]) -> Store[Any]:
    """Open the store of a plan."""
    part = _part(header, "open_store")
    first = next(iter(signature(part).parameters))
    store: Store[Any] = _remake(part, given[first], header.parameters)
    return store


def judge_of(header: Header, store: Store[Any], given: Mapping[str, Any]) -> Judge[Any]:
    """Make the judge of a plan again, to look again before a batch is applied."""
    judge: Judge[Any] = _remake(_part(header, "make_judge"), store, {**header.parameters, **given})
    return judge
