"""The house: what lies where, which way the arrows go, and that its documents and its files agree."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from seqscale.config import resolve
from seqscale.data.check import check_corpora

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "seqscale"
STAGES = ("prepare", "train", "evaluate", "bench", "analyse", "verdicts", "figures", "report")
SCRIPTS = sorted(f.stem for f in (ROOT / "src").glob("*.py"))

# Which rooms a room may import. What is not named here is free for all: the ground floor.
GROUND = {"config", "files", "stats", "provenance", "records", "store", "cli", "__init__", "plugins", "layers"}
ALLOWED = {
    "plugins": set(),  # mixers of other packages
    "layers": set(),  # a hybrid's block list
    "trial": {"config", "layers", "models", "mixers", "plugins", "provenance"},  # models built before anything starts
    "config": {"provenance", "plugins", "layers"},
    "stats": set(),
    "files": {"records"},
    "records": {"config", "provenance"},
    "recovery": set(),
    "audit": {"cli", "records"},
    "store": {"files"},
    "provenance": set(),
    "cli": set(),
    "devices": {"gpus"},
    "recording": set(),  # CUDA graphs
    "gpus": set(),
    "data": GROUND,
    "kernels": set(),
    "systems": set(),
    "mixers": {"kernels", "plugins", "systems"},
    "models": {"mixers", "layers"},
    "training": GROUND | {"data", "devices", "mixers", "models", "recording"},
    "benchmarks": GROUND | {"devices", "kernels", "mixers", "models", "recording"},
    "checks": {"benchmarks", "mixers"},
    "commands": GROUND | {"benchmarks", "checks", "devices", "hub", "mixers"},  # each loads what it needs, when asked
    "__main__": {"commands"},
    "progress": set(),
    "hub": GROUND | {"data", "mixers", "models", "training"},
    "analyses": GROUND | {"benchmarks", "data", "devices", "kernels", "mixers", "models", "systems", "training"},
    "tables": GROUND,
    "claims": GROUND | {"tables"},
    "reporting": GROUND,
}
TORCH_FREE = {"systems", "config", "files", "stats", "provenance", "cli", "data", "tables", "claims", "reporting"}
TORCH_FREE |= {"plugins", "layers", "progress", "records", "recovery", "store"}


def imports(file: Path) -> set[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def room(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("name", sorted(ALLOWED))
def test_no_arrow_runs_back_up(name: str) -> None:
    files = [f for f in PACKAGE.rglob("*.py") if room(f) == name]
    assert files, f"there is no room called {name}"
    for file in files:
        rooms = {module.split(".")[1] for module in imports(file) if module.startswith("seqscale.")}
        assert rooms - {name} <= ALLOWED[name], f"{file.relative_to(ROOT)} imports {rooms - {name} - ALLOWED[name]}"


def test_every_room_is_known() -> None:
    assert {room(f) for f in PACKAGE.rglob("*.py")} - {"__init__"} == set(ALLOWED)


def test_the_library_knows_nothing_of_snakemake_and_tables_nothing_of_torch() -> None:
    for file in PACKAGE.rglob("*.py"):
        tops = {module.split(".")[0] for module in imports(file)}
        assert "snakemake" not in tops, file
        assert room(file) not in TORCH_FREE or "torch" not in tops, file


def test_kernels_import_nothing_but_their_own() -> None:
    for file in (PACKAGE / "kernels").rglob("*.py"):
        tops = {module.split(".")[0] for module in imports(file)}
        assert tops <= {"torch", "triton", "numpy", "seqscale"} | set(sys.stdlib_module_names), file


def test_the_top_level_is_what_it_should_be() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    tops = {line.split("/")[0] for line in listed.stdout.splitlines()}
    required = {"Snakefile", "README.md", "environment.yml", "workflow", "src", "config", "results", "report"}
    tools = {
        "pyproject.toml",
        "requirements.lock",
        "Makefile",
        "tests",
        "LICENSE",
        "CONTRIBUTING.md",
        ".ci",
        ".gitignore",
        "docs",
        "mkdocs.yml",
        "CITATION.cff",
        "CHANGELOG.md",
        ".snakemake-workflow-catalog.yml",
    }
    assert tops == required | tools


def test_the_snakefile_is_short_and_stages_have_their_files() -> None:
    assert len((ROOT / "Snakefile").read_text().splitlines()) < 60
    rules = {f.stem for f in (ROOT / "workflow/rules").glob("*.smk")} - {"common"}
    assert rules == set(STAGES) | {"tables", "checkpoints"}
    for name in rules:
        text = (ROOT / "workflow/rules" / f"{name}.smk").read_text()
        assert text.count("    shell:") == text.count("    log:"), f"{name}.smk: a rule without a log"


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_explain_themselves(script: str) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "src" / f"{script}.py"), "--help"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout) > 300, "a help of a few words helps nobody"


def test_every_stage_has_its_script() -> None:
    assert set(STAGES) <= set(SCRIPTS)


def test_lock_file_and_conda_environment_hold_the_same_pins() -> None:
    lock = {line for line in (ROOT / "requirements.lock").read_text().splitlines() if line and not line.startswith("#")}
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    pip = next(entry["pip"] for entry in conda if isinstance(entry, dict))
    assert set(pip) == lock
    assert len(pip) == len(lock)
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[^=\s]+", pin) for pin in lock)
    assert "torch==2.13.0" in lock
    names = {pin.split("==")[0].lower().replace("_", "-") for pin in lock}
    assert {"snakemake", "torch", "triton", "datasets", "pandas", "matplotlib", "papermill"} <= names


def test_the_lock_file_has_what_pyproject_asks_for() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *(r for extra in project["optional-dependencies"].values() for r in extra)]
    names = {re.split(r"[><=; \[]", r)[0].lower().replace("_", "-") for r in asked}
    lock = {
        line.split("==")[0].lower().replace("_", "-")
        for line in (ROOT / "requirements.lock").read_text().splitlines()
        if "==" in line
    }
    assert names <= lock, names - lock


def test_the_readme_names_only_what_is_there() -> None:
    text = (ROOT / "README.md").read_text()
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"`make (\w+)", text)) | set(re.findall(r"^make (\w+)", text, re.MULTILINE)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"make {target}"
    for path in re.findall(r"`((?:config|src|workflow|report)/[\w/.-]+)`", text):
        if "NAME" not in path:
            assert (ROOT / path).exists(), path
    for path in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("name", ["config", "full", "tiny"])
def test_every_configuration_is_sound(name: str) -> None:
    file = ROOT / "config" / f"{name}.yaml"
    check_corpora(resolve(yaml.safe_load(file.read_text()), [file], ROOT))


def test_config_readme_names_every_key_of_the_schema() -> None:
    text = (ROOT / "config/README.md").read_text()
    schema = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())
    keys = set(schema["$defs"]["experiment"]["properties"]) | set(schema["$defs"]["benchmarks"]["properties"])
    keys |= set(schema["properties"]["compute"]["properties"]) | set(schema["$defs"]["optimizer"]["properties"])
    assert not {key for key in keys if key not in text}


@pytest.mark.slow
def test_the_readmes_generated_blocks_are_current() -> None:
    done = subprocess.run([sys.executable, ".ci/readme.py", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
