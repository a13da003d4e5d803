#!/usr/bin/env python
"""Check a configuration and write it out resolved: every default, every job. (The pipeline's results/config.json.)

Useful by hand to check a configuration without starting anything:
  python src/resolve.py --configfile config/config.yaml
"""

from pathlib import Path

from seqscale.cli import json_argument, main, parser
from seqscale.config import Config, Matrix, resolve
from seqscale.config.errors import Source
from seqscale.data.check import check_corpora
from seqscale.files import write_json
from seqscale.provenance import provenance
from seqscale.trial import check_builds

ROOT = Path(__file__).resolve().parent.parent


def work() -> None:
    p = parser(__doc__ or "")
    source = p.add_mutually_exclusive_group(required=True)
    source.add_argument("--configfile", type=Path, help="a YAML file like config/config.yaml")
    source.add_argument("--resolved", type=json_argument, help="values, models and datasets already checked, as JSON")
    p.add_argument("--out", type=Path, help="JSON file to write")
    a = p.parse_args()
    if a.resolved is None:
        config = resolve(Source(a.configfile).values or {}, [a.configfile], ROOT)
        check_corpora(config)
        check_builds(config)
    else:
        config = Config(**a.resolved)
    summary = Matrix(config).summary()
    counts = ", ".join(f"{len(summary[key])} {key}" for key in ("runs", "search", "bench"))
    print(f"{summary['name']}: {counts}")
    if a.out:
        write_json(a.out, {**summary, "provenance": provenance(config_digest=summary["config_digest"])})


if __name__ == "__main__":
    main(work)
