"""The documentation: it builds without a warning, and every code block on its pages runs.

Python blocks of a page run one after another in one process; bash blocks in a copy of the repository, with the
expensive commands made dry (`make`: -n; `snakemake` and `seqscale run`: a dry run); YAML blocks are configurations or
claims and are checked as such; TOML blocks are parsed.
"""

import json
import os
import re
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
PAGES = sorted(DOCS.rglob("*.md"))
SHIM = """#!/bin/sh
case "$0" in
*/make) exec {make} -n "$@" ;;
*/snakemake) exec {python} -m snakemake --dry-run --quiet all "$@" ;;
*/papermill) exec {python} -m papermill "$@" ;;
*/python) exec {python} "$@" ;;
*/seqscale) if [ "$1" = run ]; then shift; exec {python} -m seqscale run --dry-run "$@"; fi
            exec {python} -m seqscale "$@" ;;
esac
"""


def blocks(page: Path) -> list[tuple[str, str]]:
    """(language, code) of a page, in order."""
    return [(language, code) for language, code in FENCE.findall(page.read_text(encoding="utf-8"))]


def pages_with(language: str) -> list[Any]:
    found = [page for page in PAGES if any(kind == language for kind, _ in blocks(page))]
    return [pytest.param(page, id=str(page.relative_to(DOCS))) for page in found]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository, with commands that stand before the real ones."""
    import shutil

    folder = tmp_path_factory.mktemp("docs") / "repo"
    ignored = shutil.ignore_patterns(".git", ".venv", "build", "__pycache__", ".*_cache", ".snakemake", "runs", "work")
    shutil.copytree(ROOT, folder, ignore=ignored)
    shims = folder.parent / "bin"
    shims.mkdir()
    for name in ("make", "snakemake", "papermill", "python", "seqscale"):
        (shims / name).write_text(SHIM.format(python=sys.executable, make=shutil.which("make") or "make"))
        (shims / name).chmod(0o755)
    text = "It was the best of times, it was the worst of times. " * 400
    (folder / "book.txt").write_text(text)
    return folder


def environment(copy: Path) -> dict[str, str]:
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("SEQSCALE", "PYTEST"))}
    return {**plain, "PATH": f"{copy.parent / 'bin'}{os.pathsep}{os.environ['PATH']}", "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(copy / "src")}  # fmt: skip


def test_every_block_says_its_language() -> None:
    known = {"bash", "python", "yaml", "toml"}
    for page in PAGES:
        named = {language for language, code in blocks(page) if not code.startswith("--8<--")}  # a file, shown whole
        assert named <= known, page


ALL_IN_ONE = """
import json, sys, traceback
from pathlib import Path
said = {}
for name, kind, code in json.loads(Path(sys.argv[1]).read_text()):
    try:
        if kind == "python":
            exec(compile(code, name, "exec"), {"__name__": "__main__"})
        elif "experiments" in code:
            from seqscale.config import resolve
            from seqscale.config.errors import Source
            Path("checked.yaml").write_text(code)
            resolve(Source("checked.yaml").values, ["checked.yaml"], Path.cwd())
        else:
            from seqscale.claims import load_claims
            Path("checked.yaml").write_text(code)
            load_claims("checked.yaml", "workflow/schemas/claims.schema.yaml")
    except BaseException:
        said[f"{name} ({kind})"] = traceback.format_exc()
Path(sys.argv[2]).write_text(json.dumps(said))
"""


def test_python_and_yaml_blocks(copy: Path) -> None:
    """Python blocks run, a page at a time; YAML blocks are sound configurations or claims."""
    mixer = copy / "src/seqscale/mixers/my_mixer.py"
    mixer.write_text((copy / "src/seqscale/commands/mixer_template.txt").read_text().replace("CLASS", "MyMixer"))
    (copy / "my-mamba").mkdir(exist_ok=True)
    (copy / "my-mamba" / "config.json").touch()
    work = []
    for page in PAGES:
        python = [code for language, code in blocks(page) if language == "python" and "--8<--" not in code]
        work += [(page.name, "python", "\n".join(python))] if python else []
        work += [(page.name, "yaml", code) for language, code in blocks(page) if language == "yaml"]
    assert len(work) > 8
    (copy / "work.json").write_text(json.dumps(work))
    command = [sys.executable, "-c", ALL_IN_ONE, "work.json", "said.json"]
    done = subprocess.run(command, cwd=copy, env=environment(copy), capture_output=True, text=True)
    mixer.unlink()
    assert done.returncode == 0, done.stderr
    said = json.loads((copy / "said.json").read_text())
    assert not said, "\n".join(f"{name}:\n{words}" for name, words in said.items())


@pytest.mark.slow
@pytest.mark.parametrize("page", pages_with("bash"))
def test_bash_blocks_run(page: Path, copy: Path) -> None:
    """In the order of the page, after its configurations have been saved under the names that it gives them."""
    if page.name == "published-weights.md":  # the page's Python makes the checkpoint that its commands speak of
        python = "\n".join(code for language, code in blocks(page) if language == "python")
        subprocess.run([sys.executable, "-c", python], cwd=copy, env=environment(copy), check=True)
    (copy / "src/seqscale/mixers/my_mixer.py").unlink(missing_ok=True)
    saved = {"add-a-mixer.md": "config/mine.yaml", "add-a-claim.md": "my_claims.yaml"}.get(page.name)
    if saved:
        (copy / saved).write_text(next(code for language, code in blocks(page) if language == "yaml"))
    for code in (code for language, code in blocks(page) if language == "bash"):
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", code], cwd=copy, env=environment(copy),
                              capture_output=True, text=True)  # fmt: skip
        assert done.returncode == 0, f"{code}\n{done.stdout[-1500:]}\n{done.stderr[-3000:]}"


def test_toml_blocks_are_toml() -> None:
    for page in PAGES:
        for language, code in blocks(page):
            if language == "toml":
                tomllib.loads(textwrap.dedent(code))


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    pytest.importorskip("mkdocstrings")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True,
                          env={**os.environ, "NO_MKDOCS_2_WARNING": "1"})  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    page = (tmp_path / "site/api/index.html").read_text()
    assert "selective_scan" in page
    assert "from_pretrained" in page


def test_every_page_is_in_the_navigation() -> None:
    text = (ROOT / "mkdocs.yml").read_text()
    for page in PAGES:
        assert f" {page.relative_to(DOCS)}" in text, page


def test_citation_and_catalog_files_agree_with_the_package() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == version
    assert citation["cff-version"] == "1.2.0"
    assert {"title", "authors", "message", "type", "license"} <= citation.keys()
    catalog = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())
    assert catalog["usage"]["software-stack-deployment"]["conda"] is True
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text()
    import seqscale

    assert seqscale.__version__ == version
