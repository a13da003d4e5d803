"""The tables behind the page: crossings, contests, claims with their commands, settings, what is missing."""

import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from seqscale.reporting.claims import claim_table, count_table
from seqscale.reporting.crossovers import ALWAYS, CROSSES, CUT, LOSES, NEVER, crossovers
from seqscale.reporting.diagram import reduced
from seqscale.reporting.names import DIGESTS
from seqscale.reporting.origins import KINDS, missing, settings
from seqscale.reporting.published import published_table
from seqscale.reporting.results import interval_note
from seqscale.reporting.source import COLUMNS, Tables, coerce, load_tables, tables_of
from seqscale.reporting.style import STYLE_FILE
from seqscale.reporting.top import crossing_words, crossings, partial

ROOT = STYLE_FILE.parents[1]


def curves(tables: Tables, mamba: tuple[float, float], transformer: tuple[float, float], spread: float) -> pd.DataFrame:
    """Crossovers of two power laws (coefficient, exponent), measured at 64 to 4096 with a relative spread."""
    rows = []
    for model, (a, b) in {"mamba": mamba, "transformer": transformer}.items():
        for length in (64, 256, 1024, 4096):
            value = a * length**b
            rows.append(("prefill", model, "cpu", 1.0, float(length), "forward", "time", value, value * (1 - spread),
                         value * (1 + spread), False))  # fmt: skip
    names = ["suite", "model", "device", "batch", "length", "direction", "quantity", "median", "p20", "p80", "oom"]
    bench = pd.DataFrame(rows, columns=names)
    return crossovers(Tables(**{**vars(tables), "bench": bench}))


def test_two_power_laws_cross_where_they_are_equal(tables: Tables) -> None:
    found = curves(tables, (1e-4, 1.0), (1e-7, 2.0), 0.05)
    assert found["status"].tolist() == [CROSSES]
    row = found.iloc[0]
    assert row["length"] == pytest.approx(1000, rel=1e-9)  # 1e-4 x = 1e-7 x^2
    # The ratio is 1000 / length, so the crossing moves as its band does; tests/test_crossing.py holds the band itself.
    assert row["ci_low"] * row["ci_high"] == pytest.approx(1000**2, rel=1e-9)
    assert 1.05 / 0.95 < row["ci_high"] / 1000 < 2
    assert row["ratio_longest"] == pytest.approx(1000 / 4096)


@pytest.mark.parametrize(("coefficient", "status"), [(1e-2, NEVER), (1e-7, ALWAYS)])
def test_curves_that_never_cross_have_no_length(coefficient: float, status: str, tables: Tables) -> None:
    row = curves(tables, (coefficient, 1.0), (1e-7, 2.0), 0.05).iloc[0]
    assert row["status"] == status
    assert math.isnan(row["length"])
    assert (row["length_min"], row["length_max"]) == (64, 4096)


def test_the_fastest_implementation_counts(tables: Tables) -> None:
    slow = tables.bench[tables.bench["model"] == "mamba"].assign(
        implementation="slow", median=lambda f: f["median"] * 9
    )
    both = Tables(**{**vars(tables), "bench": pd.concat([slow, tables.bench], ignore_index=True)})
    pd.testing.assert_frame_equal(crossovers(both), crossovers(tables))


def test_every_table_is_written_and_read_again(results: Path, tables: Tables) -> None:
    for name in DIGESTS:
        assert (results / "tables" / f"{name}.csv").is_file()
        assert (results / "tables" / f"{name}.parquet").is_file()
    for name in ("summary", "curves", "contests", "crossovers", "cards", "verdict_counts", "claims", "jobs", "missing"):
        assert len(tables.more[name]), name
    means = tables.more["summary"].set_index(["experiment", "model"])["mean"]
    runs = tables.runs[tables.runs["experiment"] == "text"].groupby("model")["test_loss"].mean()
    np.testing.assert_allclose([means["text", m] for m in runs.index], runs, rtol=1e-12)


