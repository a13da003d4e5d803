"""Nothing that is read can run code, and nothing that a config says can write outside results/."""

import ast
import json
import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from seqscale.config import ConfigError, resolve
from seqscale.data.check import check_corpora
from seqscale.data.corpora import DataError
from seqscale.data.fetch import PinnedFile
from seqscale.files import sha256_of
from seqscale.hub import from_pretrained
from seqscale.hub.files import CheckpointError, read_weights
from seqscale.store import fetch, share
from seqscale.training.checkpoint import load_tensors

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "src").rglob("*.py"))

# what runs code that lies in data, by the module it comes from
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
FORBIDDEN_CALLS = {
    "eval": "runs text",
    "exec": "runs text",
    "torch.load": "unpickles",
    "torch.save": "pickles",
    "yaml.load": "makes objects; say yaml.safe_load",
    "yaml.unsafe_load": "makes objects",
    "yaml.full_load": "makes objects",
    "np.load": "may unpickle",
    "numpy.load": "may unpickle",
    "pd.read_pickle": "unpickles",
    "os.system": "is a shell",
    "os.popen": "is a shell",
}
NETWORK_MODULES = {"urllib", "requests", "httpx", "aiohttp", "http", "ftplib", "huggingface_hub", "datasets", "socket"}
MAY_REACH_THE_NETWORK = (
    "data/",
    "recovery.py",
    "models/published/",
    "hub/files.py",
)  # recovery.py: this machine's name


def name_of(node: ast.expr) -> str:
    return f"{name_of(node.value)}.{node.attr}" if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def modules_of(tree: ast.AST) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


def dangers(source: str) -> list[str]:
    """What in a source file could run code that lies in data."""
    tree = ast.parse(source)
    found = [f"imports {name}" for name in modules_of(tree) & FORBIDDEN_MODULES]
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = name_of(node.func)
        words = {k.arg: ast.unparse(k.value) for k in node.keywords}
        if name in FORBIDDEN_CALLS and not (name.endswith(".load") and words.get("allow_pickle") == "False"):
            found.append(f"line {node.lineno}: {name} {FORBIDDEN_CALLS[name]}")
        if words.get("shell") == "True" or words.get("trust_remote_code", "False") != "False":
            found.append(f"line {node.lineno}: {name} runs what it is given")
        if name.endswith((".extractall", ".extract", ".unpack_archive")) and words.get("filter") != "'data'":
            found.append(f"line {node.lineno}: {name} without filter='data' may write outside its folder")
    return found


def test_no_source_file_runs_what_it_reads() -> None:
    assert not {f"{file.relative_to(ROOT)}: {d}" for file in SOURCES for d in dangers(file.read_text())}


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "x = torch.load(path)",
        "x = yaml.load(text)",
        "subprocess.run(words, shell=True)",
        "tarfile.open(f).extractall(folder)",
        "AutoModel.from_pretrained(name, trust_remote_code=True)",
        "np.load(path, allow_pickle=True)",
        "eval(text)",
    ],
)
def test_the_search_finds_what_it_looks_for(line: str) -> None:
    assert dangers(line)


def test_only_the_data_room_reaches_the_network() -> None:
    for file in SOURCES:
        inside = file.relative_to(ROOT / "src" / "seqscale").as_posix() if "seqscale" in file.parts else file.name
        reached = modules_of(ast.parse(file.read_text())) & NETWORK_MODULES
        assert not reached or inside.startswith(MAY_REACH_THE_NETWORK), f"{inside} imports {reached}"


def config(**changes: Any) -> dict[str, Any]:
    experiment = {
        "dataset": "pydoc_topics",
        "models": ["linear"],
        "context": 8,
        "batch": 2,
        "steps": 2,
        "seeds": [1],
        "learning_rate": 0.1,
    }
    return {"name": "x", "experiments": {"text": experiment}, **changes}


OUTSIDE = ("../../outside", "/tmp/outside", "a/b", "..", "a b", "$(touch outside)", "`id`", "a;id", "ä\n", "")
OUTSIDE += ("text\n", "a\n../b", "text\0", "a" * 300)


