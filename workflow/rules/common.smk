# The configuration, checked in full before any job starts, and the helpers that the rules share.
import contextlib
import functools
import json
import os
import sys
import time
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
from seqscale.claims.needs import needs
from seqscale.config import ConfigError, Matrix, resolve
from seqscale.config.extras import checkpoints, pass_on_tracking
from seqscale.data.check import check_corpora
from seqscale.data.corpora import find_file
from seqscale.files import write_json
from seqscale.layers import layer_mixers
from seqscale.plugins import mixer_code
from seqscale.provenance import code_digest
from seqscale.records.ledger import VARIABLE, take_down_the_rest
from seqscale.recovery import AnotherRun, claim
from seqscale.reporting.catalog import EVIDENCE, FIGURES
from seqscale.reporting.names import DIGESTS
from seqscale.tables.columns import TABLES
from seqscale.trial import check_builds

# --configfile replaces the quick start's configuration instead of being merged into it, so that no experiment of one
# leaks into the other; --config KEY=VALUE is laid on top of either.
if not workflow.config_settings.configfiles:

    configfile: ROOT / "config" / "config.yaml"


CONFIG_FILES = [os.path.relpath(f) for f in workflow.configfiles]
CLAIMS = os.path.relpath(ROOT / "config" / "claims.yaml")

try:
    CONFIG = resolve(config, CONFIG_FILES, ROOT)
    PUBLISHED_CLAIMS = load_claims(
        CLAIMS, ROOT / "workflow" / "schemas" / "claims.schema.yaml"
    )
    if (
        workflow.is_main_process
    ):  # a job on a cluster node need not check again what let it be submitted
        check_corpora(CONFIG)
        check_builds(CONFIG)
except (ConfigError, ClaimsError) as error:
    raise WorkflowError(str(error)) from None
MATRIX = Matrix(CONFIG)
CONFIG.tell_jobs_the_mirror()
CHECKPOINTS = checkpoints(CONFIG)
pass_on_tracking(CONFIG)


wildcard_constraints:
    analysis=r"\w+",
    dataset=r"\w+",
    experiment=r"\w+",
    model=r"\w+",
    suite=r"\w+",
    claim=r"[\w.]+",
    seed=r"\d+",
    rate=r"[0-9.e+-]+",


os.environ[VARIABLE] = os.path.abspath(
    "results"
)  # jobs write down what they make, from what
STARTED = time.time()


onstart:
    try:
        claim(Path.cwd())
    except AnotherRun as error:
        raise WorkflowError(str(error)) from None


onsuccess:
    take_down_the_rest(Path("results").absolute(), STARTED)


onerror:
    take_down_the_rest(Path("results").absolute(), STARTED)


def as_json(value):
    """A value as one line of JSON, for a job's params: what a job depends on, it receives whole."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


@functools.cache
def code(script, modules=()):
    """A digest of the code that a script runs; Snakemake does not see imported modules, its params it does."""
    return code_digest(ROOT / "src" / script, *modules)


def mixer_modules(model):
    """The modules with a model's mixers: imported by name at run time, so no digest would find them by itself."""
    published = CONFIG.models[model]["published"]
    if published:
        return (f"seqscale.models.published.source_{published.split('.')[0]}",)
    return tuple(
        root
        for mixer in layer_mixers(CONFIG.models[model])
        for root in mixer_code(mixer)
    )


def bench_modules(wildcards):
    """What a job imports by name: its mixers, or where scans are measured alone other people's."""
    alone = MATRIX.bench_kind(wildcards.suite) == "kernels"
    return ("seqscale.benchmarks.peers",) if alone else mixer_modules(wildcards.model)


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


def probes_of(wildcards):
    """The file with what a classifier is asked besides its test set, where the experiment names one."""
    return MATRIX.experiments[wildcards.experiment]["probes"] or []


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


def gpus(wildcards=None):
    """GPUs that a training job asks for: one a process, none where the configuration insists on the CPU."""
    compute = CONFIG.values["compute"]
    return 0 if compute["device"] == "cpu" else compute["processes"]


def gpus_of_one(wildcards=None):
    """GPUs that any other job asks for: one at most."""
    return min(1, gpus())


def every_core():
    """Cores of a timing job: all that Snakemake may use here, so that nothing runs beside it.

    On a cluster Snakemake has no number of cores; the profile then asks for a node of its own.
    """
    return workflow.resource_settings.cores or 1


def figure_files():
    """Every figure in its three forms: SVG, PNG and the CSV behind it."""
    return [
        f"results/figures/{figure.name}.{kind}"
        for figure in (*FIGURES, *EVIDENCE)
        for kind in ("svg", "png", "csv")
    ]


def table_files():
    """Every table in its two forms."""
    return [
        f"results/tables/{name}.{kind}"
        for name in TABLES
        for kind in ("csv", "parquet")
    ]


def digest_files():
    """The tables that the report consists of, in their two forms."""
    return [
        f"results/tables/{name}.{kind}"
        for name in DIGESTS
        for kind in ("csv", "parquet")
    ]


def compared_run():
    """The arguments for another run to stand beside this one, where the configuration names it."""
    other = (CONFIG.values.get("report") or {}).get("compare")
    return ["--compare", other] if other else []


def files_of_claim(wildcards):
    """What a claim rests on: its runs with their searches, its benchmarks."""
    found = [c for c in PUBLISHED_CLAIMS.claims if c.id == wildcards.claim]
    if not found:
        known = ", ".join(c.id for c in PUBLISHED_CLAIMS.claims)
        raise WorkflowError(
            f"there is no claim {wildcards.claim!r}. There are: {known}"
        )
    need = needs(found[0], MATRIX.summary())
    pairs = {(experiment, model) for experiment, model, _ in need.runs}
    rates = [(e, m, r) for e, m, r in MATRIX.searches() if (e, m) in pairs]
    return [
        *(
            f"results/runs/{e}/{m}/seed{seed}/{name}"
            for e, m, seed in need.runs
            for name in ("summary.json", "history.csv", "metrics.json")
        ),
        *(f"results/search/{e}/{m}/lr{rate}/summary.json" for e, m, rate in rates),
        *sorted({f"results/search/{e}/{m}/best.json" for e, m, _ in rates}),
        *(f"results/bench/{suite}/{model}.csv" for suite, model in need.bench),
    ]


def write_dag():
    """results/dag.json: the rules and their arrows, for the report's picture. Only where the whole DAG is at hand."""
    edges = sorted(
        {
            (before.rule.name, job.rule.name)
            for job in workflow.dag.jobs
            for before in workflow.dag.dependencies[job]
            if job.rule.name != "all"
        }
    )
    if any(after == "report" for _, after in edges):
        with contextlib.suppress(
            OSError
        ):  # where nothing can be written, the jobs say so
            write_json("results/dag.json", {"edges": edges})


def report_what_is_there():
    """After a failed run that was to end in a report: the report of what there is, its holes named."""
    if not any(job.rule.name == "report" for job in workflow.dag.jobs):
        return
    log = "results/logs/partial_report.log"
    script = [sys.executable, f"{SRC}/partial.py", "--results", "results"]
    shell(
        "{script:q} {compare:q} > {log} 2>&1 && tail -n 1 {log} >&2 || cat {log} >&2",
        script=script,
        compare=compared_run(),
        log=log,
    )
