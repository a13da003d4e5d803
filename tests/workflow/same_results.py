"""Two runs of one configuration, compared to the last bit: everything but what the clock and the machine's load say.

    python tests/workflow/same_results.py HERE THERE          two folders of results
    python tests/workflow/same_results.py --slurm FOLDER      clones of this repository's commit run config/tiny.yaml in
                                                              FOLDER, one here and one through the SLURM profile on a
                                                              SLURM of its own; then compares them

Compared: weights, the evaluations of every run, all tables of `seqscale.tables`, the verdicts. Left out: seconds, peak
memory (which depends on what else the process held), how often a timing was repeated, and what follows from these
(fitted exponents of times; the measured value and the verdict of claims about times). Of such rows the rest is
compared, so that a missing curve or a failed benchmark is found; verdicts that differ by time alone are told, and are
no error.

Exit status: 0 the same, 1 not, 2 a run failed. Corpora come from SEQSCALE_MIRROR, else stand-ins are made.
"""

import argparse
import functools
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd

from seqscale.claims import load_claims
from seqscale.claims.load import Claim, Trial
from seqscale.files import read_json, sha256_of
from seqscale.tables.columns import TABLES

ROOT = Path(__file__).resolve().parents[2]
# quantities of bench, scaling and analyses; flops, state, error and weighted_error must be the same
OF_THE_MACHINE = ("time", "mean_time", "time_per_token", "tokens_per_second", "copy_rate", "peak_memory")
CLOCKED = {"runs": ["train_seconds", "peak_memory_bytes"], "history": ["seconds"]}
MEASURED = ["median", "p20", "p80", "repeats"]
FITTED = [
    "exponent", "ci_low", "ci_high", "r2", "coefficient", "local_first", "local_last", "still_rising", "exponent_all",
    "ci_low_all", "ci_high_all", "length_min", "length_min_all", "points", "points_all", "reason",
]  # fmt: skip
JUDGED = ["measured", "ci_low", "ci_high", "n", "verdict", "reason"]
GROUPS = ("--group-components", "run=9", "--resources", "mem_mb=16000")  # nine runs in a SLURM job, one after the other


def differences(here: Path, there: Path) -> tuple[list[str], list[str]]:
    """What differs between two folders of results, and what differs by time alone."""
    found = _files(here, there)
    for name in TABLES:
        one, other = (pd.read_parquet(folder / f"tables/{name}.parquet") for folder in (here, there))
        found += _rows(name, _without_the_clock(name, one), _without_the_clock(name, other))
    verdicts = [pd.read_csv(folder / "verdicts.csv", keep_default_na=False) for folder in (here, there)]
    about_times = [v.apply(_about_times, axis=1).astype(bool) for v in verdicts]
    found += _rows("verdicts", *(_blank(v, times, JUDGED) for v, times in zip(verdicts, about_times, strict=True)))
    by_time = [
        f"{a.claim} {a.part or 'whole'} ({a.protocol}): {a.verdict} here, {b.verdict} there"
        for a, b, timed in zip(verdicts[0].itertuples(), verdicts[1].itertuples(), about_times[0], strict=False)
        if timed and a.verdict != b.verdict
    ]
    return found, by_time


def _files(here: Path, there: Path) -> list[str]:
    """Weights by their bytes, evaluations by their numbers; both must have the same ones."""
    names = [
        {f.relative_to(folder).as_posix() for kind in ("model.safetensors", "metrics.json") for f in folder.rglob(kind)}
        for folder in (here, there)
    ]
    found = [f"{name}: only in one of the two" for name in sorted(names[0] ^ names[1])]
    for name in sorted(names[0] & names[1]):
        one, other = here / name, there / name
        if name.endswith(".json"):
            same = _told(read_json(one)) == _told(read_json(other))
        else:
            same = sha256_of(one) == sha256_of(other)
        found += [] if same else [f"{name}: differs"]
    return found


def _told(values: Any) -> Any:
    """A JSON result without where and when it was made."""
    if isinstance(values, dict):
        return {k: _told(v) for k, v in values.items() if k != "provenance" and not k.endswith("seconds")}
    return [_told(v) for v in values] if isinstance(values, list) else values


def _without_the_clock(name: str, table: pd.DataFrame) -> pd.DataFrame:
    if name in ("bench", "scaling", "analyses"):
        return _blank(table, table["quantity"].isin(OF_THE_MACHINE), FITTED if name == "scaling" else MEASURED)
    return table.drop(columns=CLOCKED.get(name, []))


