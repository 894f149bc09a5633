from __future__ import annotations

import subprocess
import sys

import pytest

from cli.common import WEIGHTS
from cli.main import VERBS, main


def test_unknown_verb_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["juggle"])
    assert caught.value.code == 2
    assert "juggle" in capsys.readouterr().err


def test_help_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    printed = capsys.readouterr().out
    assert all(f"  {verb}" in printed for verb in VERBS)


@pytest.mark.parametrize("verb", sorted(set(VERBS) - {"serve"}))
def test_verb_has_help_without_torch(verb: str) -> None:
    code = (
        f"import sys\nfrom cli.main import main\ntry: main(['{verb}', '--help'])\n"
        "except SystemExit as end: sys.exit(end.code or 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=WEIGHTS.parent, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
