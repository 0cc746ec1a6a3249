"""A deploy reads the `.env` that Prefect reads, below the environment, and passes over no line of it."""

from pathlib import Path

import pytest

from deployments.environment import read_environment
from deployments.errors import BadEnvFile


def test_the_file_is_below_the_environment(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=file\nexport B='file'\n# C=comment\n\nD=\n")
    assert read_environment(tmp_path, {"A": "environment", "E": "e"}) == {
        "A": "environment",
        "B": "file",
        "D": "",
        "E": "e",
    }


def test_without_a_file_there_is_the_environment(tmp_path: Path) -> None:
    assert read_environment(tmp_path, {"A": "a"}) == {"A": "a"}


def test_a_password_is_taken_as_it_is_written(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PASSWORD='a${HOME}$b#c \"d\" é'\n")
    assert read_environment(tmp_path, {"HOME": "/root"})["PASSWORD"] == 'a${HOME}$b#c "d" é'


@pytest.mark.parametrize("line", ["B='hunter2", "B", "B hunter2"])
def test_a_line_that_prefect_would_pass_over_is_refused_by_its_number(tmp_path: Path, line: str) -> None:
    (tmp_path / ".env").write_text(f"A=a\n{line}\nC=c\n")
    with pytest.raises(BadEnvFile, match=r"\.env, line 2: write it as NAME=value") as refusal:
        read_environment(tmp_path, {})
    assert "hunter2" not in str(refusal.value)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"A=\xff\n")
    with pytest.raises(BadEnvFile, match="cannot be read"):
        read_environment(tmp_path, {})
