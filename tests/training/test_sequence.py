"""A sequence split over processes: loss and gradients are those of one process, to 1e-6 (the losses are float32)."""

import socket
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
import yaml
from apart import Apart
from safetensors.torch import load_file, save_file

from seqscale.models import LanguageModel, ModelSpec, build
from seqscale.training.sequence import Chain, loss_and_gradients

MODELS = yaml.safe_load((Path(__file__).parents[2] / "config" / "models.yaml").read_text())
LENGTH, VOCAB = 23, 11  # stretches of 8, 8 and 7; with two processes 12 and 11

SPLIT = ("mamba", "lti_ssm", "lstm", "mlp")


def make(name: str) -> LanguageModel:
    torch.manual_seed(3)
    spec = ModelSpec.from_dict({"name": name, **MODELS[name], "d_model": 8, "n_layers": 2})
    return build(spec, VOCAB, LENGTH).double()


def example() -> tuple[torch.Tensor, torch.Tensor]:
    tokens = torch.randint(VOCAB, (2, LENGTH + 1), generator=torch.Generator().manual_seed(5))
    return tokens[:, :-1], tokens[:, 1:]


def one_of_a_chain(out: Path) -> None:
    """The loss and the gradients of every model, written by the first process; a refusal is said."""
    dist.init_process_group("gloo")
    for name in SPLIT:
        model = make(name)
        loss = loss_and_gradients(model, *example(), Chain())
        if dist.get_rank() == 0:
            gradients = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
            save_file({**gradients, "loss": torch.tensor(loss, dtype=torch.float64)}, out / f"{name}.safetensors")
    try:
        loss_and_gradients(make("attention"), *example(), Chain())
    except ValueError as error:
        print(error, file=sys.stderr)
    dist.destroy_process_group()


@pytest.fixture(scope="module", params=[2, 3])
def split(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The loss and gradients that processes in a chain found, and what they said."""
    out = tmp_path_factory.mktemp("split")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    base = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(request.param)}
    processes = [
        Apart(one_of_a_chain, out, said=out / f"said{rank}", environment={**base, "RANK": str(rank)})
        for rank in range(request.param)
    ]
    try:
        ends = [process.finish() for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [status for status, _ in ends] == [0] * request.param, ends
    return out, ends[0][1]


@pytest.mark.parametrize("name", SPLIT)
def test_loss_and_every_gradient_are_those_of_one_process(split: tuple[Path, str], name: str) -> None:
    found = load_file(split[0] / f"{name}.safetensors")
    model = make(name)
    inputs, targets = example()
    loss = F.cross_entropy(model(inputs).flatten(0, 1).float(), targets.flatten())
    loss.backward()
    torch.testing.assert_close(found.pop("loss"), loss.detach().double(), rtol=1e-6, atol=0)
    expected = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    assert found.keys() == expected.keys()
    for parameter, gradient in expected.items():
        torch.testing.assert_close(
            found[parameter], gradient, rtol=1e-6, atol=1e-9, msg=lambda m, p=parameter: f"{p}: {m}"
        )


def test_a_cache_that_grows_cannot_be_passed(split: tuple[Path, str]) -> None:
    assert "Attention keeps more than a state of fixed size" in split[1]
