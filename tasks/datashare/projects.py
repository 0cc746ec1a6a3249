"""The projects of a batch search: objects in 19.1, names since."""

from __future__ import annotations

from typing import Any

from tasks.datashare.edits import CannotMigrate, Record, change


def are_objects(args: Any) -> bool:
    """Whether the arguments of a task hold projects as objects."""
    record = args.get("batchRecord") if isinstance(args, dict) else None
    projects = record.get("projects") if isinstance(record, dict) else None
    return isinstance(projects, list) and any(isinstance(project, dict) for project in projects)


def name_projects(args: Record) -> None:
    """Put in the place of each project its name. Raises CannotMigrate where it has none, or another id."""
    if are_objects(args):
        change(args, "batchRecord.projects[]", _name)


def _name(project: Any) -> Any:
    if not isinstance(project, dict):
        return project
    name = project.get("name")
    if isinstance(name, str) and project.get("id", name) == name:
        return name
    message = f"which name the project {project} has cannot be told"
    raise CannotMigrate(message)
