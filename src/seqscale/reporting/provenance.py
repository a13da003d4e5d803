"""The report's last sections: what failed or is missing, named one by one, and where everything comes from."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from seqscale.reporting.catalog import FIGURES
from seqscale.reporting.diagram import dag
from seqscale.reporting.html import Cell, data, esc, plural, si, table
from seqscale.reporting.origins import KINDS
from seqscale.reporting.source import Tables, records


def holes(tables: Tables, figures: Path) -> str:
    """Everything that failed, diverged, ran out of memory, is missing or needs a grain of salt."""
    frame = tables.table("missing", "kind what reason")
    parts = []
    for kind, words in KINDS.items():
        rows = records(frame[frame["kind"] == kind])
        items = [esc(r["what"]) + (f": {esc(r['reason'])}" if r["reason"] else "") for r in rows]
        if kind == "figure":
            items += [esc(f.title) for f in FIGURES if not (figures / f"{f.name}.svg").is_file()]
        if items:
            listed = "".join(f"<li>{item}</li>" for item in items)
            parts.append(f'<h3 id="holes-{kind}">{words} <span class="count">({len(items)})</span></h3>'
                         f'<ul class="holes">{listed}</ul>')  # fmt: skip
    untested = tables.table("verdict_counts", "source protocol verdict", "claims")
    untested = untested[
        (untested["source"] == "all") & (untested["protocol"] == "all") & (untested["verdict"] == "not tested")
    ]
    if len(untested) and untested["claims"].iloc[0] > 0:
        count = int(untested["claims"].iloc[0])
        parts.append(f"<p>{plural(count, 'verdict')} “not tested”; the reasons stand with the evidence.</p>")
    return "".join(parts) or "<p>Nothing failed, diverged, ran out of memory or is missing.</p>"


LABELS = {
    "configuration": "Configuration", "git_commit": "Git commit", "git_dirty": "Uncommitted changes",
    "config_digest": "Digest of the configuration", "python": "Python", "platform": "Operating system",
    "device": "Device", "cpu": "Processor that made the tables", "threads": "Threads per run", "time_utc": "Time (UTC)",
    "runs.git_commit": "Commits of the runs", "runs.device": "Devices of the runs",
    "runs.machine": "Machines of the runs",
    "runs.config_digest": "Configurations of the runs",
}  # fmt: skip
GROUPS = {"packages": "Version of", "data_sha256": "SHA-256 of", "data_files_sha256": "SHA-256 of the tokens of"}


def _label(key: str) -> str:
    group, _, name = key.partition(".")
    if key in LABELS:
        return LABELS[key]
    return f"{GROUPS[group]} {name}" if group in GROUPS and name else key.replace("_", " ")


def origin(tables: Tables) -> str:
    """Commit, versions, machine, checksums of the data."""
    rows: list[list[Cell | str]] = []
    for r in records(tables.table("provenance", "key value")):
        value = {"True": "yes", "False": "no"}.get(str(r["value"]), esc(r["value"]))
        rows.append([esc(_label(str(r["key"]))), Cell(value, "free")])
    if not rows:
        return '<p class="hole">No provenance was given.</p>'
    return table("Where the numbers come from", ["What", "Value"], rows, "plain")


def settings(tables: Tables, config: Mapping[str, Any]) -> str:
    """What differs from the default configuration, and the whole one."""
    frame = tables.table("settings", "key value default differs")
    rows: list[list[Cell | str]] = [
        [f"<code>{esc(r['key'])}</code>", Cell(esc(r["default"]) if r["differs"] != "added" else "—", "free"),
         Cell(esc(r["value"]) if r["differs"] != "left out" else "—", "free"), esc(r["differs"])]
        for r in records(frame[frame["differs"] != "same"])
    ]  # fmt: skip
    html = (
        f"<details{' open' if len(rows) <= 12 else ''}>"
        f"<summary>Differences from the default configuration ({len(rows)})</summary>"
        + table("Settings that differ from config/config.yaml", ["Key", "Default", "Here", "How"], rows, "plain")
        + "</details>"
        if rows
        else "<p>The configuration is the default one (<code>config/config.yaml</code>).</p>"
    )
    whole = config.get("config")
    if whole:
        text = yaml.safe_dump(whole, sort_keys=False, allow_unicode=True, width=100)
        html += (
            "<details><summary>The whole configuration</summary>"
            f'<pre class="config" tabindex="0" aria-label="configuration">{esc(text)}</pre></details>'
        )
    return html


def jobs(tables: Tables, edges: Sequence[tuple[str, str]]) -> str:
    """The DAG with the number of jobs of each rule, and what every job took."""
    frame = tables.table("jobs", "rule job", "seconds cpu_seconds peak_memory_bytes")
    counts = {str(rule): int(n) for rule, n in frame["rule"].value_counts(sort=False).items()}
    html = dag(edges, counts) if edges else ""
    if frame.empty:
        return html + '<p class="hole">Time and memory of the jobs were not recorded.</p>'
    total: list[list[Cell | str]] = []
    for rule, part in frame.groupby("rule", sort=False):
        most = part["peak_memory_bytes"].max()
        longest = part["seconds"].max()
        total.append(
            [esc(rule), Cell(str(len(part)), "num"), Cell(si(longest, "s"), "num"), Cell(si(most, "B"), "num")]
        )
    html += table("Jobs by rule", ["Rule", "Jobs", "Longest", "Most memory"], total, "plain")
    rows: list[list[Cell | str]] = [
        [f"{esc(r['rule'])} {esc(r['job'] or '')}", Cell(data(r["seconds"], f"{r['seconds']:.1f} s"), "num"),
         Cell(si(r["cpu_seconds"], "s"), "num"), Cell(si(r["peak_memory_bytes"], "B"), "num")]
        for r in records(frame)
    ]  # fmt: skip
    header = ["Job", "Wall time", "Processor time", "Most memory"]
    every = table("Time and memory of every job", header, rows, "plain")
    return f'{html}<details class="long"><summary>All {len(rows)} jobs</summary>{every}</details>'
