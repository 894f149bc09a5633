"""Runs native calls where what it reads and writes ends at a page nobody may touch.

Tables of rotations, weights, ids, starts and logits aside. The argument is the way it multiplies.
"""

from __future__ import annotations

import ctypes
import math
import mmap
import sys
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models import native
from models.attending import AttendingEncoder
from models.bilstm import BiLSTMConfig, BiLSTMEncoder
from models.gru import GRUConfig, GRUEncoder
from models.line import Line
from models.lstm import LSTMConfig, LSTMEncoder
from models.minilm import MiniLMConfig, MiniLMEncoder
from models.pooling import Pooling, pooled_size
from models.ragged_layers import RaggedLayers
from models.reader import POOLINGS, Reader
from models.rnn import RNNConfig, RNNEncoder
from models.stack import Stack
from models.transformer import TransformerConfig, TransformerEncoder

# Of the second row, two threads or five may each have whole texts; of the third, one has more than
# it takes at a time, be it of texts or of one alone.
TEXTS = (
    *((1,), (3, 1), (17,), (33, 2), (130, 31), (512, 1), (260, 512)),
    *((200, 200), (60,) * 5, (512, 300, 512), (1,) * 700, (40, 30, 50, 400, 400, 120)),
    *((1,) * 1280, (1,) * 1400, (400, 300, 400), (700, 20, 650), (1300, 40)),
)
LIBC = ctypes.CDLL(None, use_errno=True)
ALIGNED = 64  # what a native call wants of its memory


def guarded(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Memory at the end of a page, before one that may be neither read nor written."""
    size = max(math.prod(shape) * dtype.itemsize, 1)
    pages = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
    memory = mmap.mmap(-1, pages + mmap.PAGESIZE)
    guard = ctypes.addressof(ctypes.c_char.from_buffer(memory)) + pages
    if LIBC.mprotect(ctypes.c_void_p(guard), ctypes.c_size_t(mmap.PAGESIZE), 0):
        raise OSError(ctypes.get_errno(), "mprotect")
    offset = pages - -(-size // ALIGNED) * ALIGNED
    return torch.frombuffer(memory, dtype=dtype, count=math.prod(shape), offset=offset).view(shape)


def fresh(size: int) -> Tensor:
    return guarded(size, dtype=torch.uint8)


def stacks() -> list[Stack]:
    transformer = TransformerConfig(input_size=32, d_model=64, num_heads=2, d_ff=96, num_layers=2)
    minilm = MiniLMConfig(input_size=96, num_heads=1, d_ff=64, num_layers=2)
    encoders: list[AttendingEncoder] = [TransformerEncoder(transformer), MiniLMEncoder(minilm)]
    found = []
    for encoder in encoders:
        parts = encoder.bfloat16().parts()
        assert parts is not None
        found.append(Stack(parts))
    return found


def reader(stack: Stack, table: Tensor, pooling: Pooling) -> Reader:
    return Reader(
        stack, table, pooling, nn.Linear(pooled_size(pooling, stack.width), 3), stack.longest
    )


@torch.inference_mode()
def main() -> None:
    way = native.Way[sys.argv[1]]
    with patch.object(native, "way", lambda: way):
        made = stacks()
    for stack in made:
        for lengths in TEXTS:
            if max(lengths) > (stack.longest or math.inf):
                continue
            embeddings = guarded(sum(lengths), stack.input_size, dtype=torch.bfloat16)
            torch.nn.init.normal_(embeddings)
            table = guarded(9, stack.input_size, dtype=torch.float16)
            torch.nn.init.normal_(table)
            line = Line.of([[8] * length for length in lengths])
            readers = [reader(stack, table, how) for how in POOLINGS]
            for threads in (1, 2, 5):
                torch.set_num_threads(threads)
                with patch.object(torch, "empty", guarded), patch.object(stack, "_memory", fresh):
                    states = stack(embeddings, lengths)
                    read = [ours(line) for ours in readers]
                assert states.isfinite().all()
                assert torch.tensor(read).isfinite().all()
    with patch.object(native, "way", lambda: way):
        read_by_recurrences()


def read_by_recurrences() -> None:
    """Widths of which no tile is full."""
    table = guarded(9, 48, dtype=torch.float16)
    torch.nn.init.normal_(table)
    encoders = (
        LSTMEncoder(LSTMConfig(input_size=48, hidden_size=80)),
        BiLSTMEncoder(BiLSTMConfig(input_size=48, hidden_size=48)),
        GRUEncoder(GRUConfig(input_size=48, hidden_size=16)),
        RNNEncoder(RNNConfig(input_size=48, hidden_size=48)),
    )
    for encoder in encoders:
        encoder.bfloat16().pack()
        layers = RaggedLayers(encoder.native, 48, encoder.output_size)
        for how in POOLINGS:
            size = pooled_size(how, encoder.output_size)
            ours = Reader(layers, table, how, nn.Linear(size, 3), None)
            for lengths in (*TEXTS[:9], (3,) * 40, (1,) * 700):
                line = Line.of([[8] * length for length in lengths])
                for threads in (1, 2):
                    torch.set_num_threads(threads)
                    with (
                        patch.object(torch, "empty", guarded),
                        patch.object(Tensor, "new_empty", fresh_like),
                        patch.object(Tensor, "new_zeros", zeros_like),
                        patch.object(F, "pad", padded),
                    ):
                        read = ours(line)
                    assert torch.tensor(read).isfinite().all()


def padded(rows: Tensor, by: tuple[int, int]) -> Tensor:
    found = guarded(len(rows), rows.shape[1] + by[1], dtype=rows.dtype)
    found[:, : rows.shape[1]] = rows
    found[:, rows.shape[1] :] = 0
    return found


def zeros_like(tensor: Tensor, *shape: int) -> Tensor:
    return guarded(*shape, dtype=tensor.dtype).zero_()


def fresh_like(tensor: Tensor, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
    return guarded(*shape, dtype=dtype or tensor.dtype)


if __name__ == "__main__":
    main()
