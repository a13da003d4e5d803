"""What a beginner gets wrong in a mixer's file: told with file, line and what to write, and never a traceback."""

import json
from pathlib import Path

import pytest

from seqscale.checks import check_mixer
from seqscale.commands.main import main
from seqscale.mixers import from_file, get
from seqscale.mixers.face import make
from seqscale.plugins import own_mixers

TEMPLATE = (Path(__file__).parents[2] / "src/seqscale/commands/mixer_template.txt").read_text().replace("CLASS", "Mine")


def without(text: str, method: str) -> str:
    """The template without one of its methods."""
    before, _, after = text.partition(f"    def {method}(")
    return before + after[after.index("\n\n") + 2 :]


def change(old: str, new: str) -> str:
    assert old in TEMPLATE, f"the template has no {old!r}"
    return TEMPLATE.replace(old, new)


REFUSED = {  # the class cannot be used: every command says why
    "no-flops": (without(TEMPLATE, "flops"), "mine.py, class Mine: the method `flops` is missing; write `def flops("),
    "no-default": (change("expand: int = 1", "expand: int"), "the option `expand` has no default; write `expand: int"),
    "no-star": (change("*, expand", "expand"), "the option `expand` must come after a `*`; write `*, expand: int = 1`"),
    "hidden": (change("*, expand: int = 1", "**options"), "`**options` of `__init__` hides"),
    "no-width": (change("d_model: int, *,", "*,"), "`__init__` must take the width first"),
    "no-module": (change("import torch\n", "import torch\nimport einoops\n"),
                  "ModuleNotFoundError: No module named 'einoops'. Mend the import, or install"),
    "no-name": (change("import Linear", "import Liner, Linear"), "ImportError: cannot import name 'Liner'"),
    "no-python": (change("def mix(", "def mix(:"), ": invalid syntax"),
    "no-mixer": (change("MIXER = Mine", ""), "mine.py must end with `MIXER = <a subclass of"),
}  # fmt: skip

FAILED = {  # it can be made, but something would pass unseen
    "no-hint": (change("expand: int = 1", "expand=1"), "the option 'expand' has no type hint; write `expand: int = 1`"),
    "misspelt": (change("out_proj.residual_output", "out_proj.residual_ouput"), "nobody reads self.out_proj.residual_"),
    "unmarked": (change("self.out_proj.residual_output = True", ""), "write `self.out_proj.residual_output = True`"),
    "not-bool": (change("residual_output = True", "residual_output = 'yes'"), "must be True or False, not 'yes'"),
    "on-layer": (change("self.decay.no_w", "self.in_proj.no_w"), "mark its weights, `self.in_proj.weight.no_weight_"),
    "on-weight": (change("self.decay.no_weight_decay", "self.decay.residual_output"), "self.decay is a weight"),
    "no-state": (change(', {"h": h}\n', "\n"), "mix(x, state) gives a Tensor; it owes two things, (y, next state)"),
    "other-name": (change(', {"h": h}\n', ', {"s": h}\n'), "mix gives a state with 's'; init_state makes one with 'h'"),
    "half": (change("torch.promote_types(dtype, torch.float32)", "torch.float16"), "init_state makes it torch.float16"),
    "batch-last": (change("zeros(batch, self.d_inner", "zeros(self.d_inner, batch"), "the batch comes first"),
}


@pytest.mark.parametrize(("text", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_a_class_that_cannot_be_used(text: str, words: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(text)
    with pytest.raises(ValueError) as caught:
        from_file(file)
    assert words in str(caught.value)
    assert "mine.py" in str(caught.value)


@pytest.mark.parametrize(("text", "words"), FAILED.values(), ids=FAILED.keys())
def test_what_would_pass_unseen(text: str, words: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(text)
    (outcome,) = check_mixer(from_file(file), d_model=6, only="contract")
    assert words in outcome.message


def test_the_line_of_the_cause_is_named(tmp_path: Path) -> None:
    """Where the import stands; and where it is broken, if that is in a file that the mixer imports."""
    file = tmp_path / "mine.py"
    file.write_text(change("import torch\n", "import torch\nimport einoops\n"))
    line = file.read_text().splitlines().index("import einoops") + 1
    with pytest.raises(ValueError, match=rf"mine\.py, line {line}: ModuleNotFoundError"):
        from_file(file)
    file.write_text(change("super().__init__(d_model)", "pass"))
    line = next(i for i, text in enumerate(file.read_text().splitlines(), 1) if "self.in_proj =" in text)
    with pytest.raises(ValueError, match=rf"mine\.py, class Mine, line {line}: AttributeError: .*d_model = 4"):
        make(from_file(file), 4, {})


@pytest.fixture
def broken_mixer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A broken mixer among those of the package."""
    import seqscale.mixers

    (tmp_path / "broken_one.py").write_text("import torch\nimport einoops\n")
    monkeypatch.setattr(seqscale.mixers, "__path__", [*seqscale.mixers.__path__, str(tmp_path)])
    monkeypatch.setattr("seqscale.mixers.mixer_file", lambda name: tmp_path / f"{name}.py")
    return tmp_path


@pytest.mark.usefixtures("broken_mixer")
def test_one_broken_mixer_hides_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    cause = "mixers/broken_one.py, line 2: ModuleNotFoundError: No module named 'einoops'"
    assert main(["mixers"]) == 1
    said = capsys.readouterr()
    assert f"the mixer 'broken_one' is broken: {cause}" in said.err
    assert "pip install 'seqscale[pipeline]'" not in said.err
    assert all(f"\n{name}" in said.out for name in own_mixers())
    assert main(["mixers", "--json"]) == 1
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert cause in rows["broken_one"]["error"]
    assert rows["mamba"]["options"]["d_state"] == "int"
    assert main(["check", "broken_one", "linear", "--only", "flops"]) == 1
    said = capsys.readouterr()
    assert cause in said.out
    assert "ok      flops" in said.out
    with pytest.raises(ValueError, match="einoops"):
        get("broken_one")
