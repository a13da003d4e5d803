"""Suites end to end: columns, what the rows say, and memory that runs out on the way."""

import math
from typing import Any

import pandas as pd
import pytest
import torch
from bench_jobs import DEVICES, MODELS, job
from torch import Tensor

from seqscale.benchmarks import (
    COLUMNS,
    KINDS,
    BenchConfig,
    CountMismatch,
    KernelsConfig,
    count_flops,
    run_kernels,
    run_suite,
)
from seqscale.benchmarks.bench import Bench
from seqscale.benchmarks.scans import Problem, available, bind
from seqscale.devices import is_out_of_memory
from seqscale.kernels.choice import why_not
from seqscale.models import LanguageModel, ModelSpec, build
from seqscale.tables.columns import MEASURED

SCAN = "chunked" if why_not("cpu") else "cpu"  # without a C compiler it is made of PyTorch operations
TIMES = [("time", "s"), ("time_per_token", "s"), ("tokens_per_second", "1/s")]
DIRECTIONS = {
    "prefill": {("forward", q, u) for q, u in TIMES},
    "decode": {("step", q, u) for q, u in TIMES[1:]},
    "train_step": {("forward+backward", q, u) for q, u in TIMES},
    "memory": {("forward", "peak_memory", "B"), ("forward+backward", "peak_memory", "B"), ("step", "state", "B")},
    "flops": {("forward", "flops", "FLOP"), ("forward+backward", "flops", "FLOP")},
    "as_published": {("forward", "mean_time", "s")},
}


def run(*args: Any, model: LanguageModel | None = None, **changes: Any) -> tuple[pd.DataFrame, dict[str, Any]]:
    values = job(*args, **changes)
    return run_suite(BenchConfig.from_dict(values), values, model)


def test_the_columns_are_those_that_the_tables_read() -> None:
    assert list(COLUMNS) == list(MEASURED)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("suite", KINDS)
def test_every_suite_measures_every_model(suite: str, model: str, device: str) -> None:
    table, beside = run(suite, model, device=device)
    assert list(table.columns) == list(COLUMNS)
    assert set(zip(table.direction, table.quantity, table.unit, strict=True)) == DIRECTIONS[suite] | (
        {("forward+backward", "mfu", "1")} if suite == "train_step" and device == "cuda" else set()
    )
    for _, curve in table.groupby(["direction", "quantity"]):
        assert list(curve.length) == [8, 24]
    assert (table.suite == suite).all()
    assert (table.model == model).all()
    assert (table.batch == 2).all()
    assert (table.device == device).all()
    assert not table.oom.any()
    assert table.implementation.notna().all()
    blind = model in ("linear", "mlp")
    assert ((table["median"] > 0) | ((table.quantity == "state") & blind)).all()
    assert ((table.p20 <= table["median"]) & (table["median"] <= table.p80)).all()
    assert (table.repeats >= (1 if suite in ("memory", "flops") else 3)).all()
    assert not any("out of memory" in note for note in beside["notes"])
    assert {"git_commit", "config_digest", "threads", "device", "packages", "time_utc"} <= beside["provenance"].keys()


@pytest.mark.parametrize(
    ("suite", "model", "implementation"),
    [
        ("prefill", "transformer", "flash_cpu"),
        ("train_step", "transformer_pp", "flash_cpu"),
        ("decode", "attention", "flash_cpu"),
        ("prefill", "mamba", SCAN),
        ("train_step", "mamba", SCAN),
        ("decode", "mamba", "recurrence"),
        ("prefill", "lti_ssm", "fft"),
        ("decode", "lti_ssm", "recurrence"),
        ("prefill", "s4", "fft"),
        ("decode", "s4", "recurrence"),
        ("prefill", "mamba2", "matmul"),
        ("decode", "mamba2", "recurrence"),
        ("prefill", "mlp", "torch"),
    ],
)
def test_the_implementation_is_the_one_that_ran(suite: str, model: str, implementation: str) -> None:
    assert set(run(suite, model)[0].implementation) == {implementation}


def test_the_implementation_follows_what_pytorch_does() -> None:
    assert set(run("prefill", "lstm")[0].implementation) <= {"onednn", "native"}
    with torch.backends.mkldnn.flags(enabled=False):
        assert set(run("prefill", "lstm")[0].implementation) == {"native"}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
