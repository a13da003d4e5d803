#!/usr/bin/env python
"""Fill README.md's generated blocks: the DAG, what to expect of the quick start, the claims on the reference GPU.

The DAG comes from Snakemake, the numbers from results/reference/: nothing in these blocks is typed. `make readme`
writes them, `--check` only says whether they are current.
"""

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

import networkx
import pandas as pd

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
REFERENCE = ROOT / "results" / "reference" / "two-cores"
GPU = ROOT / "results" / "reference" / "h200"
MOST = 5  # numbers in a cell


def dag() -> str:
    """The rule graph as a Mermaid flowchart, without the edges that a longer path implies."""
    command = [sys.executable, "-m", "snakemake", "--rulegraph", "mermaid-js"]
    text = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    names = dict(re.findall(r"^\s*(id\d+)\[(.+)\]$", text, re.MULTILINE))
    graph = networkx.DiGraph((names[a], names[b]) for a, b in re.findall(r"(id\d+) --> (id\d+)", text))
    graph.remove_node("all")
    edges = sorted(networkx.transitive_reduction(graph).edges)
    return "\n".join(["```mermaid", "flowchart LR", *(f"    {a} --> {b}" for a, b in edges), "```"])


def expected() -> str:
    """Test results of the quick start on the machine of the reference run, best first."""
    origin = json.loads((REFERENCE / "provenance.json").read_text())
    runs = pd.read_csv(REFERENCE / "runs.csv")
    lines = [
        f"On {origin['cpu']} the quick start took **{origin['minutes']:.1f} minutes** after installation, with "
        f"PyTorch {origin['packages']['torch']} on Python {origin['python']}. What it measured there "
        "(mean over three seeds, test split):",
        "",
        "| model | parameters | nats per character | selective copying, accuracy |",
        "| --- | ---: | ---: | ---: |",
    ]
    text = runs[runs["experiment"] == "text"].groupby("model")
    copying = runs[runs["experiment"] == "selective_copying"].groupby("model")["test_accuracy"].mean()
    for model, loss in text["test_loss"].mean().sort_values().items():
        rows = text.get_group(model)
        accuracy = f"{copying[model]:.1%}" if model in copying else ""
        lines.append(f"| {rows['title'].iloc[0]} | {rows['params_nonembedding'].iloc[0]:,} | {loss:.3f} | {accuracy} |")
    verdicts = pd.read_csv(REFERENCE / "verdicts.csv", keep_default_na=False)
    whole = verdicts[verdicts["part"] == ""]["verdict"].value_counts()
    lines += ["", "Verdicts in the quick start: " + ", ".join(f"{n} {verdict}" for verdict, n in whole.items()) + "."]
    return "\n".join(lines)


def claims() -> str:
    """The verdict board of the reference GPU: a line for each claim that this run could judge, either way."""
    rows = pd.read_csv(GPU / "verdicts.csv", keep_default_na=False, dtype=str)
    origin = json.loads((GPU / "provenance.json").read_text())
    lines = [
        "| claim | published | as published, here | fair, here |",
        "| --- | --- | --- | --- |",
    ]
    untested = 0
    for claim, of_claim in rows.groupby("claim", sort=False):
        whole = of_claim[of_claim["part"] == ""].set_index("protocol")
        if set(whole["verdict"]) <= {"not tested"}:
            untested += 1
            continue
        cells = [_cell(of_claim, whole, protocol) for protocol in ("published", "fair")]
        lines.append(f"| `{claim}` {whole['title'].iloc[0]} | {whole['published'].iloc[0]} | {cells[0]} | {cells[1]} |")
    trained, timed = len(origin["experiments"]), len(origin["suites"])
    folder = "results/reference/h200"
    head = (
        f"On one {origin['device_name']} (PyTorch {origin['packages']['torch']}), in parts: {trained} of the "
        f"experiments and {timed} of the benchmark suites of `config/full.yaml` ([which]({folder}/provenance.json)). "
        f"{len(lines) - 2} claims could be judged; for {untested} more the run lacks its experiments or the source "
        f"gives nothing to rerun. [verdicts.csv]({folder}/verdicts.csv) has the reason, every interval and the seeds."
    )
    return "\n".join([head, "", *lines])


def _cell(of_claim: pd.DataFrame, whole: pd.DataFrame, protocol: str) -> str:
    """Verdict in bold, then what was measured: of the claim itself, or of its parts."""
    if protocol not in whole.index:
        return "not asked"
    row = whole.loc[protocol]
    parts = of_claim[(of_claim["protocol"] == protocol) & (of_claim["part"] != "") & (of_claim["measured"] != "")]
    numbers = [f"{float(row['measured']):.4g} {row['unit']}"] if row["measured"] else []
    numbers += [f"{part['part']} {float(part['measured']):.4g}" for _, part in parts.head(MOST).iterrows()]
    more = f" and {len(parts) - MOST} more" if len(parts) > MOST else ""
    return f"**{row['verdict']}**" + (f": {', '.join(numbers)}{more}" if numbers else "")


def filled(text: str) -> str:
    for name, make in (("dag", dag), ("expected", expected), ("claims", claims)):
        pattern = re.compile(rf"(<!-- {name}: generated by `make readme` -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        if len(pattern.findall(text)) != 1:
            raise SystemExit(
                f"README.md must have one block <!-- {name}: generated by `make readme` --> ... <!-- /{name} -->"
            )
        body = make()
        text = pattern.sub(lambda m, body=body: f"{m.group(1)}{body}\n{m.group(2)}", text)
    return text


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if README.md is not current")
    check = parser.parse_args().check
    old = README.read_text(encoding="utf-8")
    new = filled(old)
    if check:
        print("README.md is current" if new == old else "README.md is out of date: run `make readme`")
        return int(new != old)
    README.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