@pytest.mark.parametrize("name", OUTSIDE)
def test_names_cannot_leave_results(name: str) -> None:
    """Experiments, models and datasets become folders; nothing but letters, digits and underscores is let through."""
    text = config()["experiments"]["text"]
    for bad in (
        config(experiments={name: text}),
        config(models={name: {"mixer": "linear", "d_model": 8, "n_layers": 1}}),
        config(datasets={name: {"kind": "pydoc_topics"}}),
        config(experiments={"text": {**text, "models": [name]}}),
        config(models={"linear": {"mixer": name}}),
        config(checkpoints={name: "owner/name"}),
        config(
            benchmarks={"models": ["linear"], "suites": {name: {"kind": "flops", "batch": 1, "lengths": [8, 16, 32]}}}
        ),
    ):
        with pytest.raises(ConfigError):
            resolve(bad, [], ROOT)


@pytest.mark.parametrize(
    "file",
    [
        {"path": "../../outside.txt"},
        {"path": "/tmp/outside.txt"},
        {"path": "~/outside.txt"},
        {"path": "a/../../outside.txt"},
        {"path": "a\\..\\outside.txt"},
        {"path": "C:outside.txt"},
        {"path": "a.txt\n"},
        {"path": "a.txt", "url": "file:///etc/passwd"},
        {"path": "a.txt", "url": "hf://owner/name/../../outside"},
        {"path": "a.txt", "url": "https://host/a.txt\n"},
    ],
    ids=lambda file: repr(file.get("url", file["path"])),
)
def test_a_download_cannot_leave_results(file: dict[str, str], tmp_path: Path) -> None:
    """Refused in a config; and by hand, past the schema, nothing is even asked for."""
    corpus = {"kind": "corpus", "tokenizer": "characters", "lengths": [80, 10, 10]}
    sound = {"path": "texts/mine.txt", "url": "https://host/mine.txt?raw=1", "sha256": "0" * 64}
    resolve(config(datasets={"mine": {**corpus, "files": {"text": sound}}}), [], ROOT)
    with pytest.raises(ConfigError, match=r"\.(path|url): "):
        resolve(config(datasets={"mine": {**corpus, "files": {"text": {**sound, **file}}}}), [], ROOT)


@pytest.mark.parametrize("path", ["../outside.txt", "/tmp/outside.txt", "link/outside.txt"])
def test_a_download_past_the_schema_stays_below_its_folder(path: str, tmp_path: Path) -> None:
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads/link").symlink_to(tmp_path)
    file = PinnedFile(path, "0" * 64, "http://127.0.0.1:9/never-asked")
    with pytest.raises(DataError, match="leads out of it"):
        file.locate(None, tmp_path / "downloads")


@pytest.mark.parametrize("name", ["../../outside", "/tmp/outside", "a/b", "manifest.json", ".."])
def test_a_shared_folder_cannot_write_elsewhere(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others write into the folder of SEQSCALE_CACHE: what its manifest names are files of its own."""
    monkeypatch.setenv("SEQSCALE_CACHE", str(tmp_path / "shared"))
    share("run", "abcd", [ROOT / "LICENSE"])
    assert fetch("run", "abcd", tmp_path / "out")
    (manifest,) = (tmp_path / "shared").rglob("manifest.json")
    target = manifest.parent / name
    if name not in ("manifest.json", "..", "/tmp/outside"):
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("planted")
    checksum = sha256_of(target) if target.is_file() else "0" * 64
    manifest.write_text(json.dumps({"files": {name: checksum}}))
    before = sorted(tmp_path.rglob("*"))
    assert not fetch("run", "abcd", tmp_path / "deep/er/out")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_is_refused(value: float) -> None:
    """YAML's .nan and .inf are below no limit and above none."""
    text = config()["experiments"]["text"]
    for bad in ({"learning_rate": value}, {"optimizer": {"clip": value}}, {"optimizer": {"weight_decay": value}}):
        with pytest.raises(ConfigError, match="must be a number"):
            resolve(config(experiments={"text": {**text, **bad}}), [], ROOT)


def test_a_text_with_an_outlandish_path_gets_a_plain_name(tmp_path: Path) -> None:
    file = tmp_path / "..; $(touch outside) ä.txt"
    file.write_text("plain words " * 400)
    values = config()
    values["experiments"]["text"]["dataset"] = str(file)
    name = resolve(values, [], ROOT).values["experiments"]["text"]["dataset"]
    assert re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII)


