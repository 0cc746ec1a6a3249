"""The demo shows runs that can be opened while its servers are up, and says what to do next."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from sandbox.demo import demo


@contextmanager
def demo_in(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Run the demo with everything of its own in a folder; it is stopped afterwards, as Ctrl-C does."""
    environment = {**os.environ, "TMPDIR": str(folder), "HOME": str(folder)}
    command = [sys.executable, "-m", "sandbox.demo"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, process_group=0) as process:
        try:
            yield process
        finally:
            os.killpg(process.pid, signal.SIGINT)


def test_it_goes_the_whole_way_and_its_runs_can_be_opened_until_ctrl_c(tmp_path: Path) -> None:
    with demo_in(tmp_path) as process:
        assert process.stdout
        shown = ""
        while "The run that was for real:" not in shown:
            line = process.stdout.readline()
            assert line, shown
            shown += line
        (page,) = re.findall(r"^The run that was for real: +(\S+)$", shown, re.MULTILINE)
        run = httpx.get(page.replace("/runs/flow-run/", "/api/flow_runs/"), timeout=30).raise_for_status().json()
        assert httpx.get(page, headers={"Accept": "text/html"}, timeout=30).is_success
    assert process.returncode == 0
    assert (run["state_type"], run["parameters"]["dry_run"]) == ("COMPLETED", False)
    assert "\n$ make install " in shown
    assert "\n$ steward hmap-clean redis://HOST:6379 FOLDER " in shown
    assert list(tmp_path.glob("steward-*")) == []


def test_where_it_ends_by_itself_it_names_no_page_that_cannot_be_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for part in ("walk_through", "migrate"):
        monkeypatch.setattr(f"sandbox.demo.{part}", lambda *_: None)
    demo(tmp_path, once=True)
    shown = capsys.readouterr().out
    assert "$ make install " in shown
    assert "without ONCE=1" in shown
    assert "http" not in shown
