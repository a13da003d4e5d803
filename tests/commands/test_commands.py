"""The command line: help, answers for people and for programs, exit status, errors in words."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from seqscale.commands.main import main, parser

SUBCOMMANDS = ("run", "check", "mixers", "bench", "verdicts", "report", "export", "evaluate", "completion")


def seqscale(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    try:
        status = main(arguments)
    except SystemExit as stop:  # argparse's own
        status = int(stop.code or 0)
    said = capsys.readouterr()
    return status, said.out, said.err


@pytest.fixture
def in_root(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)


@pytest.mark.parametrize("command", SUBCOMMANDS)
def test_every_subcommand_explains_itself(capsys: pytest.CaptureFixture[str], command: str) -> None:
    status, out, _ = seqscale(capsys, command, "--help")
    assert status == 0
    assert "examples:" in out
    assert len(out) > 200


def test_the_subcommands_are_these() -> None:
    text = parser().format_help()
    assert all(f"\n    {command}" in text for command in SUBCOMMANDS)
    assert "exit status:" in text


def test_the_installed_script_and_the_module_are_the_same() -> None:
    by_module = subprocess.run([sys.executable, "-m", "seqscale", "--version"], capture_output=True, text=True)
    assert by_module.returncode == 0
    script = Path(sys.executable).parent / "seqscale"
    if not script.exists():
        pytest.skip("the package is not installed here, so there is no console script")
    by_script = subprocess.run([script, "--version"], capture_output=True, text=True)
    assert by_script.stdout == by_module.stdout == "seqscale 0.1.0\n"


def test_help_loads_no_heavy_library() -> None:
    code = "import sys; from seqscale.commands.main import parser; parser(); print([m for m in ('torch', 'pandas', " \
           "'rich', 'transformers', 'snakemake', 'yaml') if m in sys.modules])"  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stdout + done.stderr


# --- check ------------------------------------------------------------------------------------------------------------


def test_check_says_yes_for_people_and_programs(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = seqscale(capsys, "check", "linear", "--d-model", "4")
    assert status == 0
    assert out.splitlines()[-1] == "13 checks, all hold"
    status, out, _ = seqscale(capsys, "check", "linear", "--d-model", "4", "--only", "causality", "--json")
    answer = json.loads(out)
    assert (status, answer["ok"]) == (0, True)
    assert answer["mixers"][0]["outcomes"][0]["check"] == "causality"


def test_check_says_no_with_status_1(capsys: pytest.CaptureFixture[str], root: Path, tmp_path: Path) -> None:
    text = (root / "docs/examples/gla.py").read_text()
    broken = tmp_path / "broken.py"
    broken.write_text(text.replace("inside = 4 *", "inside = 5 *"))
    status, out, _ = seqscale(capsys, "check", str(broken), "--only", "flops")
    assert status == 1
    assert "FAILED  flops" in out
    assert ", the counter " in out


def test_the_template_makes_a_mixer_that_passes(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    status, out, _ = seqscale(capsys, "mixers", "--new", "my_own", "--to", str(tmp_path), "--json")
    file = Path(json.loads(out)["file"])
    assert "class MyOwn(Mixer)" in file.read_text()
    status, out, _ = seqscale(capsys, "check", str(file), "--d-model", "6", "--options", "expand=2")
    assert (status, out.splitlines()[-1]) == (0, "13 checks, all hold")
    assert seqscale(capsys, "mixers", "--new", "my_own", "--to", str(tmp_path))[0] == 2  # nothing is written over


def test_mixers_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = seqscale(capsys, "mixers", "--json")
    found = {row["name"]: row["options"] for row in json.loads(out)}
    assert status == 0
    assert found["mamba"]["d_state"] == "int"


# --- verdicts, bench, completion --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("in_root")
def test_verdicts(capsys: pytest.CaptureFixture[str]) -> None:
    reference = ("verdicts", "--results", "results/reference/two-cores")
    status, out, _ = seqscale(capsys, *reference, "--json")
    rows = json.loads(out)
    assert status == 0
    assert {row["verdict"] for row in rows} <= {"reproduced", "not reproduced", "inconclusive", "not tested"}
    refuted = any(row["verdict"] == "not reproduced" for row in rows)
    status, out, _ = seqscale(capsys, *reference, "--strict")
    assert status == int(refuted)
    assert f"{sum(row['verdict'] == 'not tested' for row in rows)} not tested" in out.splitlines()[-1]


@pytest.mark.usefixtures("in_root")
def test_bench_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = seqscale(capsys, "bench", "linear", "hybrid", "--suite", "flops", "--lengths", "8", "--json")
    rows = json.loads(out)
    assert status == 0
    assert {row["model"] for row in rows} == {"linear", "hybrid"}
    assert all(row["median"] > 0 for row in rows)


MINE = """
name: mine
compute: {device: cpu}
models: {mine: {mixer: linear, d_model: 8, n_layers: 1}}
experiments:
  text: {dataset: pydoc_topics, models: [mine, mlp], context: 8, batch: 2, steps: 2, seeds: [1], learning_rate: 0.1}
benchmarks:
  models: [mine, mlp]
  suites: {flops: {batch: 3, lengths: [4, 6]}}