@pytest.mark.parametrize(("precision", "implementation"), [("bfloat16", "flash"), ("float32", "efficient")])
def test_attention_on_a_gpu_gets_the_best_kernel_for_its_precision(precision: str, implementation: str) -> None:
    for suite in ("prefill", "decode", "train_step"):
        table, _ = run(suite, "transformer", device="cuda", precision=precision)
        assert set(table.implementation) == {implementation}


def test_widths_are_told_where_a_mixer_has_them() -> None:
    mamba, _ = run("flops", "mamba")
    assert set(mamba.d_inner) == {128}
    assert set(mamba.d_state) == {16}
    assert run("flops", "transformer")[0][["d_inner", "d_state"]].isna().all(axis=None)


def test_a_time_per_token_is_the_time_shared_by_all_tokens() -> None:
    table, _ = run("prefill", "mlp")
    by_quantity = table.pivot(index="length", columns="quantity", values="median")
    for length, row in by_quantity.iterrows():
        assert row["time_per_token"] == pytest.approx(row["time"] / (2 * length))


@pytest.mark.parametrize("model", ["transformer", "lstm", "lti_ssm", "mamba"])
def test_the_state_grows_for_attention_alone(model: str) -> None:
    table, _ = run("memory", model)
    state = table[table.quantity == "state"].set_index("length")["median"]
    if model == "transformer":  # keys and values of two layers, two sequences, float32
        assert state.to_dict() == {length: 2 * 2 * 2 * length * 64 * 4 for length in (8, 24)}
    else:
        assert state[8] == state[24] > 0


def test_flops_are_the_models_own() -> None:
    table, _ = run("flops", "mamba")
    model = build(ModelSpec.from_dict({"name": "mamba", **MODELS["mamba"]}), 37, 24)
    forward = table[table.direction == "forward"].set_index("length")["median"]
    assert forward.to_dict() == {n: model.flops(2, n) for n in (8, 24)}


def test_learned_positions_reach_as_far_as_decoding() -> None:
    assert BenchConfig.from_dict(job("decode")).length_max == 24 + 3
    assert BenchConfig.from_dict(job("prefill")).length_max == 24


class Greedy(LanguageModel):
    """Runs out of memory above `limit` tokens, in training above half of that."""

    limit = 16
    error: type[BaseException] = torch.OutOfMemoryError

    def forward(self, tokens: Tensor, state: Any = None) -> Any:
        if tokens.shape[1] > (self.limit // 2 if torch.is_grad_enabled() else self.limit):
            tried.append(tokens.shape[1])
            says = "" if self.error is MemoryError else "DefaultCPUAllocator: can't allocate memory: 9 bytes"
            raise self.error(says)
        return super().forward(tokens, state)


tried: list[int] = []


@pytest.fixture
def greedy(request: pytest.FixtureRequest) -> LanguageModel:
    tried.clear()
    model = build(ModelSpec.from_dict({"name": "transformer", **MODELS["transformer"]}), 37, 64)
    model.__class__ = type("Greedy", (Greedy,), {"error": getattr(request, "param", torch.OutOfMemoryError)})
    return model


@pytest.mark.parametrize("greedy", [torch.OutOfMemoryError, RuntimeError, MemoryError], indirect=True)
def test_out_of_memory_is_a_row_and_longer_lengths_are_not_tried(greedy: LanguageModel) -> None:
    table, beside = run("prefill", model=greedy, lengths=[8, 16, 32, 48])
    time = table[table.quantity == "time"].set_index("length")
    assert time.oom.to_dict() == {8: False, 16: False, 32: True, 48: True}
    assert time.loc[[32, 48], ["median", "p20", "p80", "repeats"]].isna().all(axis=None)
    assert table[table.oom].shape[0] == 2 * len(TIMES), "every quantity of both lengths"
    assert tried == [32]
    assert "length 32: out of memory" in beside["notes"][0]
    assert len(beside["notes"]) == 1


def test_the_other_quantities_go_on(greedy: LanguageModel) -> None:
    table, _ = run("memory", model=greedy, lengths=[8, 16, 32])
    lost = {key: [*curve.length[curve.oom]] for key, curve in table.groupby("direction")}
    assert lost == {"forward": [32], "forward+backward": [16, 32], "step": [32]}


def test_nothing_fits(greedy: LanguageModel) -> None:
    table, _ = run("train_step", model=greedy, lengths=[32, 48])
    assert table.oom.all()
    assert table["median"].isna().all()


def test_other_errors_are_errors() -> None:
    model = build(ModelSpec.from_dict({"name": "transformer", **MODELS["transformer"]}), 37, 16)  # too few positions
    with pytest.raises(ValueError, match="beyond the 16 learned positions"):
        run("prefill", model=model)


def test_a_closed_form_that_is_wrong_stops_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LanguageModel, "state_bytes", lambda *_: 7)
    with pytest.raises(CountMismatch, match="lstm, state after 8 tokens: counted 3,072 bytes, the closed form says 7"):
        run("memory", "lstm")
    monkeypatch.setattr(LanguageModel, "flops", lambda *_: 7)
    with pytest.raises(CountMismatch, match=r"lstm, forward, length 8: counted .* the closed form says 7"):
        run("flops", "lstm")


