"""The package as others get it: wheel and sdist, a fresh environment without a compiler, light imports."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

LIGHT = ("torch", "numpy", "safetensors", "triton")  # what `pip install seqscale` brings
HEAVY = ("pandas", "matplotlib", "snakemake", "transformers", "scipy", "rich", "torch._inductor", "torch._dynamo",
         "jsonschema", "yaml", "tqdm", "datasets", "papermill")  # fmt: skip

TRAINING_STEP = """
import sys
import torch
import torch.nn.functional as F
from seqscale.kernels import selective_scan_fn
from seqscale.mixers import get
from seqscale.models import ModelSpec, build

assert "site-packages" in sys.modules["seqscale"].__file__, sys.modules["seqscale"].__file__
model = build(ModelSpec("m", "mamba", 16, 2, norm="rmsnorm"), vocab_size=11, context=8)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
tokens = torch.randint(11, (4, 9), generator=torch.Generator().manual_seed(0))
losses = []
for _ in range(20):
    loss = F.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
assert losses[-1] < 0.7 * losses[0], losses
from seqscale.checks import check_mixer
assert all(o.ok for o in check_mixer("mamba", d_model=4, only="steps"))
print("heavy:", [m for m in HEAVY if m in sys.modules and not m.startswith("torch.")])
"""


@pytest.fixture(scope="module")
def built(root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Wheel and sdist, built from a copy so that nothing is left in the tree."""
    copy = tmp_path_factory.mktemp("build") / "seqscale"
    copy.mkdir()
    for part in ("pyproject.toml", "README.md", "LICENSE", "src"):
        source = root / part
        if source.is_dir():
            shutil.copytree(source, copy / part, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy2(source, copy / part)
    code = "from setuptools.build_meta import build_wheel as w, build_sdist as s; print(w('dist')); print(s('dist'))"
    done = subprocess.run([sys.executable, "-c", code], cwd=copy, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    wheel, sdist = done.stdout.split()[-1], None
    files = {file.suffix: file for file in (copy / "dist").iterdir()}
    wheel, sdist = files[".whl"], files[".gz"]
    return wheel, sdist


@pytest.fixture(scope="module")
def fresh(built: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The python of an environment with the wheel in it. What it depends on is lent by this one, and nothing else:
    a package that the wheel does not ask for cannot be imported there.
    """
    folder = tmp_path_factory.mktemp("fresh") / "env"
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    site = Path(subprocess.run([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
                               capture_output=True, text=True, check=True).stdout.strip())  # fmt: skip
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-index", "--no-deps"]
    done = subprocess.run([*install, str(built[0])], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lent = Path(sysconfig.get_path("purelib"))
    needed = ("torch", "torchgen", "functorch", "triton", "numpy", "numpy.libs", "safetensors", "typing_extensions.py",
              "sympy", "mpmath", "networkx", "jinja2", "markupsafe", "fsspec", "filelock")  # fmt: skip
    for name in needed:
        if (lent / name).exists():
            (site / name).symlink_to(lent / name)
    for about in lent.glob("*.dist-info"):
        if about.name.split("-")[0].lower() in ("torch", "triton", "numpy", "safetensors"):
            (site / about.name).symlink_to(about)
    for library in lent.glob("nvidia*"):
        (site / library.name).symlink_to(library)
    return python


def environment(tmp_path: Path) -> dict[str, str]:
    """No compiler on the path, no cache of an earlier build, nothing of this repository."""
    return {"PATH": str(tmp_path), "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}


def test_a_training_step_in_a_fresh_environment_without_a_compiler(fresh: Path, tmp_path: Path) -> None:
    code = f"HEAVY = {HEAVY!r}\n{TRAINING_STEP}"
    done = subprocess.run([fresh, "-c", code], env=environment(tmp_path), cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout == "heavy: []\n"
    assert "Install a C compiler" in done.stderr  # the slow way is taken loudly


def test_importing_loads_nothing_heavy(fresh: Path, tmp_path: Path) -> None:
    """torch is most of the import's time; what would add to it is not loaded."""
    code = "import sys, seqscale.kernels, seqscale.mixers, seqscale.models\n"
    code += f"print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([fresh, "-c", code], env=environment(tmp_path), cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


def test_the_console_script_works_there(fresh: Path, tmp_path: Path) -> None:
    script = fresh.parent / "seqscale"
    done = subprocess.run([script, "check", "mamba", "--d-model", "4", "--only", "rows"], env=environment(tmp_path),
                          cwd=tmp_path, capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "1 checks, all hold" in done.stdout
    done = subprocess.run([script, "mixers"], env=environment(tmp_path), cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout.split()[0]) == (0, "mixer"), done.stderr
    done = subprocess.run([script, "run"], env=environment(tmp_path), cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert "is not in a checkout of SeqScale" in done.stderr


def test_the_wheel_holds_the_library_and_nothing_else(built: tuple[Path, Path]) -> None:
    names = zipfile.ZipFile(built[0]).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {t for t in tops if not t.endswith(".dist-info")} == {"seqscale", "snakemake_logger_plugin_seqscale"}
    for needed in ("seqscale/py.typed", "seqscale/kernels/cpu/native/scan.h", "seqscale/commands/mixer_template.txt"):
        assert needed in names
    assert sum(info.file_size for info in zipfile.ZipFile(built[0]).infolist()) < 4e6
    about = next(name for name in names if name.endswith("METADATA"))
    text = zipfile.ZipFile(built[0]).read(about).decode()
    required = [line.split()[1].split(";")[0] for line in text.splitlines()
                if line.startswith("Requires-Dist:") and "extra ==" not in line]  # fmt: skip
    assert {r.split(">")[0].split("=")[0] for r in required} == set(LIGHT)


def test_the_sdist_builds_the_same_wheel(built: tuple[Path, Path], tmp_path: Path) -> None:
    with tarfile.open(built[1]) as archive:
        archive.extractall(tmp_path, filter="data")
    source = next(tmp_path.glob("seqscale-*"))
    code = "from setuptools.build_meta import build_wheel as w; w('dist')"
    done = subprocess.run([sys.executable, "-c", code], cwd=source, capture_output=True, text=True,
                          env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    wheel = next((source / "dist").glob("*.whl"))
    assert zipfile.ZipFile(wheel).namelist() == zipfile.ZipFile(built[0]).namelist()
