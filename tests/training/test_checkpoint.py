"""Checkpoints: everything that the next step depends on, and no number computed from a damaged one."""

import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from seqscale.training.checkpoint import (
    Position,
    load_checkpoint,
    load_tensors,
    only_one,
    save_checkpoint,
    save_tensors,
)


def make(seed: int = 0) -> tuple[nn.Module, torch.optim.AdamW]:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 2))
    return model, torch.optim.AdamW(model.parameters(), lr=0.01, fused=True)


def advance(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int = 3) -> torch.Tensor:
    """Steps whose dropout depends on the random state; the weights that come out."""
    for _ in range(steps):
        loss = model(torch.ones(5, 3)).square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def saved(path: Path, step: int = 3, identity: str = "me") -> torch.Tensor:
    """Save a checkpoint after three steps; the weights that three further steps lead to."""
    model, optimizer = make()
    advance(model, optimizer)
    save_checkpoint(path, model, optimizer, Position(step, 1.5), identity)
    return advance(model, optimizer)


def test_going_on_is_bit_for_bit_the_same(tmp_path: Path) -> None:
    expected = saved(tmp_path / "c.safetensors")
    model, optimizer = make(seed=7)  # another start, another random state: all of it must come from the file
    assert load_checkpoint(tmp_path / "c.safetensors", model, optimizer, "me") == Position(3, 1.5)
    assert torch.equal(advance(model, optimizer), expected)


def test_nothing_there(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path / "c.safetensors", *make(), "me") is None


def test_the_previous_one_is_kept(tmp_path: Path) -> None:
    for step in (4, 8, 12):
        saved(tmp_path / "c.safetensors", step)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["c.previous.safetensors", "c.safetensors"]
    assert load_checkpoint(tmp_path / "c.safetensors", *make(), "me") == Position(12, 1.5)
    (tmp_path / "c.safetensors").unlink()  # killed between moving the old one aside and writing the new one
    assert load_checkpoint(tmp_path / "c.safetensors", *make(), "me") == Position(8, 1.5)


def test_of_another_run_is_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    saved(tmp_path / "c.safetensors", 4, "me")
    saved(tmp_path / "c.safetensors", 8, "you")
    model, optimizer = make(seed=7)
    before = [p.clone() for p in model.parameters()]
    assert load_checkpoint(tmp_path / "c.safetensors", model, optimizer, "them") is None
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), before, strict=True))
    assert "belongs to another config or version of the code" in caplog.text
    assert load_checkpoint(tmp_path / "c.safetensors", model, optimizer, "me") == Position(4, 1.5)


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "cut-in-header": lambda data: data[:100],
    "cut-at-end": lambda data: data[:-1],
    "longer": lambda data: data + b"\0",
    "last-byte": lambda data: data[:-1] + bytes([data[-1] ^ 1]),
    "step": lambda data: data.replace(b'\\"step\\": 8', b'\\"step\\": 9'),
    "seconds": lambda data: data.replace(b'\\"seconds\\": 1.5', b'\\"seconds\\": 2.5'),
    "tensor-name": lambda data: data.replace(b"model.0.bias", b"model.9.bias"),
    "no-note": lambda data: data.replace(b'"seqscale"', b'"sEqscale"'),
    "no-checksum": lambda data: data.replace(b'"sha256"', b'"sha257"'),
    "all-zero": lambda data: bytes(len(data)),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_damaged_is_passed_over(
    tmp_path: Path, damage: Callable[[bytes], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "c.safetensors"
    expected = saved(path, 4)
    saved(path, 8)
    data = path.read_bytes()
    assert damage(data) != data
    path.write_bytes(damage(data))
    model, optimizer = make(seed=7)
    assert load_checkpoint(path, model, optimizer, "me") == Position(4, 1.5)
    assert torch.equal(advance(model, optimizer), expected)
    assert "checkpoint passed over" in caplog.text
    previous = tmp_path / "c.previous.safetensors"
    previous.write_bytes(damage(previous.read_bytes().replace(b'\\"step\\": 4', b'\\"step\\": 8')))
    assert load_checkpoint(path, *make(), "me") is None


def test_no_flipped_byte_is_ever_believed(tmp_path: Path) -> None:
    """Each byte of the file in turn: an error, or (white space in the header) the very same contents."""
    path, broken = tmp_path / "c.safetensors", tmp_path / "broken.safetensors"
    save_tensors(path, {"a": torch.arange(3.0), "b": torch.tensor(7)}, {"seqscale": json.dumps({"step": 800})})
    data = path.read_bytes()
    tensors, metadata = load_tensors(path)
    refused = 0
    for place in range(len(data)):
        for flip in (1, 4, 16, 128):
            broken.write_bytes(data[:place] + bytes([data[place] ^ flip]) + data[place + 1 :])
            try:
                found, found_metadata = load_tensors(broken)
            except ValueError:
                refused += 1
                continue
            assert found_metadata == metadata
            assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())
    assert refused > 3.8 * len(data)


def test_tensors_of_every_kind(tmp_path: Path) -> None:
    tensors = {
        "empty": torch.zeros(0, 3),
        "scalar": torch.tensor(1.5),
        "half": torch.randn(2, 3).bfloat16(),
        "strided": torch.randn(4, 6).t(),
        "bytes": torch.arange(5, dtype=torch.uint8),
        "needs-grad": torch.ones(2, requires_grad=True),
    }
    save_tensors(tmp_path / "t.safetensors", tensors, {"k": "v"})
    found, metadata = load_tensors(tmp_path / "t.safetensors")
    assert metadata == {"k": "v"}
    assert all(
        torch.equal(found[name], tensor) and found[name].dtype == tensor.dtype for name, tensor in tensors.items()
    )


def test_the_second_waits_for_the_first(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    order, inside = [], threading.Event()

    def second() -> None:
        with only_one(tmp_path):
            order.append("second")

    with only_one(tmp_path):
        thread = threading.Thread(target=lambda: (inside.set(), second()))
        thread.start()
        inside.wait()
        thread.join(0.2)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    assert "waiting: process" in caplog.text
