"""How large everything was, what the intervals are, the rules, the lists, the checkpoints: said where readers look."""

import math
import re
from html import unescape
from pathlib import Path
from typing import Any

import made_up_results
import pandas as pd
import pytest

from seqscale.reporting import checkpoints, lists, scale
from seqscale.reporting.claims import margin_table
from seqscale.reporting.contests import AHEAD, BEHIND, OPEN, contests
from seqscale.reporting.figures import build
from seqscale.reporting.source import Tables
from seqscale.reporting.words import BAND, COUNTED, SEEDS, measured, spread_words


def plain(html: str) -> str:
    """The words of a piece of the page."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


def test_the_scale_is_what_the_runs_say(tables: Tables) -> None:
    row = tables.more["scale"].set_index("name").loc["text"]
    assert (row["context"], row["batch"], row["steps"], row["train_tokens"], row["seeds"]) == (128, 16, 300, 614_400, 3)
    text = tables.runs[tables.runs["experiment"] == "text"]
    assert (row["params_min"], row["params_max"]) == (text["params"].min(), text["params"].max())
    assert row["models"] == text["model"].nunique()
    timed = tables.more["scale"].set_index(["kind", "name"]).loc[("benchmark", "prefill")]
    assert (timed["length_min"], timed["length_max"], timed["batch"]) == (128, 4096, 1)


def test_runs_that_are_not_there_have_no_size(tables: Tables) -> None:
    lost = tables.runs.assign(status=tables.runs["status"].where(tables.runs["model"] == "mamba", "missing"))
    lost.loc[lost["status"] == "missing", ["protocol", "context", "params"]] = None
    frame = scale.scale_table(Tables(**{**vars(tables), "runs": lost})).set_index("name")
    assert (frame.loc["text", "models"], frame.loc["text", "protocol"], frame.loc["text", "context"]) == (
        1,
        "fair",
        128,
    )


def test_the_top_and_the_claims_say_it(html: str, tables: Tables) -> None:
    top = plain(html[html.index('id="scale"') : html.index('id="sources"')])
    for title in ("Characters of the Python documentation", "Selective copying (Mamba paper, section 4.1.1), small"):
        assert re.search(rf"{re.escape(title)}.*?context 128 , 300 steps of 16 sequences, 614 k tokens seen", top), top
    assert "3 seeds" in top
    evidence = plain(html[html.index('id="claim-000.loss"') : html.index('id="claim-000.ptb"')])
    assert "Published at: context 128, batch 64, 1,000 steps" in evidence


def test_a_claim_is_told_with_the_sizes_of_its_own_models(tables: Tables) -> None:
    row: dict[str, Any] = {
        "measured": 1.0,
        "evidence": "tables/runs.csv: experiment=text, model=mamba; column test_loss",
    }
    told = plain(scale.measured_at([row], tables))
    assert told == (
        "pydoc_topics at context 128 , 300 steps of 16 sequences, 614 k tokens seen, 108 k parameters, 3 seeds (cpu)"
    )
    row["evidence"] = "tables/bench.csv: suite=prefill, model=mamba | suite=prefill, model=transformer"
    told = plain(scale.measured_at([row], tables))
    assert told == "prefill benchmark, batch 1 , lengths 128 to 4,096 , 107 k to 108 k parameters (cpu)"
    assert scale.measured_at([{"measured": math.nan, "evidence": row["evidence"]}], tables) == ""


def test_many_experiments_are_folded(tables: Tables) -> None:
    one = tables.more["scale"].head(1)
    many = pd.concat([one.assign(name=f"e{k}", title=f"experiment {k}") for k in range(9)])
    found = scale.at_the_top(Tables(**{**vars(tables), "more": {**tables.more, "scale": many}}))
    before, after = found.split("<details>")
    assert before.count("<li>") == scale.AT_THE_TOP
    assert after.count("<li>") == 9 - scale.AT_THE_TOP
    assert scale.at_the_top(Tables(**{**vars(tables), "more": {}})) == ""


@pytest.mark.parametrize(
    ("method", "low", "high", "words"),
    [
        ("20th to 80th percentile of the repeats; a ratio takes the worst case of both bands", 0.9, 1.1, BAND),
        ("Student t", 0.9, 1.1, SEEDS),
        ("least squares on logarithms, Student t", 0.9, 1.1, SEEDS),
        ("20th to 80th percentile of the repeats", 1.0, 1.0, COUNTED),
        ("", 0.9, 1.1, ""),
    ],
)
def test_an_interval_is_called_what_it_is(method: str, low: float, high: float, words: str) -> None:
    row = {"method": method, "ci_low": low, "ci_high": high, "measured": 1.0, "unit": ""}
    assert spread_words(row) == words
    assert plain(measured(row)).endswith(words if words == COUNTED else f"] {words}".strip())


def test_figures_of_timings_do_not_speak_of_95_percent(tables: Tables) -> None:
    for name in ("prefill_scaling", "decode_scaling", "train_step_scaling"):
        for panel in build(name, tables).panels:
            assert {s.spread for s in panel.series} == {"20th to 80th percentile"}  # type: ignore[union-attr]
    for panel in build("training_curves", tables).panels:
        assert {s.spread for s in panel.series if not s.faint} == {"95 % interval"}  # type: ignore[union-attr]
    assert {r.spread for p in build("final_loss", tables).panels for r in p.rows} == {"95 % interval"}  # type: ignore[union-attr]


def test_the_rules_stand_by_the_board_and_are_linked(html: str) -> None:
    section = html[html.index('<h2 id="verdicts">') : html.index('<table class="board')]
    words = plain(section)
    for kind in ("reproduced", "not reproduced", "inconclusive", "not tested"):
        assert f" {kind} " in words
    assert "10 % of the line for times, mean times, times per token" in words
    assert html.count('href="#rules"') >= 2


def test_margins_are_a_table() -> None:
    frame = margin_table({"margins": {"time": 0.1, "test_loss": 0.01}}, ("time",))
    assert frame.to_dict("records") == [
        {"what": "time", "margin": 0.1, "kind": "share"},
        {"what": "test_loss", "margin": 0.01, "kind": "unit"},
    ]


def test_every_cost_is_compared_with_both_transformers(tables: Tables) -> None:
    frame = contests(tables)
    text = frame[(frame["experiment"] == "text") & (frame["subject"] == "mamba")]
    assert set(text["kind"]) == {"test_loss", "train_seconds", "train_flops"}
    assert set(text["other"]) == {"transformer", "transformer_pp"}
    assert (frame.groupby("what")["strongest"].sum() == 1).all()
    strong = frame[frame["strongest"]].set_index("what")
    title = "Characters of the Python documentation"
    assert strong.loc[f"{title}: test loss", "other"] == "transformer_pp"  # 1.86 against 1.93
    assert strong.loc[f"{title}: test loss", "outcome"] in (BEHIND, OPEN)  # 1.89
    assert strong.loc[f"{title}: training time", "other"] == "transformer"
    assert strong.loc[f"{title}: training time", "outcome"] == BEHIND  # 3.4 against 2.0 a step
    prefill = frame[frame["kind"] == "prefill"]
    assert set(prefill["other"]) == {"transformer", "transformer_pp"}
    assert prefill["length"].nunique() == 1


def test_the_stronger_mamba_stands_for_its_side(tables: Tables) -> None:
    mamba2 = tables.bench[tables.bench["model"] == "mamba"].assign(model="mamba2")
    for column in ("median", "p20", "p80"):
        mamba2[column] = mamba2[column] / 100
    both = Tables(**{**vars(tables), "bench": pd.concat([tables.bench, mamba2], ignore_index=True)})
    frame = contests(both)
    prefill = frame[frame["kind"] == "prefill"]
    assert len(prefill) == 4
    assert prefill.loc[prefill["strongest"], "subject"].tolist() == ["mamba2"]
    assert prefill.loc[prefill["strongest"], "outcome"].tolist() == [AHEAD]
    words = plain(lists.ahead_and_behind(Tables(**{**vars(both), "more": {**both.more, "contests": frame}})))
    assert "mamba2 against Transformer" in words


def test_training_times_with_and_without_a_cuda_graph_carry_a_caution(tables: Tables) -> None:
    def told(**graphed: str) -> tuple[list[str], str]:
        runs = tables.runs.assign(cuda_graph=tables.runs["model"].map(graphed))
        mixed = Tables(**{**vars(tables), "runs": runs})
        frame = contests(mixed)
        cautious = frame[frame["caution"].fillna("") != ""]
        assert set(cautious["kind"]) <= {"train_seconds"}
        page = lists.ahead_and_behind(Tables(**{**vars(mixed), "more": {**mixed.more, "contests": frame}}))
        return sorted(set(cautious["other"])), plain(page)

    others, page = told(mamba="False", transformer="True", transformer_pp="False")
    assert others == ["transformer"]
    assert "not run alike, Mamba without, Transformer with a CUDA graph" in page
    for same in ({"mamba": "True", "transformer": "True", "transformer_pp": "True"}, {"mamba": "True"}):
        others, page = told(**same)
        assert others == [] and "CUDA graph" not in page


def test_checkpoints_have_a_section_where_there_are_any(html: str, tables: Tables) -> None:
    section = html[html.index('id="checkpoints"') : html.index('id="holes"')]
    words = plain(section)
    assert "mamba_small" in words
    assert "2.938" in words  # 2.875 + 8 / 128
    assert "95.3 %" in words
    assert "129 M" in words
    assert checkpoints.section(Tables(**{**vars(tables), "more": {}})) == ""


def test_checkpoint_tables_are_stacked(tmp_path: Path) -> None:
    made_up_results.checkpoint(tmp_path / "checkpoints")
    frame = checkpoints.checkpoint_table(tmp_path / "checkpoints")
    assert frame["checkpoint"].value_counts().to_dict() == {"mamba_small": 9, "pythia_small": 9}
    assert checkpoints.checkpoint_table(tmp_path / "none").empty
    assert list(checkpoints.checkpoint_table(None).columns) == checkpoints.COLUMNS


def test_no_interval_of_an_accuracy_leaves_the_possible(tables: Tables) -> None:
    frame = tables.more["summary"]
    shares = frame[(frame["metric"] == "test_accuracy") & frame["ci_low"].notna()]
    assert len(shares) >= 3
    assert ((shares["ci_low"] >= 0) & (shares["ci_high"] <= 1) & (shares["ci_low"] < shares["ci_high"])).all()
