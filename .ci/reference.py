#!/usr/bin/env python
"""Keep the small results of a finished run as a reference: tables, verdicts, provenance, in results/reference/NAME.

make run && python .ci/reference.py --name two-cores
"""

import argparse
import datetime
import json
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KEPT = ("tables/runs.csv", "tables/search.csv", "tables/bench.csv", "tables/scaling.csv", "verdicts.csv")


def minutes(results: Path) -> float:
    """From the first finished job to the report: the whole run but for its first seconds. One undisturbed run only."""
    first = min(f.stat().st_mtime for f in (results / "logs").rglob("*.log"))
    return round(((results / "report.html").stat().st_mtime - first) / 60, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", required=True, help="of the machine, e.g. two-cores or h200")
    parser.add_argument("--results", type=Path, default=ROOT / "results", help="a finished run's results folder")
    arguments = parser.parse_args()
    out = ROOT / "results" / "reference" / arguments.name
    out.mkdir(parents=True, exist_ok=True)
    for name in KEPT:
        shutil.copyfile(arguments.results / name, out / Path(name).name)
    config = json.loads((arguments.results / "config.json").read_text())
    origin = {"configuration": config["name"], **config["provenance"], "minutes": minutes(arguments.results)}
    benched = sorted((arguments.results / "bench").rglob("*.json"))
    if benched:
        origin["bench"] = json.loads(benched[0].read_text())
    origin["kept"] = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    (out / "provenance.json").write_text(json.dumps(origin, indent=2) + "\n")
    print(f"{out.relative_to(ROOT)}: {sum(f.stat().st_size for f in out.iterdir()) / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
