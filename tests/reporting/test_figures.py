"""Figures: every one is drawn, shows what the tables say, and comes out the same byte for byte."""

import itertools
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import made_up_results
import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread

from seqscale.reporting import canvas, catalog, svg, tidy
from seqscale.reporting.canvas import spread
from seqscale.reporting.chart import Dots, as_spec
from seqscale.reporting.draw import figure_of
from seqscale.reporting.evidence import region
from seqscale.reporting.figures import BUILD, build, draw_all
from seqscale.reporting.source import COLUMNS, Tables, load_tables
from seqscale.reporting.style import STYLE_FILE, Style, load_style
from seqscale.reporting.tidy_entries import load_entries
from seqscale.tables.columns import with_types

ROOT = STYLE_FILE.parents[1]


def words(name: str, tables: Tables, style: Style) -> list[str]:
    """Every text in a figure."""
    return [text.get_text() for axes in figure_of(build(name, tables), style).axes for text in axes.texts]


def crosses(name: str, tables: Tables, style: Style) -> int:
    """How many crosses (diverged, out of memory) a figure shows."""
    lines = [line for axes in figure_of(build(name, tables), style).axes for line in axes.lines]
    return sum(len(np.atleast_1d(line.get_xdata())) for line in lines if line.get_marker() == "X")


def test_the_catalog_is_complete() -> None:
    assert set(BUILD) == set(catalog.ALL)
    assert len(set(catalog.ALL)) == len(catalog.ALL)
    for figure in (*catalog.FIGURES, *catalog.EVIDENCE):
        caption = ROOT / "report" / "captions" / figure.caption
        assert caption.read_text(encoding="utf-8").strip(), figure.caption


def test_the_catalog_imports_nothing_heavy() -> None:
    heavy = "{'matplotlib', 'pandas', 'numpy', 'torch'}"
    code = f"import sys, seqscale.reporting.catalog; print({heavy} & set(sys.modules))"
    assert run_python(code) == "set()"


def test_reporting_does_not_import_torch() -> None:
    rooms = "seqscale.reporting.figures, seqscale.reporting.publish, seqscale.reporting.page"
    code = f"import sys, {rooms}; print('torch' in sys.modules)"
    assert run_python(code) == "False"


