"""A mixer of another package, by its entry point: found, checked, configured, its edits noticed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ABOUT = "Metadata-Version: 2.1\nName: their-mixers\nVersion: 1.0\n"
TRY = """
from pathlib import Path
from seqscale.checks import check_mixer
from seqscale.config import resolve
from seqscale.config.mixer_options import options
from seqscale.mixers import available, get
from seqscale.plugins import mixer_code
from seqscale.provenance import code_digest

assert "their_gla" in available()
assert options("their_gla") == {"n_heads": "int", "chunk": "int"}
assert get("their_gla").__module__ == "their_mixers.gla"
assert all(o.ok for o in check_mixer("their_gla", d_model=8, only="steps"))
values = {"name": "x", "models": {"theirs": {"mixer": "their_gla", "mixer_options": {"n_heads": 2}, "d_model": 8,
          "n_layers": 1}}, "experiments": {"t": {"dataset": "pydoc_topics", "models": ["theirs"], "context": 8,
          "batch": 2, "steps": 2, "seeds": [1], "learning_rate": 0.1}}}
resolve(values, [], Path(ROOT))
before = code_digest(*mixer_code("their_gla"))
helper = Path(HELPER)
helper.write_text("x = 2\\n")
assert code_digest(*mixer_code("their_gla")) != before
print("good")
"""


@pytest.fixture
def site(tmp_path: Path, root: Path) -> Path:
    """A folder like site-packages with a package in it that offers the worked example."""
    package = tmp_path / "their_mixers"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "helper.py").write_text("x = 1\n")
    (package / "gla.py").write_text((root / "docs/examples/gla.py").read_text())
    about = tmp_path / "their_mixers-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(ABOUT)
    (about / "entry_points.txt").write_text("[seqscale.mixers]\ntheir_gla = their_mixers.gla\n")
    return tmp_path


def run(site: Path, code: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)


def test_a_mixer_of_another_package(site: Path, root: Path) -> None:
    constants = f"ROOT = {str(root)!r}\nHELPER = {str(site / 'their_mixers/helper.py')!r}\n"
    done = run(site, constants + TRY)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "good\n"


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("mamba = their_mixers.gla", "has the name of mixers/mamba.py"),
        ("their_gla = their_mixers.nothing", "offers the mixer 'their_gla' in their_mixers.nothing, which is not inst"),
        ("their_gla = their_mixers.helper", "must define a class and end with `MIXER = ThatClass`"),
    ],
)
def test_offers_that_cannot_be_taken(site: Path, entry: str, words: str) -> None:
    (site / "their_mixers-1.0.dist-info/entry_points.txt").write_text(f"[seqscale.mixers]\n{entry}\n")
    done = run(site, "from seqscale.config.mixer_options import mixers, options\nmixers(); options('their_gla')")
    assert done.returncode == 1
    assert words in done.stderr