def test_what_counts_as_out_of_memory() -> None:
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"))
    assert is_out_of_memory(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"))
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(RuntimeError("shapes cannot be multiplied"))


@pytest.mark.skipif(math.log2(torch.iinfo(torch.int64).max) < 62, reason="needs 64-bit sizes")
def test_a_real_failure_of_the_allocator_is_recognised() -> None:
    with pytest.raises((RuntimeError, MemoryError)) as caught:
        torch.empty(2**55, dtype=torch.float32)
    assert is_out_of_memory(caught.value)


def test_a_call_is_filled_with_tokens() -> None:
    values = job("prefill", lengths=[8, 32, 200])
    values["settings"] = {"fill": 64, "lengths": [8, 32, 200]}
    table, _ = run_suite(BenchConfig.from_dict(values | {"suite": "prefill_filled", "kind": "prefill"}))
    time = table[table.quantity == "time_per_token"]
    assert [*zip(time.length, time.batch, strict=True)] == [(8, 8), (32, 2), (200, 1)]
    assert (table.suite == "prefill_filled").all()


def test_a_mixer_alone_takes_less_than_its_model() -> None:
    counted = {}
    for part in ("model", "mixer"):
        values = job("prefill", "mamba")
        values["settings"]["part"] = part
        config = BenchConfig.from_dict(values)
        bench = Bench(config)
        with torch.no_grad(), bench.inference(watched=True):
            counted[part] = count_flops(bench.forward_call(24))
    layers = MODELS["mamba"]["n_layers"]
    assert 0 < counted["mixer"] * layers < counted["model"]


@pytest.mark.parametrize("device", DEVICES)
def test_every_scan_stands_beside_the_floor(device: str) -> None:
    values = {
        "suite": "kernels", "settings": {"shapes": [[2, 8, 16], [1, 8, 64]], "d_states": [4], "dtypes": ["float32"]},
        "repeats": 2, "min_seconds": 0.0, "device": device,
    }  # fmt: skip
    table, beside = run_kernels(KernelsConfig.from_dict(values), values)
    assert list(table.columns) == list(COLUMNS)
    measured = table[table.quantity == "time"]
    names = {"floor", *available(torch.device(device))}
    assert set(measured.implementation) == names
    assert {"reference", "chunked"} < names
    for (_, direction), rows in measured[measured.implementation != "floor"].groupby(["implementation", "direction"]):
        assert [*zip(rows.batch, rows.d_inner, rows.length, strict=True)] == [(2, 8, 16), (1, 8, 64)], direction
    assert (table["median"] > 0).all()
    assert {"copy_rate"} <= set(table.quantity)
    assert beside["provenance"]["device"] == device


def test_scans_agree_before_they_are_compared() -> None:
    device = torch.device("cpu")
    tensors = Problem(2, 8, 33, 4, torch.float32, device).tensors()
    results = {name: bind(scan, tensors)[0]() for name, scan in available(device).items()}
    for name, y in results.items():
        torch.testing.assert_close(y.float(), results["reference"].float(), rtol=1e-4, atol=1e-4, msg=name)


def test_learned_positions_beyond_the_length_are_not_counted() -> None:
    """The peak at a length does not depend on the longer ones that the suite also has."""

    def peaks(lengths: list[int]) -> dict[str, float]:
        table, _ = run_suite(BenchConfig.from_dict(job("memory", "transformer", lengths=lengths)))
        first = table[(table["length"] == 16) & (table["quantity"] == "peak_memory")]
        return dict(zip(first["direction"], first["median"], strict=True))

    assert peaks([16]) == peaks([16, 1024])
