import pytest
import torch

from models import native
from models.native import Way
from tests.models.native import WAYS, need_encoder
from tests.small import weights as weights


@pytest.fixture(params=WAYS, ids=lambda way: way.name.lower())
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Way:
    """Each way that this processor has to run all native calls, as if it were the fastest."""
    torch.manual_seed(0)
    chosen: Way = request.param
    need_encoder(chosen)
    monkeypatch.setattr(native, "way", lambda: chosen)
    return chosen
