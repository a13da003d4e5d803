#!/usr/bin/env python
"""Run an analysis, an experiment that trains nothing, and write OUT.csv (rows of the table `analyses`) and OUT.json.

hippo_memory     recall of a long signal from HiPPO states of several sizes
nplr_kernel      time and error of S4's convolution kernel against dense ways to compute it
scipy_response   impulse responses of trained channels against SciPy's; needs --runs and --data
"""

from pathlib import Path

from seqscale.analyses import NAMES, get
from seqscale.analyses.row import COLUMNS
from seqscale.cli import json_argument, main, parser
from seqscale.files import atomic_write, write_json
from seqscale.provenance import digest, provenance


def work() -> None:
    import pandas as pd

    p = parser(
        __doc__ or "",
        "example:\n"
        "  python src/analyse.py --name hippo_memory --out /tmp/memory --config \\\n"
        '    \'{"settings": {"length": 900, "waves": 4, "d_state": [8, 32], "signals": 7, "windows": [1], "seed": 0},\n'
        '      "device": "cpu", "threads": 1}\'',
    )
    p.add_argument("--name", required=True, choices=NAMES, help="which analysis")
    p.add_argument("--config", required=True, type=json_argument, help="settings, device, threads as JSON or @FILE")
    p.add_argument("--out", required=True, type=Path, metavar="STEM", help="files to write, without suffix")
    p.add_argument("--runs", nargs="*", default=[], type=Path, help="folders with model.safetensors and summary.json")
    p.add_argument("--data", help="folder that prepare.py made")
    a = p.parse_args()
    rows = list(get(a.name)(a.config, a.runs, a.data))
    with atomic_write(a.out.with_name(a.out.name + ".csv")) as temporary:
        pd.DataFrame(rows, columns=list(COLUMNS)).to_csv(temporary, index=False)
    origin = provenance(config_digest=digest(a.config), device=a.config["device"], threads=a.config["threads"])
    write_json(a.out.with_name(a.out.name + ".json"), {"config": a.config, "provenance": origin})


if __name__ == "__main__":
    main(work)
