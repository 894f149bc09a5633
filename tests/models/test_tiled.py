"""A product in one native call is torch's."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from models.tiled import SIDE, Tiled, lay_out

pytestmark = pytest.mark.usefixtures("way")

SIZES = ((32, 32), (48, 80), (384, 64), (400, 48), (7, 3), (864, 64), (1056, 32))


@pytest.mark.parametrize("count", [1, 2, 11, 12, 13, 31, 33, 97, 300])
@pytest.mark.parametrize(("inputs", "outputs"), SIZES)
@torch.inference_mode()
def test_product_is_torchs(count: int, inputs: int, outputs: int, threads: int) -> None:
    weight, bias = torch.randn(outputs, inputs).bfloat16(), torch.randn(outputs).bfloat16()
    rows = torch.randn(count, inputs).bfloat16()
    product = Tiled(weight, bias)
    found = product(rows)
    assert found.shape == (count, outputs + -outputs % SIDE)
    expected = F.linear(rows.float(), weight.float(), bias.float())
    torch.testing.assert_close(found[:, :outputs].float(), expected, rtol=0.008, atol=0.01)
    assert not found[:, outputs:].any()
    for some in (1, 2, 5):
        torch.set_num_threads(some)
        assert torch.equal(product(rows), found), "to the bit"


def test_rows_need_not_lie_together() -> None:
    product = Tiled(torch.eye(32).bfloat16(), torch.zeros(32))
    rows = torch.randn(32, 5).bfloat16()
    assert torch.equal(product(rows.T), rows.T)


def test_tiles_hold_pairs_of_inputs_by_outputs() -> None:
    weight = torch.arange(64 * 96).view(64, 96)
    tiles = lay_out(weight)
    assert tiles.is_contiguous()
    for output, input_ in ((0, 0), (1, 0), (17, 5), (40, 95), (63, 33)):
        place = tiles[output // 32, input_ // 32, output % 32 // 16]
        assert place[input_ % 32 // 2, output % 16, input_ % 2] == weight[output, input_]
