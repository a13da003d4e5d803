"""Where results come from, and digests that change when, and only when, something that matters does."""

import shutil
import subprocess
from pathlib import Path

import pytest

import seqscale.provenance
from seqscale.provenance import code_digest, digest, provenance

MAMBA = ("seqscale.training.loop", "seqscale.mixers.mamba")
ATTENTION = ("seqscale.training.loop", "seqscale.mixers.attention")


def test_digest_ignores_the_order_of_keys_alone() -> None:
    value = {"a": 1, "b": {"c": [1, 2], "d": None}}
    assert digest(value) == digest({"b": {"d": None, "c": [1, 2]}, "a": 1})
    others = [
        {**value, "a": 2},
        {**value, "b": {"c": [2, 1], "d": None}},
        {**value, "e": 1},
        {"a": "1", "b": value["b"]},
    ]
    assert len({digest(v) for v in [value, *others]}) == 5
    assert len(digest(value)) == 16


def test_provenance_says_what_a_result_needs() -> None:
    found = provenance(device="cpu", seed=3)
    assert {"git_commit", "git_dirty", "packages", "python", "platform", "cpu", "time_utc"} < set(found)
    assert (found["device"], found["seed"]) == ("cpu", 3)
    assert found["packages"]["torch"]
    assert found["time_utc"].endswith("+00:00")
    assert "cores" in found["cpu"]


def test_without_git_the_commit_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*_arguments: object, **_settings: object) -> None:
        raise FileNotFoundError("git")

    monkeypatch.setattr(subprocess, "run", absent)
    fixed = seqscale.provenance._fixed.__wrapped__()
    assert fixed["git_commit"] is None
    assert fixed["git_dirty"] is None


# --- digests of code --------------------------------------------------------------------------------------------------


@pytest.fixture
def package(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the library that may be edited; digests are taken of it."""
    folder = tmp_path / "seqscale"
    shutil.copytree(root / "src" / "seqscale", folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(seqscale.provenance, "PACKAGE", folder)
    return folder


def add(path: Path, text: str) -> None:
    path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")


def test_code_digest_is_that_of_the_installed_library(package: Path) -> None:
    """Where the library lies does not matter."""
    copied = code_digest(*MAMBA)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seqscale.provenance, "PACKAGE", Path(seqscale.provenance.__file__).parent)
        assert code_digest(*MAMBA) == copied


def test_editing_one_mixer_concerns_its_runs_alone(package: Path) -> None:
    mamba, attention = code_digest(*MAMBA), code_digest(*ATTENTION)
    assert mamba != attention
    add(package / "mixers" / "mamba.py", "\nWIDTH = 3\n")
    assert code_digest(*MAMBA) != mamba
    assert code_digest(*ATTENTION) == attention


@pytest.mark.parametrize(
    "file",
    [
        "training/loop.py",
        "training/checkpoint.py",
        "training/__init__.py",
        "models/blocks.py",
        "mixers/base.py",
        "mixers/__init__.py",
        "kernels/chunked.py",
        "kernels/cpu/native/scan_forward.c",
        "kernels/gpu/scan_walk.py",
        "data/batches.py",
        "__init__.py",
    ],
)
def test_editing_what_a_run_imports_concerns_it(package: Path, file: str) -> None:
    before = code_digest(*MAMBA)
    add(package / file, "\nCHANGED = 1\n")
    assert code_digest(*MAMBA) != before


@pytest.mark.parametrize("file", ["reporting/page.py", "tables/runs.py", "claims/engine.py", "stats/powerlaw.py"])
def test_editing_what_a_run_does_not_import_does_not(package: Path, file: str) -> None:
    before = code_digest(*MAMBA)
    add(package / file, "\nCHANGED = 1\n")
    assert code_digest(*MAMBA) == before


def test_comments_docstrings_and_layout_do_not_count(tmp_path: Path) -> None:
    path = tmp_path / "script.py"
    path.write_text("def f(x):\n    return x + 1\n")
    before = code_digest(path)
    path.write_text(
        '"""Module."""\n\n\n# why\ndef f(x):  # what\n    """Function."""\n    return (x +\n            1)\n'
    )
    assert code_digest(path) == before
    path.write_text("def f(x):\n    return x + 2\n")
    assert code_digest(path) != before


def test_scripts_and_what_they_import(package: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import json\nfrom seqscale import files\nfrom seqscale.stats.powerlaw import *\n")
    before = code_digest(script)
    add(package / "files.py", "\nCHANGED = 1\n")
    middle = code_digest(script)
    add(package / "stats" / "powerlaw.py", "\nCHANGED = 1\n")
    assert len({before, middle, code_digest(script)}) == 3


@pytest.mark.parametrize("missing", ["seqscale.mixers.mambo", "numpy", "no/such/script.py"])
def test_missing_code_is_an_error(missing: str) -> None:
    with pytest.raises(FileNotFoundError, match=missing):
        code_digest(missing)


def test_broken_code_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("def f(:\n")
    with pytest.raises(SyntaxError) as caught:
        code_digest(tmp_path / "broken.py")
    assert "broken.py" in str(caught.value.filename)


def test_the_digest_follows_relative_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "seqscale"
    (package / "mixers").mkdir(parents=True)
    for name, text in (("__init__", ""), ("mixers/__init__", ""), ("mixers/base", "x = 1\n")):
        (package / f"{name}.py").write_text(text)
    (package / "mixers/mine.py").write_text("from .base import x\nfrom . import base\n")
    monkeypatch.setattr(seqscale.provenance, "PACKAGE", package)
    before = seqscale.provenance.code_digest("seqscale.mixers.mine")
    (package / "mixers/base.py").write_text("x = 2\n")
    assert seqscale.provenance.code_digest("seqscale.mixers.mine") != before
