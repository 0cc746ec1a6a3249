"""A plan file that somebody else has sealed, put where a run's own lies."""

from pathlib import Path

from tasks.changes.plan import open_plan
from tasks.changes.plan_file import PlanWriter
from tasks.changes.protocols import Action


def forge(plan: Path, values: dict[str, bytes]) -> bytes:
    """Return a sealed plan for the same store, which gives each of these records a value that nobody approved."""
    draft = plan.with_name("forged")
    with PlanWriter(draft, open_plan(str(plan)).header) as writer:
        for key, value in values.items():
            writer.write(Action(key, value, b"forged", 0, "forged", "no such archive.zip"))
        writer.counts.scanned = 2 * len(values)
        writer.seal()
    forged = draft.read_bytes()
    draft.unlink()
    return forged


def put_in_its_place(plan: Path, content: bytes) -> None:
    """Replace the file, as an editor does that saves."""
    new = plan.with_name("new")
    new.write_bytes(content)
    new.replace(plan)


def written_over(plan: Path, content: bytes) -> None:
    """Write other bytes into the very file."""
    with plan.open("r+b") as file:
        file.truncate()
        file.write(content)
