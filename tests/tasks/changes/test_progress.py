"""Progress needs neither a terminal nor a server."""

import sys

import pytest

from tasks.changes import progress
from tasks.changes.progress import Phase


def test_without_a_terminal_and_a_run_it_says_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "ARTIFACT_SECONDS", 0)
    with Phase("plan", 10) as phase:
        phase.at(5)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("total", [10, 0, None])
def test_a_terminal_gets_a_bar_on_stderr(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], total: int | None
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with Phase("plan", total) as phase:
        phase.at(5)
    shown = capsys.readouterr()
    assert "plan" in shown.err
    assert "5/" in shown.err
    assert not shown.out