def run_python(code: str) -> str:
    """Run `code` in a fresh interpreter with the package at hand; give what it prints."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    return done.stdout.strip()


@pytest.mark.parametrize("name", [n for n in catalog.NAMES if n != "crossovers"])
def test_figure_is_drawn(name: str, figures: Path) -> None:
    root = ElementTree.parse(figures / f"{name}.svg").getroot()
    assert root.tag.endswith("svg")
    if name in ("sensitivity", "mfu", "roofline"):
        pytest.skip("the made-up results have no sweep and no GPU; test_sweeps.py and test_answers.py draw it")
    assert len(list(root.iter("{http://www.w3.org/2000/svg}path"))) > 30
    assert len(svg.description(figures / f"{name}.svg")) > 60
    assert imread(figures / f"{name}.png").std() > 0.01  # not a blank sheet
    data = pd.read_csv(figures / f"{name}.csv")
    assert len(data) > 0
    assert "missing" not in data


def test_another_process_draws_the_same_bytes(results: Path, figures: Path, tmp_path: Path) -> None:
    names = ["final_loss", "training_curves", "prefill_scaling", "scaling_exponents"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTHONHASHSEED": "12345", "TZ": "Asia/Tokyo"}
    script = [sys.executable, str(ROOT / "src" / "figures.py"), "--tables", str(results / "tables")]
    subprocess.run(
        [*script, "--config", str(results / "config.json"), "--out", str(tmp_path), "--only", *names],
        check=True, env=environment, cwd=tmp_path,
    )  # fmt: skip
    for file in (f"{name}{suffix}" for name in names for suffix in (".svg", ".png", ".csv")):
        assert (tmp_path / file).read_bytes() == (figures / file).read_bytes(), file


def test_final_loss_shows_the_means_of_the_runs_table_best_first(results: Path, figures: Path) -> None:
    runs = pd.read_csv(results / "tables" / "runs.csv")
    drawn = pd.read_csv(figures / "final_loss.csv")
    text = drawn[drawn["experiment"] == "text"]
    expected = runs[runs["experiment"] == "text"].groupby("model")["test_loss"].mean().sort_values()
    assert text["model"].tolist() == expected.index.tolist()
    np.testing.assert_allclose(text["mean"], expected, rtol=1e-9)
    copying = drawn[drawn["experiment"] == "selective_copying"]
    assert set(copying["metric"]) == {"test_accuracy"}
    assert copying["mean"].is_monotonic_decreasing


def test_a_diverged_run_is_named_and_crossed(tables: Tables, style: Style) -> None:
    assert any(text == "LSTM, seed 2: diverged" for text in words("training_curves", tables, style))
    assert crosses("training_curves", tables, style) == 1
    assert "1 diverged" in words("final_loss", tables, style)
    assert any("LSTM: diverged" in text for text in words("learning_rate_search", tables, style))


def test_a_diverged_run_is_not_in_the_mean(tables: Tables, style: Style) -> None:
    curves = build("training_curves", tables).data
    lstm = curves[(curves["experiment"] == "text") & (curves["model"] == "lstm")]
    assert set(lstm["seeds"]) == {2}


def test_out_of_memory_is_drawn(tables: Tables, style: Style) -> None:
    assert "Self-attention only: out of memory at 4096" in words("prefill_scaling", tables, style)
    assert crosses("prefill_scaling", tables, style) == 1
    assert "ran out of memory at 4096" in build("prefill_scaling", tables).alt
    assert crosses("decode_scaling", tables, style) == 0


def test_labels_carry_the_exponents_of_the_scaling_table(tables: Tables, style: Style) -> None:
    fits = tables.scaling
    row = fits[(fits["suite"] == "prefill") & (fits["model"] == "mamba") & (fits["quantity"] == "time")].iloc[0]
    label = f"Mamba  {row['exponent']:.2f} [{row['ci_low']:.2f}, {row['ci_high']:.2f}]"
    assert label in words("prefill_scaling", tables, style)


@pytest.mark.parametrize("name", catalog.NAMES)
def test_without_data_a_figure_says_what_is_missing(name: str, tmp_path: Path) -> None:
    chart = build(name, load_tables(tmp_path))
    assert "Nothing to draw" in chart.alt
    assert "table" in chart.missing or "searched" in chart.missing
    texts = [text.get_text() for axes in figure_of(chart, load_style()).axes for text in axes.texts]
    assert chart.missing in texts


@pytest.mark.parametrize("gone", ["runs", "history", "search", "bench", "scaling", "samples", "models"])
def test_one_missing_table_breaks_nothing(gone: str, results: Path, tmp_path: Path) -> None:
    for path in (results / "tables").glob("*.csv"):
        if path.stem != gone:
            (tmp_path / path.name).write_bytes(path.read_bytes())
    tables = load_tables(tmp_path)
    assert tables.missing == (gone,)
    for name in catalog.NAMES:
        assert build(name, tables).alt


def test_one_seed_has_no_interval(tables: Tables, style: Style) -> None:
    single = Tables(
        **{
            **vars(tables),
            "runs": tables.runs[tables.runs["seed"] == 1],
            "history": tables.history[tables.history["seed"] == 1],
        }
    )
    for name in ("final_loss", "training_curves", "loss_vs_params"):
        drawing = build(name, single)
        assert drawing.data["ci_low"].isna().all(), name


def test_a_model_measured_twice_gets_two_lines(tables: Tables, style: Style) -> None:
    fast = tables.bench[tables.bench["model"] == "mamba"].assign(implementation="triton")
    both = Tables(**{**vars(tables), "bench": pd.concat([tables.bench, fast], ignore_index=True)})
    said = words("prefill_scaling", both, style)
    assert any(text.startswith("Mamba, reference") for text in said)
    assert any(text.startswith("Mamba, triton") for text in said)


def test_parquet_with_nullable_types_reads_like_csv(results: Path, tables: Tables, tmp_path: Path) -> None:
    for name in COLUMNS:
        typed = with_types(name, pd.read_csv(results / "tables" / f"{name}.csv"))
        typed.to_parquet(tmp_path / f"{name}.parquet", index=False)
    again = load_tables(tmp_path, made_up_results.resolved_config())
    assert again.missing == ()
    for name, columns in COLUMNS.items():
        left, right = getattr(again, name)[list(columns)], getattr(tables, name)[list(columns)]
        pd.testing.assert_frame_equal(left, right, rtol=1e-12)


def test_all_runs_diverged(tables: Tables, style: Style) -> None:
    lost = tables.runs.assign(status="diverged", test_loss=np.nan, test_accuracy=np.nan)
    broken = Tables(**{**vars(tables), "runs": lost})
    for name in catalog.NAMES:
        assert figure_of(build(name, broken), style).axes, name


def test_an_unknown_figure_is_refused(tables: Tables, style: Style, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="final_loss"):
        draw_all(tables, style, tmp_path, ["final_los"])


@pytest.mark.parametrize("wanted", [[0.1, 0.5, 0.9], [0.5, 0.5, 0.5], [0.0, 0.0, 0.01, 1.0, 1.0], [0.3], []])
def test_spread_keeps_order_and_distance(wanted: list[float]) -> None:
    placed = spread(wanted, 0.1)
    assert all(b - a >= 0.1 - 1e-9 for a, b in itertools.pairwise(placed))
    assert all(0 <= place <= 1 + 1e-9 for place in placed)
    if all(b - a >= 0.1 for a, b in itertools.pairwise(wanted)):
        assert placed == pytest.approx(wanted)


def test_spread_moves_no_more_than_needed() -> None:
    assert spread([0.5, 0.5], 0.2) == pytest.approx([0.4, 0.6])


def test_synthetic_tables_hold_what_the_tests_rely_on(tables: Tables) -> None:
    assert (tables.runs["status"] == "diverged").sum() == 1
    assert tables.bench["oom"].sum() == 2  # one point, as time and as time per token
    assert set(tables.references.values()) == {"transformer"}
    assert tables.experiments == list(made_up_results.EXPERIMENTS)


def test_a_claims_figure_shows_published_measured_and_asked_for(tables: Tables) -> None:
    chart = build("claim_000.loss", tables)
    rows = [row for panel in chart.panels if isinstance(panel, Dots) for row in panel.rows]
    fair = next(row for row in rows if row.label == "mamba (fair)")
    assert (fair.value, fair.low, fair.high, fair.published) == (1.8894, 1.8612, 1.9176, 1.8006)
    assert "1.889" in chart.alt
    assert "published 1.8006" in chart.alt


def test_a_claim_without_a_measurement_is_not_drawn(tables: Tables) -> None:
    assert build("claim_000.ptb", tables).missing


@pytest.mark.parametrize(
    ("text", "ends"),
    [("1.8 to 2.2", (1.8, 2.2)), ("-0.05 to 0.05", (-0.05, 0.05)), ("less than 0", (-np.inf, 0.0)),
     ("more than 0.05", (0.05, np.inf)), ("1.56e+13 to 1.6e+13", (1.56e13, 1.6e13)), ("all parts must hold", None),
     (None, None)],
)  # fmt: skip
def test_what_a_claim_asks_for_is_read(text: str | None, ends: tuple[float, float] | None) -> None:
    assert region(text) == ends


def test_a_tidy_table_needs_an_entry_and_no_code(tables: Tables, style: Style) -> None:
    rows = [
        (m, task, x, y, y + 0.1) for m in ("mamba", "transformer") for task in "ab" for x, y in ((64, 0.5), (256, 1.0))
    ]
    frame = pd.DataFrame(rows, columns=["model", "task", "length", "accuracy", "printed"]).assign(split="test")
    more = Tables(**{**vars(tables), "more": {"recall": pd.concat([frame, frame.assign(split="valid", accuracy=0.0)])}})
    entry = {"name": "recall", "title": "Recall", "category": "Tasks", "caption": "none.rst", "table": "recall",
             "x": "length", "y": "accuracy", "panel": "task", "where": {"split": "test"}, "log": ["x"], "lengths": True,
             "published": "printed"}  # fmt: skip
    chart = tidy.build(entry)(more, "Recall")
    assert [panel.title for panel in chart.panels] == ["A", "B"]
    first = chart.panels[0]
    assert not isinstance(first, Dots)
    assert [(s.model, list(s.x), s.published) for s in first.series] == [
        ("mamba", [64, 256], False), ("mamba", [64, 256], True), ("transformer", [64, 256], False),
        ("transformer", [64, 256], True),
    ]  # fmt: skip
    assert list(first.series[0].y) == [0.5, 1.0]
    assert figure_of(chart, style).axes
    assert tidy.build(entry)(tables, "Recall").missing


def test_a_wrong_entry_for_a_tidy_figure_is_told(tmp_path: Path) -> None:
    path = tmp_path / "figures.yaml"
    path.write_text("- {name: a, title: A, category: B, caption: c.rst, table: t, y: v, lenghts: true}\n")
    with pytest.raises(ValueError, match=r"entry 1 \(a\): unknown key 'lenghts'.*lengths"):
        load_entries(path)
    path.write_text("- {name: a, title: A, category: B, caption: c.rst, table: t, y: v}\n")
    with pytest.raises(ValueError, match="lacks x"):
        load_entries(path)


@pytest.mark.parametrize("name", ["final_loss", "training_curves", "prefill_scaling", "claim_000.loss"])
def test_both_hands_draw_the_same_panels(name: str, tables: Tables, style: Style) -> None:
    chart = build(name, tables)
    spec = as_spec(chart)
    assert [panel["title"] for panel in spec["panels"]] == [panel.title for panel in chart.panels]
    assert len(figure_of(chart, style).axes) == max(1, len(chart.panels))
    for panel in spec["panels"]:
        assert panel["series"] if panel["kind"] == "lines" else panel["rows"]


@pytest.mark.parametrize(
    ("low", "high"), [(1150, 1950), (143.3, 144.6), (0.012, 1.1), (1e-9, 1e3), (0.9, 9.5), (1e-5, 3e2), (7.0, 7.7)]
)
def test_a_logarithmic_axis_has_a_handful_of_round_ticks(low: float, high: float) -> None:
    for most in (6, 9):
        ticks = canvas.log_ticks(low, high, most)
        assert 2 <= len(ticks) <= most, ticks
        assert all(low <= t <= high for t in ticks)
        assert ticks == sorted(ticks)


@pytest.mark.parametrize(("name", "table"), [("final_loss", "runs"), ("learning_rate_search", "search")])
def test_an_experiment_of_which_nothing_ran_has_no_panel(name: str, table: str, tables: Tables) -> None:
    frame = getattr(tables, table)
    first = tables.experiments[0]

    def titles(status: pd.Series) -> list[str]:
        here = Tables(**{**vars(tables), table: frame.assign(status=status)})
        return [panel.title for panel in build(name, here).panels]

    of_first, title = frame["experiment"] == first, tables.experiment_title(first)
    lost = frame["status"].mask(of_first, "missing")
    assert title in titles(frame["status"])
    assert titles(lost) == [t for t in titles(frame["status"]) if t != title]
    assert title in titles(frame["status"].mask(of_first, "diverged"))  # tried, and that is a result
    assert titles(frame["status"].where(frame.index < 0, "missing")) == []
