#!/usr/bin/env python
"""Train one run and leave model.safetensors, history.csv and summary.json in --out.

Interrupt it, kill it, run it again: it goes on from its last checkpoint in --work and, on a CPU, ends with the same
weights to the last bit. On a terminal it shows a progress bar; in a log, plain lines.

Several processes (`"processes": 2` in the config, or torchrun --nproc-per-node 2 src/train.py ...) share each batch,
a GPU for each; `"accumulate": 4` takes a process's share in four pieces, one after the other, to save memory.

exit status: 0 done (also when the run diverged or ran out of memory: summary.json says so, and the comparison goes on);
             with --strict 3 for such a run; 2 for arguments or data that do not fit.
"""

import subprocess
import sys
from os import environ
from pathlib import Path

from seqscale.cli import json_argument, main, parser
from seqscale.files import read_json
from seqscale.gpus import take
from seqscale.training import MEMORY_NOTE, train


def several(processes: int, work: Path, word: str) -> tuple[int, str | None]:
    """This very command in several processes, by torchrun: its exit status, and how it ran out of memory, if it did."""
    note = work / MEMORY_NOTE
    note.unlink(missing_ok=True)
    if word != "cpu":
        take(processes)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    status = subprocess.run([*torchrun, *sys.argv]).returncode
    return status, note.read_text(encoding="utf-8") if status and note.exists() else None


def work() -> int:
    p = parser(
        __doc__ or "",
        'a run\'s config is in the summary.json of any finished run, under "config"; to repeat one by hand:\n'
        '  python -c \'import json; print(json.dumps(json.load(open("summary.json"))["config"]))\' > run.json\n'
        "  python src/train.py --config @run.json --data results/data/pydoc_topics --work /tmp/work --out /tmp/out",
    )
    p.add_argument("--config", required=True, type=json_argument, help="the resolved run config, as JSON or @FILE")
    p.add_argument("--data", required=True, help="folder that prepare.py made")
    p.add_argument("--work", required=True, help="folder for checkpoints; keep it until the run has ended")
    p.add_argument("--out", required=True, help="folder for the results")
    p.add_argument("--search", help="best.json of the learning-rate search, for a config whose learning rate is null")
    p.add_argument("--strict", action="store_true", help="exit 3 if the run diverges or runs out of memory")
    a = p.parse_args()
    run = a.config
    if run["optimizer"]["learning_rate"] is None:
        if a.search is None:
            raise ValueError("the config's learning rate is null (it is searched): give --search best.json")
        run["optimizer"]["learning_rate"] = read_json(a.search)["learning_rate"]
    failure = None
    if run.get("processes", 1) > 1 and "WORLD_SIZE" not in environ:
        status, failure = several(run["processes"], Path(a.work), run["device"])
        if failure is None:
            summary = read_json(Path(a.out) / "summary.json") if status == 0 else {"status": "failed"}
            return status or (3 if a.strict and summary["status"] != "ok" else 0)
    summary = train(run, a.data, a.work, a.out, failure)
    return 3 if a.strict and summary["status"] != "ok" else 0


if __name__ == "__main__":
    main(work)
