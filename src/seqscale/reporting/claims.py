"""The claims as tables: what each says, what it rests on, how to rerun it; the sources; how the verdicts count."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from seqscale.reporting.style import VERDICTS

UNTESTED = "not tested"
COUNTS = ["source", "protocol", "verdict", "claims"]
CLAIMS = ["claim", "source", "title", "figure", "corpus", "runs", "benchmarks", "command", "configuration",
          "scale"]  # fmt: skip
SOURCES = ["source", "id", "title", "kind", "protocol", "defects"]
MARGINS = ["what", "margin", "kind"]


def wholes(verdicts: pd.DataFrame) -> pd.DataFrame:
    """One row per claim and protocol: the row without a part, or, where there is none, the rows of the parts."""
    whole = verdicts["part"] == ""
    pair = [verdicts["claim"], verdicts["protocol"]]
    return verdicts[whole | ~whole.groupby(pair, sort=False).transform("any")]


def counts(verdicts: pd.DataFrame) -> dict[str, int]:
    """How many verdicts of each kind on whole claims, in the fixed order, zeros included."""
    found = wholes(verdicts)["verdict"].value_counts()
    return {kind: int(found.get(kind, 0)) for kind in VERDICTS}


def count_table(verdicts: pd.DataFrame) -> pd.DataFrame:
    """source, protocol, verdict, claims: how the verdicts on whole claims count; "all" sums up."""
    whole = wholes(verdicts)
    rows: list[tuple[str, str, str, int]] = []
    for source, by_source in [("all", whole), *whole.groupby("source", sort=False)]:
        for protocol, part in [("all", by_source), *by_source.groupby("protocol", sort=False)]:
            rows += [(str(source), str(protocol), kind, int((part["verdict"] == kind).sum())) for kind in VERDICTS]
            rows.append((str(source), str(protocol), "all", int(part["claim"].nunique())))
            rows.append((str(source), str(protocol), "verdicts", len(part)))
    return pd.DataFrame(rows, columns=COUNTS)


def source_table(content: Mapping[str, Any]) -> pd.DataFrame:
    """source ("000 · title", as in the verdicts), id, title, kind, protocol, defects, from the claims file."""
    rows = []
    for name, s in (content.get("sources") or {}).items():
        texts = [" ".join(str(s.get(key) or "").split()) for key in ("title", "kind", "protocol", "defects")]
        rows.append((f"{name} · {texts[0]}", str(name), *texts))
    return pd.DataFrame(rows, columns=SOURCES)


def margin_table(content: Mapping[str, Any], shares: Sequence[str] = ()) -> pd.DataFrame:
    """what, margin, kind: how far from the line a number must lie (of `shares`, a share of the line, or `unit`)."""
    given = content.get("margins") or {}
    rows = [(str(name), float(value), "share" if name in shares else "unit") for name, value in given.items()]
    return pd.DataFrame(rows, columns=MARGINS)


def command(claim: str, configfile: str = "") -> str:
    """What to type in order to rerun one claim, and nothing else, from scratch."""
    tail = f" --configfile {configfile}" if configfile else ""
    return f"snakemake --cores all --forceall results/claims/{claim}.csv{tail}"


def analyses_command(configfile: str = "") -> str:
    """What to type in order to redo the experiments that train nothing, on which some claims rest."""
    return "snakemake --cores all --forcerun analyse" + (f" --configfile {configfile}" if configfile else "")


def claim_table(content: Mapping[str, Any], rest: Mapping[str, tuple[int, int]], configfile: str,
                others: Sequence[tuple[str, Mapping[str, tuple[int, int]]]]) -> pd.DataFrame:  # fmt: skip
    """One row per claim (CLAIMS).

    `rest`: how many runs and benchmarks of this configuration a claim rests on. `configfile` is this configuration's
    (empty: the default), `others` are (file, rest) of the further ones that are shipped: a claim that this one cannot
    test is rerun with the first that can. `configuration` names it; empty where none can.
    """
    rows = []
    for entry in content.get("claims") or []:
        name = str(entry["id"])
        runs, bench = rest.get(name, (0, 0))
        able: str | None = configfile
        if not runs + bench:
            able = next((file for file, there in others if sum(there.get(name, (0, 0)))), None)
        line = "" if able is None else command(name, able)
        if able is None and any(t.get("select", {}).get("table") == "analyses" for t in entry.get("tests", ())):
            able, line = configfile, analyses_command(configfile)
        where = "" if able is None else able or "config/config.yaml"
        title, printed = (" ".join(str(entry[key]).split()) for key in ("title", "figure"))
        source = name.split(".")[0]
        size = entry.get("scale") or ((content.get("sources") or {}).get(source) or {}).get("scale")
        rows.append((name, source, title, printed, entry.get("corpus"), runs, bench, line, where, size))
    return pd.DataFrame(rows, columns=CLAIMS)
