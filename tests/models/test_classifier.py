"""The classifier around each mixer: padding never counts, rows do not meet, sizes and operations are as stated."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import yaml
from torch import Tensor

from seqscale.benchmarks import count_flops
from seqscale.models import Classifier, ModelSpec, build, build_classifier

SPECS = yaml.safe_load((Path(__file__).parents[2] / "config" / "models.yaml").read_text())
VOCAB, CONTEXT, CLASSES = 11, 12, 3
BY_TRANSFORM = ("lti_ssm", "s4")  # mixers that convolve by FFT, where the rounding of one position reaches all others
LENGTHS = torch.tensor([5, 12, 1, 8])


def make(name: str, **changes: Any) -> Classifier:
    torch.manual_seed(0)
    spec = ModelSpec.from_dict({"name": name, **SPECS[name], "d_model": 16, **changes})
    return build_classifier(spec, VOCAB, 2 * CONTEXT, CLASSES).eval()


def some_tokens(length: int = CONTEXT) -> Tensor:
    return torch.randint(0, VOCAB, (len(LENGTHS), length), generator=torch.Generator().manual_seed(1))


@pytest.fixture(params=SPECS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@torch.no_grad()
def test_what_stands_in_the_padding_changes_nothing(name: str) -> None:
    model, tokens = make(name), some_tokens()
    other = torch.where(torch.arange(CONTEXT) < LENGTHS[:, None], tokens, (tokens + 1) % VOCAB)
    assert not torch.equal(tokens, other)
    if SPECS[name]["mixer"] in BY_TRANSFORM:
        torch.testing.assert_close(model(tokens, LENGTHS), model(other, LENGTHS), rtol=1e-5, atol=1e-6)
    else:
        assert torch.equal(model(tokens, LENGTHS), model(other, LENGTHS))


@torch.no_grad()
def test_how_much_padding_there_is_changes_nothing(name: str) -> None:
    """To rounding: kernels may add in another order for another length."""
    model, tokens = make(name), some_tokens()
    padded = F.pad(tokens, (0, CONTEXT), value=3)
    torch.testing.assert_close(model(padded, LENGTHS), model(tokens, LENGTHS), rtol=1e-5, atol=1e-6)
    for row, length in enumerate(LENGTHS.tolist()):  # and a row alone, without any padding, says the same
        alone = model(tokens[row : row + 1, :length], LENGTHS[row : row + 1])
        torch.testing.assert_close(alone[0], model(tokens, LENGTHS)[row], rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_real_tokens_do_change_the_answer(name: str) -> None:
    """The first token of each row, so that a model which ignored its input would be found out."""
    model, tokens = make(name), some_tokens()
    other = tokens.clone()
    other[:, 0] = (other[:, 0] + 1) % VOCAB
    assert ((model(tokens, LENGTHS) - model(other, LENGTHS)).abs().amax(1) > 1e-6).all()


def test_a_padding_that_is_no_number_does_not_spread() -> None:
    model, tokens = make("mlp"), some_tokens()
    tokens = torch.where(torch.arange(CONTEXT) < LENGTHS[:, None], tokens % (VOCAB - 1), VOCAB - 1)
    with torch.no_grad():
        model.stack.embedding.weight[VOCAB - 1] = torch.nan
        assert model(tokens, LENGTHS).isfinite().all()


def test_padding_gets_no_gradient(name: str) -> None:
    """The embedding of a token that stands in the padding alone; by transform, none but rounding."""
    model, tokens = make(name), some_tokens() % (VOCAB - 1)
    tokens = torch.where(torch.arange(CONTEXT) < LENGTHS[:, None], tokens, VOCAB - 1)
    F.cross_entropy(model(tokens, LENGTHS), torch.tensor([0, 1, 2, 0])).backward()
    gradient = model.stack.embedding.weight.grad
    assert gradient is not None
    greatest = gradient[: VOCAB - 1].abs().max()
    assert greatest > 0
    assert gradient[VOCAB - 1].abs().max() <= (1e-5 * greatest if SPECS[name]["mixer"] in BY_TRANSFORM else 0)


def test_operations_are_the_closed_form(name: str) -> None:
    model = make(name)
    with torch.no_grad():
        counted = count_flops(lambda: model(some_tokens(), LENGTHS))
    assert counted == model.flops(len(LENGTHS), CONTEXT)
    assert model.training_flops(2, 8) == 3 * model.flops(2, 8)


def test_parameters_are_the_stacks_and_the_heads(name: str) -> None:
    model = make(name)
    spec = ModelSpec.from_dict({"name": name, **SPECS[name], "d_model": 16})
    stack, rest = build(spec, VOCAB, 2 * CONTEXT).count_parameters()
    head = 16 * CLASSES + CLASSES
    assert model.count_parameters() == (stack + head, rest + head)
    assert model.count_parameters()[0] == sum(p.numel() for p in model.parameters())


def test_under_autocast_the_answer_is_float32() -> None:
    model = make("mamba")
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        low = model(some_tokens(), LENGTHS)
    assert low.dtype == torch.float32
    torch.testing.assert_close(low, model(some_tokens(), LENGTHS).detach(), rtol=0.05, atol=0.05)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@torch.no_grad()
def test_a_gpu_gives_the_answers_of_a_cpu(name: str) -> None:
    model, tokens = make(name), some_tokens()
    here = model(tokens, LENGTHS)
    there = model.cuda()(tokens.cuda(), LENGTHS.cuda()).cpu()
    torch.testing.assert_close(there, here, rtol=1e-3, atol=1e-4)
