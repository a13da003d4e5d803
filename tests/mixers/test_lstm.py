"""How the LSTM starts, and that it is the LSTM of the books."""

import torch

from seqscale.mixers.lstm import LSTM


def test_forget_gate_starts_open() -> None:
    """The two biases that PyTorch adds up give 1 for the forget gate (second quarter) and 0 for the others."""
    layer = LSTM(8).lstm
    bias = layer.bias_ih_l0 + layer.bias_hh_l0
    assert torch.equal(bias, torch.cat([torch.zeros(8), torch.ones(8), torch.zeros(16)]))


def test_equals_the_cell_by_hand() -> None:
    torch.manual_seed(0)
    m = LSTM(5).double()
    x = torch.randn(2, 6, 5, dtype=torch.float64)
    h = c = torch.zeros(2, 5, dtype=torch.float64)
    outputs = []
    for t in range(6):
        gates = x[:, t] @ m.lstm.weight_ih_l0.t() + h @ m.lstm.weight_hh_l0.t() + m.lstm.bias_ih_l0 + m.lstm.bias_hh_l0
        i, f, g, o = gates.chunk(4, dim=-1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        outputs.append(h)
    torch.testing.assert_close(m(x), torch.stack(outputs, dim=1))
    _, state = m(x, m.init_state(2, 6, x.device, x.dtype))
    torch.testing.assert_close(state, {"h": h, "c": c})
