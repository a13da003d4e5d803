# The configuration, checked in full before any job starts, and the helpers that the rules share.
import functools
import json
import os
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

ROOT = Path(workflow.basedir)
SRC = os.path.relpath(ROOT / "src")  # relative, so that a moved checkout reruns nothing
sys.path.insert(0, str(ROOT / "src"))
# A logger plugin may have loaded the library of another checkout; this workflow runs, and digests, its own.
if "seqscale" in sys.modules and not Path(
    sys.modules["seqscale"].__file__
).is_relative_to(ROOT):
    for name in [m for m in sys.modules if m.split(".")[0] == "seqscale"]:
        del sys.modules[name]

from seqscale.claims import ClaimsError, load_claims
from seqscale.config import ConfigError, Matrix, resolve
from seqscale.config.extras import checkpoints, pass_on_tracking
from seqscale.data.check import check_corpora
from seqscale.data.corpora import find_file
from seqscale.layers import layer_mixers
from seqscale.plugins import mixer_code
from seqscale.provenance import code_digest
from seqscale.reporting.catalog import FIGURES
from seqscale.tables.columns import TABLES

# --configfile replaces the quick start's configuration instead of being merged into it, so that no experiment of one
# leaks into the other; --config KEY=VALUE is laid on top of either.
if not workflow.config_settings.configfiles:

    configfile: ROOT / "config" / "config.yaml"


CONFIG_FILES = [os.path.relpath(f) for f in workflow.configfiles]
CLAIMS = os.path.relpath(ROOT / "config" / "claims.yaml")

try:
    CONFIG = resolve(config, CONFIG_FILES, ROOT)
    check_corpora(CONFIG)
    load_claims(CLAIMS, ROOT / "workflow" / "schemas" / "claims.schema.yaml")
except (ConfigError, ClaimsError) as error:
    raise WorkflowError(str(error)) from None
MATRIX = Matrix(CONFIG)
CHECKPOINTS = checkpoints(CONFIG)
pass_on_tracking(CONFIG)


wildcard_constraints:
    analysis=r"\w+",
    dataset=r"\w+",
    experiment=r"\w+",
    model=r"\w+",
    suite=r"\w+",
    seed=r"\d+",
    rate=r"[0-9.e+-]+",


def as_json(value):
    """A value as one line of JSON, for a job's params: what a job depends on, it receives whole."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


@functools.cache
def code(script, modules=()):
    """A digest of the code that a script runs; Snakemake does not see imported modules, its params it does."""
    return code_digest(ROOT / "src" / script, *modules)


def mixer_module(model):
    """The modules with a model's mixers: imported by name at run time, so no digest would find them by itself."""
    return tuple(
        root
        for mixer in layer_mixers(CONFIG.models[model])
        for root in mixer_code(mixer)
    )


def dataset_of(wildcards):
    """The prepared data of an experiment."""
    return (
        f"results/data/{MATRIX.experiments[wildcards.experiment]['dataset']}/meta.json"
    )


def text_file_of(wildcards):
    """The text file of a dataset, so that editing it reruns what depends on it; none for generated and built-in ones."""
    spec = CONFIG.datasets[wildcards.dataset]
    return str(find_file(spec["path"], CONFIG.mirror)) if spec["kind"] == "text" else []


def mirror_for(wildcards):
    """The arguments for the folder of local copies, where the dataset is a file that may lie there."""
    wanted = CONFIG.mirror and CONFIG.datasets[wildcards.dataset]["kind"] == "text"
    return ["--mirror", CONFIG.mirror] if wanted else []


def best_rate_of(wildcards):
    """The search's result, for a model whose learning rate is searched."""
    if not MATRIX.rates(wildcards.experiment, wildcards.model):
        return []
    return f"results/search/{wildcards.experiment}/{wildcards.model}/best.json"


def sample_of(wildcards):
    """The arguments for the text sample, where the experiment asks for one."""
    sample = MATRIX.sample(wildcards.experiment)
    return (
        [f"--prompt={sample['prompt']}", f"--length={sample['length']}"]
        if sample
        else []
    )


def weights_of(wildcards):
    """The files of a checkpoint that is a folder here, so that new weights are evaluated anew."""
    folder = Path(CHECKPOINTS[wildcards.checkpoint]["path"]).expanduser()
    return [
        str(f)
        for f in sorted(folder.glob("*"))
        if f.suffix in (".json", ".safetensors")
    ]


def checkpoint_files():
    """A table for each checkpoint that the configuration names."""
    return [f"results/checkpoints/{name}.csv" for name in CHECKPOINTS]


def analysed_runs(wildcards):
    """The trained runs that an analysis reads, and the data that they were trained on."""
    runs = MATRIX.analysis_runs(wildcards.analysis)
    files = [
        f"results/runs/{experiment}/{model}/seed{seed}/{name}"
        for experiment, model, seed in runs
        for name in ("model.safetensors", "summary.json")
    ]
    data = {
        f"results/data/{MATRIX.experiments[experiment]['dataset']}/meta.json"
        for experiment, _, _ in runs
    }
    return {"runs": files, "data": sorted(data)}


def figure_files():
    """Every figure in its three forms: SVG, PNG and the CSV behind it."""
    return [
        f"results/figures/{figure.name}.{kind}"
        for figure in FIGURES
        for kind in ("svg", "png", "csv")
    ]


def table_files():
    """Every table in its two forms."""
    return [
        f"results/tables/{name}.{kind}"
        for name in TABLES
        for kind in ("csv", "parquet")
    ]
