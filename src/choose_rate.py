#!/usr/bin/env python
"""Choose a model's learning rate: the lowest validation loss among its search runs. Never looks at the test split.

Writes best.json: learning_rate, valid_loss, at_edge (the winner is the smallest or largest tried, so a better one may
lie beyond), tried. If every search run failed, the smallest rate is taken, and the reason stands in best.json.
"""

from seqscale.cli import main, parser
from seqscale.files import read_json, write_json


def work() -> None:
    p = parser(__doc__ or "")
    p.add_argument("summaries", nargs="+", help="summary.json of each search run")
    p.add_argument("--out", required=True, help="best.json to write")
    a = p.parse_args()
    tried = []
    for path in a.summaries:
        summary = read_json(path)
        rate = summary["config"]["optimizer"]["learning_rate"]
        tried.append({"learning_rate": rate, "valid_loss": summary["valid_loss"], "status": summary["status"]})
    tried.sort(key=lambda t: t["learning_rate"])
    sound = [t for t in tried if t["valid_loss"] is not None]
    best = min(sound, key=lambda t: t["valid_loss"]) if sound else tried[0]
    write_json(
        a.out,
        {
            "learning_rate": best["learning_rate"],
            "valid_loss": best["valid_loss"],
            "at_edge": len(tried) > 1
            and best["learning_rate"] in (tried[0]["learning_rate"], tried[-1]["learning_rate"]),
            "reason": "" if sound else "every search run failed; the smallest learning rate was taken",
            "tried": tried,
        },
    )


if __name__ == "__main__":
    main(work)