"""


@pytest.mark.usefixtures("in_root")
@pytest.mark.parametrize(
    ("arguments", "models", "lengths"),
    [
        ((), ["transformer", "transformer_pp", "lstm", "lti_ssm", "mamba"], [64, 256, 1024]),  # the quick start's
        (("mlp", "--lengths", "5"), ["mlp"], [5]),
        (("attention_of_mine", "--lengths", "5"), ["attention_of_mine"], [5]),  # a mixer that no model has
        (("--configfile", "FILE"), ["mine", "mlp"], [4, 6]),
        (("mlp", "--configfile", "FILE", "--lengths", "5"), ["mlp"], [5]),
    ],
)
def test_what_is_benchmarked(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...],
    models: list[str], lengths: list[int],
) -> None:  # fmt: skip
    """Nothing said: the quick start's; a configuration: its models and its suite; names: those alone."""
    import pandas as pd

    from seqscale import benchmarks
    from seqscale.config import mixer_options

    asked: list[Any] = []

    def fake(config: Any, resolved: Any) -> Any:
        asked.append(config)
        return pd.DataFrame([{"model": config.model.name, "median": 1.0}]), None

    monkeypatch.setattr(benchmarks, "run_suite", fake)
    names = sorted([*mixer_options.mixers(), "attention_of_mine"])
    monkeypatch.setattr(mixer_options, "mixers", lambda: names)
    (tmp_path / "mine.yaml").write_text(MINE)
    given = [str(tmp_path / "mine.yaml") if word == "FILE" else word for word in arguments]
    status, out, _ = seqscale(capsys, "bench", "--suite", "flops", *given, "--json")
    assert status == 0
    assert [row["model"] for row in json.loads(out)] == [config.model.name for config in asked] == models
    assert all(list(config.lengths) == lengths for config in asked)
    assert {config.batch for config in asked} == {3 if "FILE" in arguments else 1}
    if "attention_of_mine" in models:
        assert (asked[0].model.mixer, asked[0].model.d_model) == ("attention_of_mine", 64)


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion_knows_the_subcommands(capsys: pytest.CaptureFixture[str], shell: str) -> None:
    pytest.importorskip("shtab")
    status, out, _ = seqscale(capsys, "completion", shell)
    assert status == 0
    assert all(command in out for command in SUBCOMMANDS)
    if shell == "bash":
        check = subprocess.run(["bash", "-n"], input=out, text=True, capture_output=True)
        assert check.returncode == 0, check.stderr


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("check",), "name a mixer, or say --all"),
        (("check", "mambo"), "unknown mixer 'mambo'; choose from attention"),
        (("check", "nothing.py"), "there is no file nothing.py"),
        (("check", "mamba", "--options", "d_stat=3"), "has no option 'd_stat'"),
        (("check", "mamba", "--options", "d_state"), "'d_state' is not KEY=VALUE"),
        (("mixers", "--new", "Mamba"), "cannot name a mixer: lower-case letters"),
        (("mixers", "--new", "mamba"), "there is a mixer 'mamba' already"),
        (("verdicts", "--results", "nowhere"), "run the pipeline first (seqscale run)"),
        (("bench", "mambo"), "there is no model 'mambo' in config/models.yaml"),
        (("bench", "published_000_mlp"), "only a suite of kind as_published takes it"),
        (("bench", "--configfile", "nothing.yaml"), "nothing.yaml cannot be read"),
        (("bench", "mamba", "--suite", "prefil"), "did you mean 'prefill'"),
        (("export", "nowhere", "out"), "it is not a finished run"),
        (("evaluate", "nowhere", "--recall"), "there is no folder nowhere"),
        (("evaluate", "nowhere"), "say what to evaluate on"),
        (("fly",), "invalid choice: 'fly'"),
    ],
)
@pytest.mark.usefixtures("in_root")
def test_wrong_requests_are_told_with_status_2(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: str
) -> None:
    status, out, err = seqscale(capsys, *arguments)
    assert status == 2
    assert words in err
    assert out == ""
    assert "Traceback" not in err


@pytest.mark.parametrize("command", ["run", "report", "bench mamba"])
def test_outside_of_a_checkout(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                               command: str) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    status, _, err = seqscale(capsys, *command.split())
    assert status == 2
    assert "is not in a checkout of SeqScale" in err


def test_a_closed_pipe_is_no_error(root: Path) -> None:
    command = f"{sys.executable} -m seqscale verdicts --results results/reference/two-cores | head -1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], cwd=root, capture_output=True, text=True,
                          env={**os.environ, "PYTHONUNBUFFERED": "1"})  # fmt: skip
    assert "Traceback" not in done.stderr
    assert done.stdout.startswith("claim")


def test_a_run_of_the_pipeline_is_snakemakes(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    """What is passed on: targets before options that take lists, the configuration, everything after --."""
    seen: list[list[str]] = []

    def fake(command: list[str], **more: Any) -> Any:
        seen.append(command)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.chdir(root / "src")
    monkeypatch.setattr(subprocess, "run", fake)
    assert main(["run", "results/config.json", "--configfile", "config/tiny.yaml", "--cores", "1"]) == 0
    passed = "results/config.json --cores 1 --keep-going --rerun-incomplete --logger seqscale --configfile"
    assert seen[0][1:] == ["-m", "snakemake", *passed.split(), "config/tiny.yaml"]
    assert main(["run", "--dry-run", "--", "--forcerun", "figures"]) == 0
    assert seen[1][-2:] == ["--forcerun", "figures"]
    assert "--dry-run" in seen[1]
