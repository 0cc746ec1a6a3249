"""What a person is shown who is asked to approve a plan; pausing itself is tested with the flows."""

from dataclasses import replace
from typing import Any

from tasks.changes.approval import summary
from tasks.changes.plan import EXAMPLES
from tasks.changes.protocols import Keep, Problem, Remove, Replace


def test_it_says_how_many_why_and_which_first(toys: Any) -> None:
    store = toys.Store({f"k{n}": b"x" * 1000 for n in range(10)})
    verdicts = {f"k{n}": Remove("gone", f"file {n}") for n in range(7)}
    plan = toys.plan(store, {**verdicts, "k7": Replace(b"", "turned"), "k8": Keep("young"), "k9": Problem("odd")})
    text = summary(plan)
    for part in (
        "**toy** on `toy://memory`",
        "8 of 10 records would change, freeing 8,000 bytes (8.0 kB).",
        "change: gone: 7",
        "change: turned: 1",
        "keep: young: 1",
        "problems: 1",
        "- `k0` gone `file 0`",
        f"`steward plan show {plan.name}`",
        f"\n\n`{plan.path.name}`\n\n",
    ):
        assert part in text
    assert f"`k{EXAMPLES - 1}`" in text
    assert f"`k{EXAMPLES}`" not in text
    assert "cannot be undone" not in text


def test_it_says_when_there_is_no_way_back(toys: Any) -> None:
    plan = toys.plan(toys.Store({"a": b""}), {"a": Remove("gone")})
    final = replace(plan, header=plan.header.model_copy(update={"undoable": False}))
    assert "**This cannot be undone.**" in summary(final)


def test_a_rewritten_record_is_shown_as_the_paths_that_change(toys: Any) -> None:
    store = toys.Store({"k": b'{"args":{"n":1,"gone":true},"same":0}'})
    text = summary(toys.plan(store, {"k": Replace(b'{"args":{"n":2},"same":0}', "turned")}))
    assert "- `k` turned\n\n  ```\n  ~ args.n: 1 → 2\n  - args.gone: true\n  ```\n" in text
    assert "same" not in text


def test_nothing_in_a_record_is_markup(toys: Any) -> None:
    key, detail, reason = "<b>`k`</b>\n# no", "```\n[a](http://b)", "*r* <img src=x> http://c"
    text = summary(toys.plan(toys.Store({key: b""}), {key: Remove(reason, detail)}))
    assert r"- ``<b>`k`</b>\n# no`` \*r\* \<img src=x\> http\://c ```` ```\n[a](http://b) ````" in text
