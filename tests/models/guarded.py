"""Runs an encoder's native call where what it reads and writes ends at a page nobody may touch.

Tables of rotations, weights and starts aside.
"""

from __future__ import annotations

import ctypes
import math
import mmap
from unittest.mock import patch

import torch
from torch import Tensor

from models.attending import AttendingEncoder
from models.line import Line
from models.minilm import MiniLMConfig, MiniLMEncoder
from models.stack import POOLINGS, Stack
from models.transformer import TransformerConfig, TransformerEncoder

LIBC = ctypes.CDLL(None, use_errno=True)
ALIGNED = 64  # what a native call wants of its memory


def guarded(*shape: int, dtype: torch.dtype) -> Tensor:
    """Memory at the end of a page, before one that may be neither read nor written."""
    size = max(math.prod(shape) * dtype.itemsize, 1)
    pages = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
    memory = mmap.mmap(-1, pages + mmap.PAGESIZE)
    guard = ctypes.addressof(ctypes.c_char.from_buffer(memory)) + pages
    if LIBC.mprotect(ctypes.c_void_p(guard), ctypes.c_size_t(mmap.PAGESIZE), 0):
        raise OSError(ctypes.get_errno(), "mprotect")
    offset = pages - -(-size // ALIGNED) * ALIGNED
    return torch.frombuffer(memory, dtype=dtype, count=math.prod(shape), offset=offset).view(shape)


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


@torch.inference_mode()
def main() -> None:
    for stack in stacks():
        for lengths in ((1,), (3, 1), (17,), (33, 2), (130, 31), (512, 1), (260, 512)):
            line = Line.of(torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1))
            embeddings = guarded(line.count, stack.input_size, dtype=torch.bfloat16)
            torch.nn.init.normal_(embeddings)
            table = guarded(9, stack.input_size, dtype=torch.float16)
            torch.nn.init.normal_(table)
            ids = guarded(line.count, dtype=torch.int64).fill_(8)
            for threads in (1, 2, 5):
                torch.set_num_threads(threads)
                with patch.object(torch, "empty", guarded):
                    states = stack(embeddings, line)
                    pooled = [stack.summarize(ids, table, how, line) for how in POOLINGS]
                assert all(found.isfinite().all() for found in (states, *pooled))


if __name__ == "__main__":
    main()