def test_the_short_answer_says_the_size_of_every_pair_and_what_lies_outside(tables: Tables) -> None:
    row = {"kind": "prefill", "device": "cuda", "batch": 1.0, "status": CROSSES, "length": 500.0, "unit": "s",
           "length_min": 64.0, "length_max": 4096.0}  # fmt: skip
    small = {"suite": "prefill", "size": "d_model 128", "what": "time per forward pass", "subject": "mamba",
             "model": "transformer", "ci_high": 900.0}  # fmt: skip
    large = {"suite": "prefill_130m", "size": "130M", "what": "time per forward pass (prefill_130m)",
             "subject": "mamba_130m", "model": "transformer_130m", "ci_low": 300.0}  # fmt: skip
    other = {**small, "subject": "mamba2"}
    frame = pd.DataFrame([{**row, **more} for more in (small, large, other)])
    told = re.sub("<[^>]*>", "", crossings(Tables(**{**vars(tables), "more": {"crossovers": frame}})))
    assert told.count("Time per forward pass (cuda): cheaper than ") == 1
    assert " (d_model 128): from 500 tokens (below 64 at the earliest, at the latest 900)" in told
    assert " (130M): from 500 tokens (at the earliest 300, beyond 4,096 at the latest)" in told
    assert told.count("from 500") == 2


def test_the_interval_of_a_crossing_is_explained_with_the_spread_of_its_table() -> None:
    frame = pd.DataFrame({"device": ["cuda", "cuda", "cpu"], "between": [0.03, 0.0, 0.125]})
    told = re.sub("<[^>]*>", "", interval_note(frame))
    assert "a rerun’s crossing is expected (95 %)" in told
    assert told.endswith("between one process and another: 3 % (cuda), 12.5 % (cpu).")
    assert "one process" not in interval_note(frame[frame["between"] == 0])


def test_what_a_part_did_not_run_is_not_said_to_have_failed(tables: Tables) -> None:
    columns = ["experiment", "model", "seed", "status"]
    ran = [("text", "mamba", 1.0, "ok"), ("text", "mamba", 2.0, "diverged"), ("text", "mlp", 1.0, "missing")]
    runs = (
        tables.runs.head(0)
        .reindex(range(3))
        .assign(**pd.DataFrame(ran, columns=columns), lr_at_edge=False, matched=False)
    )
    tried = pd.DataFrame({"experiment": "text", "model": "mlp", "lr": [0.1, 0.2], "status": ["missing", "diverged"]})
    here = Tables(**{**vars(tables), "runs": runs, "search": tried})
    asked = {"runs": [{"experiment": "text", "model": "linear", "seed": 7}]}
    found = missing(here, asked, [])
    kinds = found.groupby("kind")["what"].apply(list)
    assert [len(kinds[kind]) for kind in ("run", "broken", "rate", "untried")] == [2, 1, 1, 1]
    assert kinds["untried"][0].endswith("learning rate 0.1") and "failed" in KINDS["rate"]
    assert all("not run in this part, failed, or lost" in KINDS[kind] for kind in ("run", "bench", "untried"))
    assert "experiment" not in kinds  # of "text" some runs are there
    nothing = Tables(**{**vars(here), "runs": runs[runs["status"] == "missing"]})
    rows = missing(nothing, {}, [])
    assert rows.loc[rows["kind"] == "experiment", "reason"].tolist() == ["1 run of 1 model"]
    told = partial(Tables(**{**vars(here), "more": {**here.more, "missing": found}}))
    assert "2 of 4 runs are not there" in told and "benchmark" not in told


def test_counts_add_up(tables: Tables) -> None:
    counts = tables.more["verdict_counts"]
    for (_, _), part in counts.groupby(["source", "protocol"]):
        found = part.set_index("verdict")["claims"]
        kinds = ["reproduced", "not reproduced", "inconclusive", "not tested"]
        assert found[kinds].sum() == found["verdicts"]
    assert count_table(tables.more["verdicts"].assign(part=lambda f: f["part"].fillna(""))).equals(counts)


def test_a_claim_is_rerun_with_the_configuration_that_can() -> None:
    content = {"claims": [{"id": f"x.{k}", "title": "t", "figure": "f"} for k in "abc"]}
    frame = claim_table(content, {"x.a": (2, 0)}, "config/mine.yaml", [("", {"x.b": (0, 3)})]).set_index("claim")
    base = "snakemake --cores all --forceall results/claims"
    assert frame.loc["x.a", "command"] == f"{base}/x.a.csv --configfile config/mine.yaml"
    assert frame.loc["x.b", "command"] == f"{base}/x.b.csv"
    assert frame.loc["x.b", "configuration"] == "config/config.yaml"
    assert frame.loc["x.c", "command"] == ""