class _Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("exploded"),))


def test_a_pickle_is_refused_as_corpus_and_as_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bomb.txt").write_bytes(pickle.dumps(_Bomb(), protocol=5))
    values = config()
    values["experiments"]["text"]["dataset"] = "bomb.txt"
    with pytest.raises(ConfigError, match="not UTF-8"):
        check_corpora(resolve(values, [], ROOT))
    torch.save({"weight": torch.ones(2)}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="damaged or incomplete"):
        load_tensors(tmp_path / "model.safetensors")
    assert not (tmp_path / "exploded").exists()


def test_pickled_weights_of_transformers_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As they are, renamed to safetensors, named by an index, and with code of their own beside them."""
    monkeypatch.chdir(tmp_path)
    bomb = pickle.dumps(_Bomb(), protocol=5)
    (tmp_path / "modeling.py").write_text("open('exploded', 'w')\n")
    (tmp_path / "config.json").write_text(
        json.dumps({"model_type": "gpt2", "auto_map": {"AutoModelForCausalLM": "modeling.Model"}})
    )
    for name in ("pytorch_model.bin", "model.pt", "weights.pth", "last.ckpt"):
        (tmp_path / name).write_bytes(bomb)
        with pytest.raises(CheckpointError, match=rf"in {name} only, a pickle"):
            read_weights(tmp_path)
        (tmp_path / name).rename(tmp_path / "model.safetensors")
        with pytest.raises(CheckpointError, match="damaged"):
            read_weights(tmp_path)
        (tmp_path / "model.safetensors").unlink()
    (tmp_path / "pytorch_model.bin").write_bytes(bomb)
    for part, words in (("pytorch_model.bin", "damaged"), ("../pytorch_model.bin", "outside")):
        (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"head.weight": part}}))
        with pytest.raises(CheckpointError, match=words):
            read_weights(tmp_path)
    with pytest.raises(CheckpointError):
        from_pretrained(tmp_path)
    assert not (tmp_path / "exploded").exists()


def test_a_config_cannot_run_code(tmp_path: Path) -> None:
    """Snakemake itself reads the configuration, so this asks Snakemake."""
    text = yaml.safe_dump(config()) + "title: !!python/object/apply:os.system ['touch outside']\n"
    (tmp_path / "config.yaml").write_text(text)
    (tmp_path / "Snakefile").write_text("rule all:\n    shell: 'true'\n")
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "-n", "--configfile", "config.yaml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode != 0, done.stdout
    assert "not valid JSON or YAML" in done.stdout + done.stderr
    assert not (tmp_path / "outside").exists()


def test_a_function_in_a_config_is_refused() -> None:
    """The one Python tag that Snakemake's reader lets through names a function (`!!python/name:`) and calls nothing."""
    with pytest.raises(ConfigError):
        resolve(config(name=len), [], ROOT)


# made of checked names and of what the workflow itself says
OF_OUR_OWN = {f"params.{name}" for name in ("script", "search", "dag", "names")}


def test_words_in_a_config_reach_no_shell(tmp_path: Path) -> None:
    """Rules quote what they pass on: prompts and paths are free text."""
    for file in (ROOT / "workflow/rules").glob("*.smk"):
        for command in re.findall(r"shell:\n((?:\s+\".*\"\n)+)", file.read_text()):
            for word in set(re.findall(r"{(params\.[^}]+)}", command)) - OF_OUR_OWN:
                assert word.endswith(":q"), f"{file.name}: {{{word}}} is not quoted"
