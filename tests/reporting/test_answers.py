"""The answers: crossovers of every suite and size, reruns, the roofline, printed curves on ours, utilisation."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from seqscale.reporting.chart import Dots, Lines
from seqscale.reporting.crossovers import ALWAYS, BETWEEN, BETWEEN_ELSEWHERE, CROSSES, CUT, FEW, NEVER, crossovers
from seqscale.reporting.draw import figure_of
from seqscale.reporting.figures import build
from seqscale.reporting.published import published_table
from seqscale.reporting.reruns import crossover_rows, spread_rows, told
from seqscale.reporting.roofline import moved_bytes, scans
from seqscale.reporting.source import COLUMNS, Tables, coerce, tables_of
from seqscale.reporting.style import STYLE_FILE, load_style
from seqscale.reporting.suites import kinds, mixers, opponents, size, suites_of

LENGTHS = (128, 512, 2048, 8192, 32768)
CONFIG: dict[str, Any] = {
    "config": {
        "models": {
            "mamba": {"mixer": "mamba", "d_model": 128},
            "mine": {"mixer": "mamba2", "d_model": 128},
            "transformer": {"mixer": "attention", "d_model": 128},
            "wide": {"mixer": "attention", "d_model": 256},
            "hybrid": {"mixer": "mamba", "d_model": 128, "blocks": [{}, {"mixer": "attention"}]},
            "mamba_130m": {"mixer": "mamba", "d_model": 768},
            "transformer_pp_130m": {"mixer": "attention", "d_model": 768},
        }
    }
}


def row(suite: str, model: str, length: float, value: float | None, **other: Any) -> dict[str, Any]:
    """A row of the bench table; no value: out of memory."""
    plain = {
        "suite": suite, "model": model, "implementation": "x", "device": "cuda", "dtype": "bfloat16", "batch": 1,
        "length": length, "direction": "forward", "quantity": "time", "unit": "s", "repeats": 20, "oom": value is None,
        "median": value, "p20": None if value is None else value * 0.99, "p80": None if value is None else value * 1.01,
    }  # fmt: skip
    return {**plain, **other}


def curve(suite: str, model: str, values: Iterable[float | None], lengths: Sequence[float] = LENGTHS, **other: Any
          ) -> list[dict[str, Any]]:  # fmt: skip
    return [row(suite, model, n, v, **other) for n, v in zip(lengths, values, strict=True)]


def tables_with(rows: list[dict[str, Any]], **more: pd.DataFrame) -> Tables:
    frames = {name: coerce(pd.DataFrame(rows if name == "bench" else []), columns) for name, columns in COLUMNS.items()}
    return tables_of(frames, more)


def straight(a: float, power: float) -> list[float]:
    return [a * n**power for n in LENGTHS]


def of(frame: pd.DataFrame, **where: str) -> dict[str, Any]:
    (found,) = frame[np.logical_and.reduce([frame[k] == v for k, v in where.items()])].to_dict("records")
    return {str(k): v for k, v in found.items()}


STEP = {"direction": "step", "quantity": "time_per_token"}
TRAIN = {"direction": "forward+backward"}
SUITES = [
    *curve("prefill", "mamba", straight(1e-6, 1)), *curve("prefill", "transformer", straight(1e-9, 2)),
    *curve("prefill_130m", "mamba_130m", straight(4e-6, 1)),
    *curve("prefill_130m", "transformer_pp_130m", straight(1e-9, 2)),
    *curve("answer_time", "mamba", straight(1e-4, 0), **STEP),
    *curve("answer_time", "transformer", straight(1e-8, 1), **STEP),
    *curve("steps", "mamba", straight(1e-6, 1), **TRAIN), *curve("steps", "transformer", straight(5e-7, 1), **TRAIN),
    row("scans", "selective_scan", 512, 1e-3, d_inner=8, d_state=4),
]  # fmt: skip


def test_a_suites_kind_is_told_by_its_rows() -> None:
    found = kinds(tables_with(SUITES).bench)
    assert found == {"prefill": "prefill", "prefill_130m": "prefill", "answer_time": "decode", "steps": "train_step",
                     "scans": "kernels"}  # fmt: skip
    assert suites_of("prefill", tables_with(SUITES).bench) == ["prefill", "prefill_130m"]


def test_pairs_are_taken_by_mixer_and_size() -> None:
    tables = tables_with([])
    names = list(CONFIG["config"]["models"])
    assert opponents(names, tables, CONFIG) == [
        ("mamba", "transformer"), ("mine", "transformer"), ("mamba_130m", "transformer_pp_130m"),
    ]  # fmt: skip
    assert mixers("hybrid", tables, CONFIG) == {"mamba", "attention"}
    by_name = opponents(["mamba", "mamba2", "lti_ssm", "transformer_pp", "lstm"], tables)
    assert by_name == [("mamba", "transformer_pp"), ("mamba2", "transformer_pp")]
    assert [size(m, tables, CONFIG) for m in ("mamba", "mamba_130m", "unknown")] == ["d_model 128", "130M", ""]


def test_every_suite_and_size_has_its_crossover() -> None:
    frame = crossovers(tables_with(SUITES), CONFIG)
    assert of(frame, suite="prefill")["length"] == pytest.approx(1000)
    assert of(frame, suite="prefill_130m")["length"] == pytest.approx(4000)
    assert of(frame, suite="answer_time")["length"] == pytest.approx(10_000)
    assert frame.set_index("suite")["size"].to_dict() == {
        "prefill": "d_model 128", "prefill_130m": "130M", "answer_time": "d_model 128", "steps": "d_model 128",
    }  # fmt: skip
    crossed = frame[frame["status"] == CROSSES]
    assert ((crossed["ci_low"] < crossed["length"]) & (crossed["length"] < crossed["ci_high"])).all()
    assert of(frame, suite="steps")["status"] == NEVER
    assert of(frame, suite="steps")["words"] == "not up to 32,768 tokens, there 2 times as much"


def test_calls_filled_with_tokens_are_one_curve() -> None:
    rows = [
        row("prefill_filled", model, n, value, batch=max(1, 8192 // n))
        for model, line in (("mamba", [1.0] * 5), ("transformer", [0.5, 0.6, 0.8, 1.6, 9.0]))
        for n, value in zip(LENGTHS, line, strict=True)
    ]
    found = of(crossovers(tables_with(rows), CONFIG), suite="prefill_filled")
    assert math.isnan(found["batch"])
    assert 2048 < found["length"] < 8192
    panel = build("prefill_scaling", tables_with(rows)).panels[0]
    assert isinstance(panel, Lines)
    assert [len(s.x) for s in panel.series] == [5, 5]
    assert panel.title == "prefill_filled: cuda, 8,192 tokens a call"


@pytest.mark.parametrize(
    ("mamba", "attention", "status", "words"),
    [
        ([1] * 5, [2] * 5, ALWAYS, "at every length, 128 to 32,768"),
        ([2] * 5, [1, 1, 1, None, None], CUT,
         "not up to 2,048 tokens, there 2 times as much; attention out of memory at 8,192"),
        ([2, 2, 2, 2, None], [1] * 5, CUT,
         "not up to 8,192 tokens, there 2 times as much; Mamba out of memory at 32,768"),
        ([2] * 5, [1, None, None, None, None], FEW, "too few lengths in common (attention out of memory at 512)"),
        ([1.01] * 5, [1] * 5, NEVER,
         "not up to 32,768 tokens, there 1.01 times as much; a rerun may find it ahead"),
        ([1] * 5, [1.01] * 5, ALWAYS, "at every length, 128 to 32,768; a rerun may find it behind"),
    ],
)  # fmt: skip
def test_what_does_not_cross_is_told_in_words(
    mamba: list[float | None], attention: list[float | None], status: str, words: str
) -> None:
    rows = [*curve("prefill", "mamba", mamba), *curve("prefill", "transformer", attention)]
    found = of(crossovers(tables_with(rows)), suite="prefill")
    assert (found["status"], found["words"]) == (status, words)
    assert math.isnan(found["length"])


def noisy(seed: int, spread: float, times: float = 1.0) -> Tables:
    rng = np.random.default_rng(seed)
    rows = [dict(r) for r in SUITES]
    for r in rows:
        factor = float(np.exp(rng.normal(0, spread))) * (times if r["model"].startswith("mamba") else 1.0)
        for name in ("median", "p20", "p80"):
            r[name] *= factor
    return tables_with(rows)


def test_a_rerun_is_held_against_the_intervals() -> None:
    first = noisy(1, 0.02)
    good = crossover_rows(first, noisy(2, 0.02))
    assert len(good) == 4
    assert {r["differs"] for r in good} == {"no"}
    assert told(good) == "4 of 4 crossovers of the second run lie inside the first's interval"
    moved = crossover_rows(first, noisy(2, 0.02, times=3.0))
    assert [r["differs"] for r in moved if "steps" not in r["what"]] == ["yes"] * 3
    assert next(r for r in moved if "steps" in r["what"])["differs"] == "no"  # behind at every length in both


def test_the_spread_between_runs_is_measured() -> None:
    (found,) = spread_rows(noisy(1, 0.02), noisy(2, 0.02))
    assert found["b"] == pytest.approx(0.02, rel=0.4)
    assert (found["a"], found["differs"]) == (BETWEEN_ELSEWHERE, "no")
    (large,) = spread_rows(noisy(1, 0.3), noisy(2, 0.3))
    assert large["differs"] == "yes"
    assert BETWEEN["cpu"] > BETWEEN_ELSEWHERE


def test_the_figure_has_a_row_for_every_pair() -> None:
    tables = tables_with(SUITES)
    chart = build("crossovers", tables_with(SUITES, crossovers=crossovers(tables, CONFIG)))
    panels = {p.title: p for p in chart.panels if isinstance(p, Dots)}
    assert list(panels) == ["Prefill", "Training step", "Decoding"]
    assert [r.value for r in panels["Prefill"].rows] == pytest.approx([1000, 4000])
    assert panels["Training step"].rows[0].label.endswith("at none")
    assert all(r.region == (128, 32768) for p in panels.values() for r in p.rows)
    assert "not up to 32,768 tokens" in chart.alt
    assert figure_of(chart, load_style()).axes


# ---- the roofline

SCAN_SHAPES = [(8, 64, 512), (1, 64, 65536)]  # batch, d_inner, length
RATES = {"copy_rate": 4e12, "exp2_rate": 4e12, "fma_rate": 3e13}


def kernel_rows(rates: dict[str, float], device: str = "cuda") -> list[dict[str, Any]]:
    rows = [
        row("kernels", "selective_scan", 1, rate, implementation="ceiling", quantity=name, dtype=None, device=device)
        for name, rate in rates.items()
    ]
    for batch, d_inner, length in SCAN_SHAPES:
        for direction in ("forward", "forward+backward"):
            size = {"batch": batch, "d_inner": d_inner, "d_state": 16, "direction": direction, "device": device}
            for name, value in (("triton", 1e-3), ("reference", 1e-1 if batch > 1 else None), ("floor", 1e-6)):
                rows.append(row("kernels", "selective_scan", length, value, implementation=name, **size))
    return rows


def test_a_floor_is_what_must_be_done_over_what_the_device_can_do() -> None:
    frame = scans(tables_with(kernel_rows(RATES)))
    assert set(frame["implementation"]) == {"triton", "reference"}
    found = of(frame[frame["batch"] == 8], implementation="triton", direction="forward")
    updates = 8 * 512 * 64 * 16
    assert found["updates"] == updates
    assert found["floor_exponentials"] == pytest.approx(updates / 4e12)
    assert found["floor_multiply_adds"] == pytest.approx(4 * updates / 3e13)
    assert found["floor_bytes"] == pytest.approx(8 * 512 * (4 * 64 + 2 * 16) * 2 / 4e12)
    assert found["floor"] == max(found["floor_bytes"], found["floor_exponentials"], found["floor_multiply_adds"])
    assert found["share_of_floor"] == pytest.approx(found["floor"] / 1e-3)
    assert found["flops_per_second"] == pytest.approx(9 * updates / 1e-3)


def test_the_backward_moves_every_gradient_once() -> None:
    d, n = 64, 16
    forward, both = (moved_bytes(1, d, n, direction, 1) for direction in ("forward", "forward+backward"))
    read, written = 4 * d + 2 * n, 3 * d + 2 * n  # u, delta, z, dy, B, C; du, d delta, dz, dB, dC
    assert both - forward == read + written


def test_the_roofline_draws_scans_below_the_devices_ceilings() -> None:
    chart = build("roofline", tables_with(kernel_rows(RATES)))
    panels = [p for p in chart.panels if isinstance(p, Lines)]
    assert [p.title for p in panels] == [
        "Roofline: forward, cuda", "Forward, bfloat16, cuda", "Roofline: forward and backward, cuda",
        "Forward and backward, bfloat16, cuda",
    ]  # fmt: skip
    for panel in panels:
        tops = {s.model: s for s in panel.series if s.model.startswith("@")}
        assert set(tops) == {"@bytes", "@exponentials", "@multiply-adds"}
        mine = next(s for s in panel.series if s.model == "triton")
        assert max(mine.y) < min(min(s.y) for s in tops.values())
    assert [m.words for m in panels[1].marks] == ["reference: out of memory"]
    assert figure_of(chart, load_style()).axes
    assert {"floor_bytes", "share_of_floor", "flops_per_byte"} <= set(chart.data.columns)


def test_a_device_without_all_ceilings_shows_those_it_has() -> None:
    chart = build("roofline", tables_with(kernel_rows({"copy_rate": 1e10}, "cpu")))
    ceilings = {s.model for p in chart.panels if isinstance(p, Lines) for s in p.series if s.model.startswith("@")}
    assert ceilings == {"@bytes"}
    assert "kernels" in build("roofline", tables_with([])).missing


# ---- what sources 001 and 004 printed


def test_printed_curves_lie_on_ours_at_their_lengths() -> None:
    claims = yaml.safe_load((STYLE_FILE.parents[1] / "config" / "claims.yaml").read_text(encoding="utf-8"))
    lengths = (64, 1000, 4096, 50_000, 200_000)
    rows = [
        r
        for model, power in (("mamba", 1.0), ("transformer", 1.5))
        for quantity, less in (("time", 0.0), ("time_per_token", 1.0))
        for r in curve("prefill", model, [1e-6 * n ** (power - less) for n in lengths], lengths, quantity=quantity)
    ]
    own = [
        r
        for name in ("ssm", "transformer")
        for r in curve(
            "as_published", f"published_001_{name}", [1.0, 2.0], (64, 4096), quantity="mean_time", device="cpu"
        )
    ]
    chart = build("published_curves", tables_with([*rows, *own], published=published_table(claims)))
    assert [p.title.split(",")[0] for p in chart.panels] == ["001", "001", "004"]
    for panel in chart.panels[:2]:
        assert isinstance(panel, Lines)
        printed = {s.label: dict(zip(s.x, s.y, strict=True)) for s in panel.series if s.published}
        assert printed["SSM, printed"][1024] == 0.049
        assert printed["Transformer, printed"] == {
            64: 0.005, 128: 0.009, 256: 0.013, 512: 0.030, 1024: 0.087, 2048: 0.2538, 4096: 0.9036,
        }  # fmt: skip
    panel = chart.panels[2]
    assert isinstance(panel, Lines)
    printed = {s.model: dict(zip(s.x, s.y, strict=True)) for s in panel.series if s.published}
    ours = {s.model: dict(zip(s.x, s.y, strict=True)) for s in panel.series if not s.published}
    assert printed["mamba"][1000] == pytest.approx(ours["mamba"][1000])
    assert printed["transformer"][100_000] / printed["mamba"][100_000] == pytest.approx(500)
    assert set(ours["mamba"]) == {1000, 4096, 50_000}  # where they printed something
    assert figure_of(chart, load_style()).axes


def test_printed_curves_without_a_benchmark_say_so() -> None:
    assert "no length that they printed" in build("published_curves", tables_with([])).missing


# ---- utilisation


def test_utilisation_has_a_panel_for_each_suite_of_training_steps() -> None:
    share = {**TRAIN, "quantity": "mfu", "unit": "1"}
    rows = [
        *SUITES, *curve("steps", "mamba", [0.01, 0.02, 0.05, 0.08, 0.09], **share),
        *curve("train_step", "transformer", straight(1e-6, 1), **TRAIN),
        *curve("train_step", "transformer", [0.1, 0.2, 0.3, 0.4, None], **share),
    ]  # fmt: skip
    chart = build("mfu", tables_with(rows))
    assert [p.title for p in chart.panels] == ["Cuda, batch 1", "steps: cuda, batch 1"]
    assert "mamba at most 9.0%" in chart.alt
    assert figure_of(chart, load_style()).axes
    assert "GPUs" in build("mfu", tables_with(SUITES)).missing


def test_exponents_of_every_suite_are_drawn() -> None:
    fits = pd.DataFrame(
        {"suite": ["prefill", "prefill_130m"], "model": ["mamba", "mamba_130m"], "direction": "forward",
         "quantity": "time", "exponent": [1.0, 1.1], "ci_low": 0.9, "ci_high": 1.2}
    )  # fmt: skip
    tables = tables_with(SUITES)
    tables.scaling = coerce(fits, COLUMNS["scaling"])
    chart = build("scaling_exponents", tables)
    assert [(p.title, p.rows[0].value) for p in chart.panels if isinstance(p, Dots)] == [
        ("Time per forward pass", 1.0), ("prefill_130m", 1.1),
    ]  # fmt: skip