def test_settings_stand_beside_their_defaults() -> None:
    frame = settings({"config": {"a": 1, "b": {"c": [1, 2]}, "new": True}}, {"a": 1, "b": {"c": [1]}, "gone": 2})
    assert frame.set_index("key")["differs"].to_dict() == {
        "a": "same", "b.c": "changed", "new": "added", "gone": "left out",
    }  # fmt: skip
    assert set(settings({"config": {"a": 1}}, None)["differs"]) == {"same"}


def test_printed_curves_become_rows() -> None:
    entry = {
        "id": "001.speed",
        "published": {"lengths": [64, 128], "ssm_s": [0.1, 0.2], "ratio": [3, 4], "other": {"a": 1}},
    }
    frame = published_table({"claims": [entry, {"id": "x", "published": 1.0}, {"id": "y"}]})
    assert frame.to_dict("split")["data"] == [
        ["001.speed", "ssm", "lti_ssm", "s", 64, 0.1], ["001.speed", "ssm", "lti_ssm", "s", 128, 0.2],
        ["001.speed", "ratio", "ratio", "", 64, 3], ["001.speed", "ratio", "ratio", "", 128, 4],
    ]  # fmt: skip


def test_arrows_that_a_longer_way_implies_are_left_out() -> None:
    assert reduced([("a", "b"), ("b", "c"), ("a", "c"), ("d", "c")]) == [("a", "b"), ("b", "c"), ("d", "c")]


@pytest.mark.parametrize("name", ["two-cores", "h200"])
def test_the_reference_tables_can_be_digested(name: str) -> None:
    tables = load_tables(ROOT / "results" / "reference" / name)
    frame = crossovers(tables)
    assert {"prefill", "decode", "train_step"} <= set(frame["suite"])
    assert set(frame["status"]) <= {CROSSES, ALWAYS, NEVER, LOSES, CUT}
    assert frame["words"].str.len().min() > 10
    crossed = frame[frame["status"] == CROSSES]
    assert ((crossed["length"] >= crossed["length_min"]) & (crossed["length"] <= crossed["length_max"])).all()


@pytest.mark.parametrize("name", ["two-cores", "h200"])
def test_readme_pictures_are_those_of_the_reference_run(name: str, tmp_path: Path) -> None:
    from seqscale.reporting.figures import draw_all
    from seqscale.reporting.style import load_style

    folder = ROOT / "results" / "reference" / name
    tables = load_tables(folder)
    pictures = sorted((folder / "figures").glob("*.svg"))
    assert pictures
    draw_all(tables, load_style(names=tables.model_names), tmp_path, [p.stem for p in pictures], ["svg"])
    for path in pictures:
        assert (tmp_path / path.name).read_bytes() == path.read_bytes(), "make readme redraws it"
        assert f"results/reference/{name}/figures/{path.name}" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_tables_of_nothing() -> None:
    empty = load_tables(ROOT / "report")
    assert tables_of({name: getattr(empty, name) for name in COLUMNS}, {}).model_names == []
    assert crossovers(empty).empty


def test_cheaper_on_short_lengths_only_is_told_as_such() -> None:
    """Cheaper at the shortest and dearer at the longest length: the crossing is where the other becomes cheaper."""
    lengths = [128, 512, 2048]
    rows = [
        {"suite": "memory", "quantity": "peak_memory", "direction": "forward", "device": "cpu", "batch": 1, "unit": "B",
         "model": model, "length": n, "median": value, "p20": value, "p80": value, "oom": False}
        for model, values in (("mamba", (1.0, 4.0, 16.0)), ("transformer", (2.0, 4.5, 8.0)))
        for n, value in zip(lengths, values, strict=True)
    ]  # fmt: skip
    frames = {name: coerce(pd.DataFrame(rows if name == "bench" else []), columns) for name, columns in COLUMNS.items()}
    (row,) = crossovers(tables_of(frames, {})).to_dict("records")
    assert row["status"] == LOSES
    assert 512 < row["length"] < 2048
    assert "only up to" in crossing_words(row)
    assert "2.00</data> times as much" in crossing_words(row)
