"""The two command lines."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from seqscale.reporting import catalog
from seqscale.reporting.style import STYLE_FILE

SCRIPTS = STYLE_FILE.parents[1] / "src"


def run(script: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a script of src/ as a user would, from any folder, without an installed package."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [sys.executable, str(SCRIPTS / script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=120)


def test_list_names_every_figure(tmp_path: Path) -> None:
    done = run("figures.py", "--list", cwd=tmp_path)
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines()] == list(catalog.ALL)


@pytest.mark.parametrize("script", ["figures.py", "report.py"])
def test_help_tells_what_the_options_do(script: str, tmp_path: Path) -> None:
    done = run(script, "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert "--tables" in done.stdout
    assert "example:" in done.stdout


@pytest.mark.parametrize("script", ["figures.py", "report.py"])
def test_a_missing_folder_is_one_line_and_not_a_traceback(script: str, tmp_path: Path) -> None:
    done = run(script, "--tables", "nowhere", cwd=tmp_path)
    assert done.returncode == 2
    assert "nowhere" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_broken_configuration_is_told_by_name(results: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("{", encoding="utf-8")
    done = run("figures.py", "--tables", str(results / "tables"), "--config", "bad.json", cwd=tmp_path)
    assert done.returncode == 2
    assert "bad.json" in done.stderr


def test_only_draws_what_was_asked_for(results: Path, tmp_path: Path) -> None:
    done = run(
        "figures.py", "--tables", str(results / "tables"), "--out", "drawn", "--only", "state_size", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "drawn").iterdir()) == [
        "state_size.csv",
        "state_size.png",
        "state_size.svg",
    ]


def test_report_runs_from_a_bare_environment(results: Path, figures: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(home), "LANG": "C.UTF-8"}
    done = subprocess.run(
        [sys.executable, str(SCRIPTS / "report.py"), "--tables", str(results / "tables"), "--figures", str(figures),
         "--verdicts", str(results / "verdicts.csv"), "--out", "report.html"],
        capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "report.html").stat().st_size > 100_000
    assert not (home / ".ipython").exists()
    assert not (home / ".local").exists()