def _blank(table: pd.DataFrame, where: "pd.Series[bool]", columns: list[str]) -> pd.DataFrame:
    """`table` with `columns` emptied in the rows `where`."""
    plain = table.astype(object)
    plain.loc[where.to_numpy(bool), columns] = None
    return plain


def _rows(name: str, one: pd.DataFrame, other: pd.DataFrame) -> list[str]:
    one, other = (t.astype(object).map(repr).reset_index(drop=True) for t in (one, other))
    if one.shape != other.shape or list(one) != list(other):
        return [f"{name}: {one.shape[0]} rows here, {other.shape[0]} there"]
    return [
        f"{name}, row {row + 1}, {column}: {one.at[row, column]} here, {other.at[row, column]} there"
        for column in one
        for row in one.index[one[column] != other[column]]
    ]


@functools.cache
def _claims() -> dict[str, Claim]:
    schema = ROOT / "workflow/schemas/claims.schema.yaml"
    return {claim.id: claim for claim in load_claims(ROOT / "config/claims.yaml", schema).claims}


def _about_times(row: Any) -> bool:
    """Whether a row of the verdicts rests on a time; a whole claim does if one of its parts does."""
    trials = [t for t in _claims()[row.claim].trials if t.protocol == row.protocol and row.part in ("", t.part)]
    return any(_is_timed(trial) for trial in trials)


def _is_timed(trial: Trial) -> bool:
    columns = {str(trial.options.get(key, "")) for key in ("column", "x")}
    return trial.select.get("quantity") in OF_THE_MACHINE or bool(columns & {"train_seconds", "seconds"})


def run_both(folder: Path, config: str) -> tuple[Path, Path]:
    """Clone twice, run a configuration here and through SLURM.

    Raises:
        RuntimeError: one of the runs failed.
    """
    from slurm_node import slurm_node

    from stand_ins import make_mirror, write_stand_in

    folder.mkdir(parents=True)
    commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    places = [folder / name for name in ("here", "there")]
    mirror = os.environ.get("SEQSCALE_MIRROR")
    for place in places:
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(place)], check=True)
        subprocess.run(["git", "-C", place, "checkout", "--quiet", commit.stdout.strip()], check=True)
        if mirror is None:
            write_stand_in(place / "config/datasets.yaml", make_mirror(folder / f"{place.name}-mirror"))
    snakemake = [sys.executable, "-m", "snakemake", "--configfile", config, "--quiet", "rules", "progress"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

    def run(place: Path, *words: str) -> None:
        began = time.monotonic()
        texts = mirror or str(folder / f"{place.name}-mirror")
        environment = {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1", "SEQSCALE_MIRROR": texts}
        done = subprocess.run([*snakemake, *words], cwd=place, env=environment)
        print(f"{place.name}: exit {done.returncode} after {time.monotonic() - began:.0f} s", flush=True)
        if done.returncode:
            raise RuntimeError(f"the run in {place} failed; its logs are in {place / 'results/logs'}")

    run(places[0], "--cores", "2")
    with slurm_node(folder / "slurm"):
        waits = ("--slurm-init-seconds-before-status-checks", "5", "--latency-wait", "10")
        run(places[1], "--profile", "workflow/profiles/slurm", *GROUPS, *waits)
    return places[0] / "results", places[1] / "results"


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("folders", nargs="*", type=Path, metavar="FOLDER")
    p.add_argument("--slurm", type=Path, metavar="FOLDER", help="make both runs in this folder first")
    p.add_argument("--configfile", default="config/tiny.yaml", help="another configuration (default: %(default)s)")
    a = p.parse_args()
    if (a.slurm is None) == (len(a.folders) != 2):
        p.error("give two folders of results, or --slurm FOLDER")
    try:
        here, there = a.folders if a.slurm is None else run_both(a.slurm.resolve(), a.configfile)
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 2
    found, by_time = differences(here, there)
    for words in by_time:
        print(f"by time alone: {words}")
    for words in found:
        print(words)
    runs = len(list(there.glob("runs/*/*/*/metrics.json")))
    rows = len(pd.read_csv(there / "verdicts.csv"))
    print(
        f"{runs} runs, {rows} rows of verdicts: {len(found)} differences, {len(by_time)} verdicts differ by time alone"
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "tests"))  # stand_ins
    sys.exit(main())
