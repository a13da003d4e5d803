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


def minutes(results: Path) -> float:
    """From the first finished job to the report: the whole run but for its first seconds. One undisturbed run only."""
    first = min(f.stat().st_mtime for f in (results / "logs").rglob("*.log"))
    return round(((results / "report.html").stat().st_mtime - first) / 60, 2)


def parts(results: Path) -> dict[str, list[str]]:
    """What was trained and timed, by which commits, as the files of single runs and benchmarks say."""
    runs = sorted((results / "runs").glob("*/*/*/metrics.json"))
    benches = sorted((results / "bench").glob("*/*.json"))
    commits = {read(f)["provenance"].get("git_commit") or "unknown" for f in (*runs, *benches)}
    return {
        "experiments": sorted({f.parts[-4] for f in runs}),
        "suites": sorted({f.parts[-2] for f in benches}),
        "commits": sorted(commits),
    }


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", required=True, help="of the machine, e.g. two-cores or h200")
    parser.add_argument("--results", type=Path, default=ROOT / "results", help="a finished run's results folder")
    parser.add_argument("--in-parts", action="store_true", help="not one undisturbed run: its minutes mean nothing")
    arguments = parser.parse_args()
    results, out = arguments.results, ROOT / "results" / "reference" / arguments.name
    out.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(results / "verdicts.csv", out / "verdicts.csv")
    for name in TABLES:
        if (table := results / "tables" / f"{name}.csv").exists() and len(table.read_text().splitlines()) > 1:
            shutil.copyfile(table, out / table.name)
    config = read(results / "config.json")
    one = read(next(iter(sorted((results / "runs").glob("*/*/*/summary.json")))))["provenance"]
    origin = {"configuration": config["name"], **config["provenance"]}
    if arguments.in_parts:  # the tables were made elsewhere; what counts is the machine that trained
        origin = {"configuration": config["name"], **one}
    else:
        origin["minutes"] = minutes(results)
    origin |= parts(results)
    benched = sorted((results / "bench").rglob("*.json"))
    if benched:
        origin["bench"] = read(benched[0])
    origin["kept"] = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    (out / "provenance.json").write_text(json.dumps(origin, indent=2) + "\n")
    total = sum(f.stat().st_size for f in out.rglob("*") if f.is_file())
    print(f"{out.relative_to(ROOT)}: {total / 1e3:.0f} kB")
    if total > MOST_BYTES:
        raise SystemExit(f"more than {MOST_BYTES:,} bytes are not kept in the repository: keep fewer tables")


if __name__ == "__main__":
    main()
