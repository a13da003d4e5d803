#!/usr/bin/env python
"""Keep the small results of a finished run as a reference: tables, verdicts, provenance, in results/reference/NAME.

make run && python .ci/reference.py --name two-cores

A run in parts (some experiments of a configuration, perhaps on several days) is kept by `make report` and this; what
was trained and timed, and by which commits, stands in its provenance.
"""

import argparse
import datetime
import json
import shutil
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TABLES = ("runs", "search", "bench", "scaling", "crossovers", "comparison", "models", "analyses", "extrapolation")
MOST_BYTES = 3_000_000
ONE_MACHINE = ("device_name", "packages")  # a reference is of one
OF_A_RUN = ("git_commit", "git_dirty", "seed", "config_digest", "precision", "cuda_graph", "data_sha256", "processes",
            "time_utc")  # fmt: skip


def minutes(results: Path) -> float:
    """From the first finished job to the report: the whole run but for its first seconds. One undisturbed run only."""
    first = min(f.stat().st_mtime for f in (results / "logs").rglob("*.log"))
    return round(((results / "report.html").stat().st_mtime - first) / 60, 2)


def files(results: Path) -> tuple[list[Path], list[Path]]:
    """The files of single runs, and those of benchmarks, that carry a provenance."""
    runs = [f for name in ("summary", "metrics") for f in sorted((results / "runs").glob(f"*/*/*/{name}.json"))]
    return runs, sorted((results / "bench").glob("*/*.json"))


def commit_of(origin: dict[str, Any]) -> str:
    """A commit, and whether what ran was that commit."""
    commit, dirty = origin.get("git_commit") or "unknown", origin.get("git_dirty")
    if dirty is None:  # code that was copied without its history
        return f"{commit} (not known whether with uncommitted changes)"
    return f"{commit} (with uncommitted changes)" if dirty else commit


def parts(results: Path) -> dict[str, Any]:
    """What was trained and timed, and by which commits, as the files of single runs and benchmarks say."""
    runs, benches = files(results)
    made = [("experiments", f.parts[-4], f) for f in runs] + [("suites", f.parts[-2], f) for f in benches]
    commits: dict[str, dict[str, set[str]]] = {}
    for kind, name, file in made:
        origin = read(file)["provenance"]
        mine = commits.setdefault(commit_of(origin), {"experiments": set(), "suites": set(), "cpu": set()})
        mine[kind].add(name)
        mine["cpu"] |= {origin["cpu"]} if origin.get("cpu") else set()
    return {
        "experiments": sorted({name for kind, name, _ in made if kind == "experiments"}),
        "suites": sorted({name for kind, name, _ in made if kind == "suites"}),
        "commits": {commit: {k: sorted(v) for k, v in commits[commit].items()} for commit in sorted(commits)},
    }


def machine(results: Path) -> dict[str, Any]:
    """What all parts share: their machine and versions. What a run has of its own, or they differ in, is left out."""
    runs, benches = files(results)
    trained = [f for f in runs if f.name == "summary.json"]
    origins = [read(f)["provenance"] for f in trained or benches]
    if not origins:
        raise SystemExit(f"{results} holds no run and no benchmark: there is nothing to keep")
    every = origins + [read(f)["provenance"] for f in benches]
    same = {k: v for k, v in origins[0].items() if all(o.get(k, v) == v for o in every)}
    for key in ONE_MACHINE:
        if key in origins[0] and key not in same:
            raise SystemExit(f"the parts in {results} differ in {key}: keep each under a name of its own")
    return {k: v for k, v in same.items() if k not in OF_A_RUN}


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", required=True, help="of the machine, e.g. two-cores or h200")
    parser.add_argument("--results", type=Path, default=ROOT / "results", help="a finished run's results folder")
    parser.add_argument("--in-parts", action="store_true", help="not one undisturbed run: its minutes mean nothing")
    arguments = parser.parse_args()
    results, out = arguments.results, ROOT / "results" / "reference" / arguments.name
    config = read(results / "config.json")
    origin = {"configuration": config["name"], **config["provenance"]}
    if arguments.in_parts:  # the tables were made elsewhere; what counts is the machine that trained
        origin = {"configuration": config["name"], **machine(results)}
    else:
        origin["minutes"] = minutes(results)
    origin |= parts(results)
    benched = sorted((results / "bench").rglob("*.json"))
    if benched:
        origin["bench"] = read(benched[0])
    origin["kept"] = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    out.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(results / "verdicts.csv", out / "verdicts.csv")
    for name in TABLES:
        if (table := results / "tables" / f"{name}.csv").exists() and len(table.read_text().splitlines()) > 1:
            shutil.copyfile(table, out / table.name)
    (out / "provenance.json").write_text(json.dumps(origin, indent=2) + "\n")
    total = sum(f.stat().st_size for f in out.rglob("*") if f.is_file())
    print(f"{out.relative_to(ROOT)}: {total / 1e3:.0f} kB")
    if total > MOST_BYTES:
        raise SystemExit(f"more than {MOST_BYTES:,} bytes are not kept in the repository: keep fewer tables")


if __name__ == "__main__":
    main()
