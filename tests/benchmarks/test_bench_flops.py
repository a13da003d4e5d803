"""Counted operations equal the closed forms, exactly, for every model and every path through PyTorch."""

import pytest
import torch
import torch.nn.functional as F
from bench_jobs import DEVICES, MODELS
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from seqscale.benchmarks import CountMismatch, count_flops
from seqscale.benchmarks.checks import check_count
from seqscale.mixers.lti_ssm import real_fft_flops
from seqscale.models import LanguageModel, ModelSpec, build

SIZES = [(1, 1), (1, 16), (3, 1), (2, 33), (4, 128)]


def a_model(name: str, device: str = "cpu", **changes) -> LanguageModel:
    torch.manual_seed(0)
    return build(ModelSpec.from_dict({"name": name, **MODELS[name], **changes}), vocab_size=37, context=128).to(device)


def train(model: nn.Module, tokens: torch.Tensor) -> None:
    F.cross_entropy(model(tokens).flatten(0, 1), tokens.flatten()).backward()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("batch", "length"), SIZES, ids=lambda n: str(n))
@pytest.mark.parametrize("name", MODELS)
def test_counted_is_the_closed_form(name: str, batch: int, length: int, device: str) -> None:
    model, tokens = a_model(name, device), torch.randint(37, (batch, length), device=device)
    expected = model.flops(batch, length)
    with torch.inference_mode():
        assert count_flops(lambda: model(tokens)) == expected
    assert count_flops(lambda: model(tokens)) == expected, "with gradients the same forward"
    assert count_flops(lambda: train(model, tokens)) == model.training_flops(batch, length) == 3 * expected


@pytest.mark.parametrize("name", ["attention", "transformer", "transformer_pp"])
def test_attention_counts_the_same_without_a_fused_kernel(name: str) -> None:
    model, tokens = a_model(name), torch.randint(37, (2, 33))
    with sdpa_kernel(SDPBackend.MATH):
        assert count_flops(lambda: model(tokens)) == model.flops(2, 33)
        assert count_flops(lambda: train(model, tokens)) == model.training_flops(2, 33)


def test_an_lstm_counts_the_same_without_onednn() -> None:
    model, tokens = a_model("lstm"), torch.randint(37, (2, 33))
    with torch.backends.mkldnn.flags(enabled=False):
        assert count_flops(lambda: model(tokens)) == model.flops(2, 33)
        assert count_flops(lambda: train(model, tokens)) == model.training_flops(2, 33)


@pytest.mark.parametrize("name", ["attention", "transformer", "transformer_pp", "lstm", "mlp", "linear"])
def test_a_step_counts_one_token_after_its_context(name: str) -> None:
    model, tokens = a_model(name), torch.randint(37, (2, 20))
    with torch.inference_mode():
        _, state = model(tokens, model.init_state(2, 21))
        assert count_flops(lambda: model.step(tokens[:, 0], state)) == model.flops(2, 1, context=20)


@pytest.mark.parametrize("backend", [SDPBackend.MATH, SDPBackend.FLASH_ATTENTION], ids=["math", "fused"])
@pytest.mark.parametrize("causal", [False, True], ids=["full", "causal"])
def test_attention_counts_allowed_pairs(causal: bool, backend: SDPBackend) -> None:
    q, k, v = (torch.randn(2, 3, 5, 8, requires_grad=True) for _ in range(3))
    pairs = 5 * 6 // 2 if causal else 5 * 5
    with sdpa_kernel(backend):
        counted = count_flops(lambda: F.scaled_dot_product_attention(q, k, v, is_causal=causal).sum().backward())
    assert counted == 3 * 4 * 8 * pairs * 2 * 3


def test_a_depthwise_convolution_counts_each_tap_once_and_its_backward_twice() -> None:
    x, layer = torch.randn(2, 6, 10, requires_grad=True), nn.Conv1d(6, 6, 4, groups=6)
    assert count_flops(lambda: layer(x)) == 2 * 2 * 7 * 6 * 4
    assert count_flops(lambda: layer(x).sum().backward()) == 3 * 2 * 2 * 7 * 6 * 4


def test_a_transform_counts_by_its_size_and_its_backward_twice() -> None:
    x = torch.randn(3, 16, requires_grad=True)
    assert count_flops(lambda: torch.fft.rfft(x)) == 3 * real_fft_flops(16) == 3 * 160
    there_and_back = count_flops(lambda: torch.fft.irfft(torch.fft.rfft(x), n=16).sum().backward())
    assert there_and_back == 3 * 2 * 3 * 160


def test_nothing_but_what_the_convention_names_is_counted() -> None:
    x = torch.randn(5, 7)
    assert count_flops(lambda: F.layer_norm(F.gelu(x) * x + x, (7,)).softmax(-1)) == 0
    assert count_flops(lambda: x @ x.t()) == 2 * 5 * 7 * 5


def test_a_state_given_to_an_lstm_keeps_its_gradient() -> None:
    layer = nn.LSTM(4, 4, batch_first=True)
    x, h, c = (torch.randn(*shape, requires_grad=True) for shape in ((2, 3, 4), (1, 2, 4), (1, 2, 4)))
    with torch.backends.mkldnn.flags(enabled=False):
        count_flops(lambda: layer(x, (h, c))[0].sum().backward())
    assert h.grad is not None
    assert h.grad.abs().sum() > 0


def test_a_mismatch_says_where_and_by_how_much() -> None:
    assert check_count("mamba", 10, 10, "FLOPs", "") == 10
    with pytest.raises(CountMismatch, match=r"^mamba: counted 12 FLOPs, the closed form says 10 \(\+2\)\. Look"):
        check_count("mamba", 12, 10, "FLOPs", "Look there.")
