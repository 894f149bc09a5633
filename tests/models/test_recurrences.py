"""The recurrent encoders against their formulas, written out word by word in numpy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from models import pooling
from models.bilstm import BiLSTMConfig, BiLSTMEncoder
from models.registry import ARCHITECTURES
from models.rnn import RNNConfig, RNNEncoder

Array = NDArray[np.float64]
Weights = tuple[Array, Array, Array, Array]  # W, U and their biases, gate under gate
State = tuple[Array, ...]  # h, and c where there is one
Cell = Callable[[Array, State, Weights], State]
SIZES: dict[str, Any] = {"input_size": 5, "hidden_size": 4, "num_layers": 2}
LENGTHS = (7, 1, 4)
TOLERANCES = [(torch.float64, 1e-12), (torch.float32, 1e-6)]  # oneDNN fuses only the second


def elman(x: Array, state: State, weights: Weights) -> State:
    W, U, b, b_h = weights
    return (np.tanh(W @ x + b + U @ state[0] + b_h),)


def gru(x: Array, state: State, weights: Weights) -> State:
    (W_r, W_z, W_n), (U_r, U_z, U_n), b, b_h = (np.split(w, 3) for w in weights)
    h = state[0]
    r = sigmoid(W_r @ x + b[0] + U_r @ h + b_h[0])
    z = sigmoid(W_z @ x + b[1] + U_z @ h + b_h[1])
    n = np.tanh(W_n @ x + b[2] + r * (U_n @ h + b_h[2]))
    return ((1 - z) * n + z * h,)


def lstm(x: Array, state: State, weights: Weights) -> State:
    (W_i, W_f, W_g, W_o), (U_i, U_f, U_g, U_o), b, b_h = (np.split(w, 4) for w in weights)
    h, c = state
    i = sigmoid(W_i @ x + b[0] + U_i @ h + b_h[0])
    f = sigmoid(W_f @ x + b[1] + U_f @ h + b_h[1])
    g = np.tanh(W_g @ x + b[2] + U_g @ h + b_h[2])
    o = sigmoid(W_o @ x + b[3] + U_o @ h + b_h[3])
    c = f * c + i * g
    return o * np.tanh(c), c


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def walk(cell: Cell, inputs: Array, weights: Weights) -> Array:
    """The hidden state after each word: (T, E) -> (T, D)."""
    start = np.zeros(weights[1].shape[1])
    state: State = (start, start)
    hidden_states = []
    for x in inputs:
        state = cell(x, state, weights)
        hidden_states.append(state[0])
    return np.stack(hidden_states)


def layer_weights(module: nn.Module, layer: int) -> Weights:
    W, U, b, b_h = (
        module.get_parameter(f"{kind}_l{layer}").detach().double().numpy()
        for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    return W, U, b, b_h


def texts(dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """Embeddings of three texts, noise at the padding too, and their mask."""
    embeddings = torch.randn(3, max(LENGTHS), 5, dtype=dtype)
    return embeddings, torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS).unsqueeze(1)


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize(("dtype", "tolerance"), TOLERANCES)
@pytest.mark.parametrize(("name", "cell"), [("rnn", elman), ("gru", gru), ("lstm", lstm)])
@torch.inference_mode()
def test_encoder_computes_its_formulas(
    name: str, cell: Cell, dtype: torch.dtype, tolerance: float
) -> None:
    architecture = ARCHITECTURES[name]
    encoder = architecture.encoder(architecture.config(**SIZES)).to(dtype)
    embeddings, mask = texts(dtype)
    hidden_states = encoder(embeddings, mask)
    for row, length in enumerate(LENGTHS):
        expected = embeddings[row, :length].double().numpy()
        for layer in range(2):
            expected = walk(cell, expected, layer_weights(encoder.get_submodule(name), layer))
        np.testing.assert_allclose(hidden_states[row, :length], expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), TOLERANCES)
@torch.inference_mode()
def test_bilstm_starts_backwards_at_the_last_real_token(
    dtype: torch.dtype, tolerance: float
) -> None:
    encoder = BiLSTMEncoder(BiLSTMConfig(**SIZES)).to(dtype)
    embeddings, mask = texts(dtype)
    hidden_states = encoder(embeddings, mask)
    for row, length in enumerate(LENGTHS):
        expected = embeddings[row, :length].double().numpy()
        for rightward, leftward in zip(encoder.rightward, encoder.leftward, strict=True):
            seen = walk(lstm, expected, layer_weights(rightward, 0))
            to_come = walk(lstm, expected[::-1], layer_weights(leftward, 0))[::-1]
            expected = np.concatenate((seen, to_come), axis=1)
        np.testing.assert_allclose(hidden_states[row, :length], expected, rtol=0, atol=tolerance)


@torch.inference_mode()
def test_bilstm_is_torchs_own_where_nothing_is_padded() -> None:
    encoder = BiLSTMEncoder(BiLSTMConfig(**SIZES))
    theirs = nn.LSTM(**SIZES, batch_first=True, bidirectional=True)
    theirs.load_state_dict(
        {
            name.replace("_l0", f"_l{layer}") + suffix: tensor
            for direction, suffix in ((encoder.rightward, ""), (encoder.leftward, "_reverse"))
            for layer, module in enumerate(direction)
            for name, tensor in module.state_dict().items()
        }
    )
    embeddings = torch.randn(3, 7, 5)
    ours = encoder(embeddings, torch.ones(3, 7, dtype=torch.bool))
    np.testing.assert_allclose(ours, theirs(embeddings)[0], rtol=0, atol=1e-6)


def test_rnn_starts_with_orthogonal_recurrence() -> None:
    encoder = RNNEncoder(RNNConfig(**SIZES))
    for layer in range(2):
        U = encoder.rnn.get_parameter(f"weight_hh_l{layer}").detach()
        np.testing.assert_allclose(U @ U.T, np.eye(4), rtol=0, atol=1e-6)


@torch.inference_mode()
def test_rnn_has_the_shapes_everyone_learns_first() -> None:
    encoder = RNNEncoder(RNNConfig(input_size=10, hidden_size=20, num_layers=1))
    theirs = nn.RNN(10, 20, batch_first=True)
    theirs.load_state_dict(encoder.rnn.state_dict())
    inputs, mask = torch.randn(2, 5, 10), torch.ones(2, 5, dtype=torch.bool)
    hidden_states, last_state = theirs(inputs)
    assert hidden_states.shape == (2, 5, 20)
    assert last_state.shape == (1, 2, 20)
    ours = encoder(inputs, mask)
    assert torch.equal(ours, hidden_states)
    assert torch.equal(pooling.last(ours, mask), last_state[0])


@pytest.mark.parametrize("length", [1, 10, 1000])
def test_rnn_layer_has_the_weights_known_on_paper(length: int) -> None:
    encoder = RNNEncoder(RNNConfig(input_size=100, hidden_size=128, num_layers=1))
    matrices = sum(weight.numel() for weight in encoder.parameters() if weight.ndim == 2)
    assert matrices == 100 * 128 + 128 * 128 == 29_184
    assert encoder.flops(length) == 2 * length * matrices  # each is used once a word
