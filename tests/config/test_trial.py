"""Models are built before anything starts: what a mixer refuses is told with its place, and asked once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from seqscale.trial import Part, refusal

ABOUT = "Metadata-Version: 2.1\nName: their-mixers\nVersion: 1.0\n"
SETTINGS = """
from pathlib import Path
import sys
from seqscale.config import ConfigError, resolve
from seqscale.trial import check_builds

def configured(**models):
    file = Path("mine.yaml")
    lines = [f"  {name}: {entry}" for name, entry in models.items()]
    file.write_text("name: mine\\nmodels:\\n" + "\\n".join(lines) + "\\n")
    experiment = {"dataset": "pydoc_topics", "models": list(models), "context": 8, "batch": 2, "steps": 2, "seeds": [1],
                  "learning_rate": 0.1}
    import yaml
    values = {**yaml.safe_load(file.read_text()), "experiments": {"t": experiment}}
    return resolve(values, [file], Path(ROOT))
"""
BAD = """
try:
    check_builds(configured(
        heads="{mixer: their_gla, mixer_options: {n_heads: 5}, d_model: 16, n_layers: 1}",
        width="{mixer: their_gla, d_model: 18, n_layers: 1}",
        hybrid="{mixer: mamba, d_model: 18, n_layers: 2, blocks: [{count: 1}, {mixer: their_gla}]}",
        broken="{mixer: their_broken, d_model: 16, n_layers: 1}",
        unfinished="{mixer: their_unfinished, d_model: 16, n_layers: 1}",
        sound="{mixer: their_gla, d_model: 16, n_layers: 1}",
    ))
except ConfigError as error:
    print("\\n".join(error.problems))
"""
GOOD = """
from seqscale.provenance import code_digest
config = configured(theirs="{mixer: their_gla, d_model: 16, n_layers: 3}", mamba="{d_model: 8}")
check_builds(config)
print("torch" in sys.modules)
"""


@pytest.fixture
def site(tmp_path: Path, root: Path) -> Path:
    """A folder like site-packages with a package of mixers in it: a sound one and two that are not."""
    package = tmp_path / "their_mixers"
    package.mkdir()
    text = (root / "docs/examples/gla.py").read_text()
    (package / "__init__.py").write_text("")
    (package / "gla.py").write_text(text)
    (package / "broken.py").write_text(text.replace("import torch\n", "import torch\nimport einoops\n", 1))
    (package / "unfinished.py").write_text(text.replace("def flops", "def flop"))
    about = tmp_path / "their_mixers-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(ABOUT)
    offers = "".join(f"their_{name} = their_mixers.{name}\n" for name in ("gla", "broken", "unfinished"))
    (about / "entry_points.txt").write_text(f"[seqscale.mixers]\n{offers}")
    return tmp_path


def said(site: Path, root: Path, code: str) -> list[str]:
    environment = {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(site / "cache")}
    done = subprocess.run([sys.executable, "-c", f"ROOT = {str(root)!r}\n{SETTINGS}{code}"], env=environment, cwd=site,
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_every_refusal_has_its_place_and_the_mixers_own_words(site: Path, root: Path) -> None:
    problems = said(site, root, BAD)
    expected = [
        "mine.yaml, line 3, models.heads.mixer_options.n_heads: the mixer 'their_gla' cannot be built: n_heads = 5 "
        "does not divide d_model = 16",
        "mine.yaml, line 4, models.width.d_model: the mixer 'their_gla' cannot be built: n_heads = 4 does not divide",
        "mine.yaml, line 5, models.hybrid.d_model: the mixer 'their_gla' cannot be built: n_heads = 4 does not divide",
        "mine.yaml, line 6, models.broken.mixer: the mixer 'their_broken' cannot be built: their_mixers.broken (",
        "mine.yaml, line 7, models.unfinished.mixer: the mixer 'their_unfinished' cannot be built: ",
    ]
    assert len(problems) == len(expected)
    assert all(problem.startswith(words) for problem, words in zip(problems, expected, strict=True)), problems
    assert ", line 9: ModuleNotFoundError: No module named 'einoops'" in problems[3]
    assert "the method `flops` is missing; write `def flops(self, batch: int" in problems[4]


def test_what_was_built_is_not_built_again_until_its_code_changes(site: Path, root: Path) -> None:
    assert said(site, root, GOOD) == ["True"]
    assert said(site, root, GOOD) == ["False"]  # PyTorch is not even loaded
    file = site / "their_mixers/gla.py"
    file.write_text(file.read_text().replace("n_heads: int = 4", "n_heads: int = 2"))
    assert said(site, root, GOOD) == ["True"]


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (Part((), "mamba", "", 64, 1, {}), ""),
        (Part((), "mamba2", "", 48, 1, {}), "d_head = 64 does not divide d_inner = expand * d_model = 96"),
        (Part((), "", "000.transformer", 66, 2, {}), "n_heads = 4 does not divide d_model = 66"),
        (Part((), "", "000.mamba", 64, 2, {}), ""),
        (Part((), "mambo", "", 64, 1, {}), "unknown mixer 'mambo'"),
    ],
)
def test_refusals(part: Part, words: str) -> None:
    assert refusal(part).startswith(words)
    assert bool(refusal(part)) == bool(words)
