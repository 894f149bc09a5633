"""The image on a real Docker engine, over a base made of Debian's packages."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.launch import eventually, without
from tests.real.engine import CONFINED, Container, Engine
from tests.real.stack import COMPOSE
from tests.service.http import REVIEW, TIMEOUT_SECONDS, post, sample
from tests.service.test_lifecycle import answered, in_flight

pytestmark = pytest.mark.real

CPU, CUDA = "lockstep:cpu", "lockstep:cuda"
SIZE_LIMIT_BYTES = 1_300_000_000
MODELS = ("lstm", "transformer")
# What installs or compiles: as a program and as a module.
TOOLS = """
import importlib.util, shutil
programs = ["pip", "pip3", "gcc", "cc", "g++", "ld", "make", "protoc", "cargo"]
modules = ["pip", "setuptools", "wheel", "ensurepip"]
print([name for name in programs if shutil.which(name)],
      [name for name in modules if importlib.util.find_spec(name)])
"""
# Modules of the worker and of an API process that each start would compile anew.
UNCOMPILED = """
import pathlib, sys
import cli.main, cli.serve, service.server, service.engine.compute
files = [getattr(module, "__cached__", None) for module in list(sys.modules.values())]
files = [pathlib.Path(file) for file in files if isinstance(file, str)]
print(len(files) > 1000, [str(file) for file in files if not file.exists()])
"""


@pytest.fixture(scope="module")
def container(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """The service in a container, ready, for all tests that do it no harm.

    It has two API processes: they write the metrics that they share, where it may write so little.
    """
    log = tmp_path_factory.mktemp("container") / "log"
    with Container(engine, CPU, log, models=",".join(MODELS), api_processes=2) as running:
        yield running


def test_engine_leaves_nothing_behind(tmp_path: Path) -> None:
    with Engine(tmp_path / "log", cache=tmp_path / "cache") as own:
        name = Path(own.facts["NETNS"]).name
        assert name in subprocess.check_output(["iptables-save"], text=True)
    assert not list(Path("/tmp").glob(f"{name}*"))
    assert not Path(own.facts["NETNS"]).exists()
    assert not Path(f"/sys/class/net/{name}").exists()
    left = subprocess.check_output(["iptables-save"], text=True)
    assert name not in left
    assert own.address.rpartition(".")[0] not in left


def test_container_becomes_healthy(container: Container) -> None:
    eventually(lambda: container.health() == "healthy")


@pytest.mark.parametrize("model", MODELS)
def test_container_classifies(container: Container, model: str) -> None:
    reply = post(container, inputs=REVIEW, model=model)
    assert reply.status_code == 200
    assert reply.json()["results"][0]["label"] == "positive"
    assert reply.json()["timing"]["device"] == "cpu"


def test_container_counts_every_request(container: Container) -> None:
    series = 'lockstep_request_duration_seconds_count{code="200",model="lstm",route="/v1/classify"}'
    before = sample(container, series)
    for _ in range(10):
        post(container, inputs=REVIEW, model="lstm")
    assert sample(container, series) == before + 10


def test_container_has_no_privileges(container: Container) -> None:
    status = container.python("print(open('/proc/1/status').read())")
    facts = {
        name: value.split() for name, _, value in (s.partition(":") for s in status.splitlines())
    }
    assert "0" not in facts["Uid"] + facts["Gid"]
    assert {int(facts[name][0], 16) for name in ("CapPrm", "CapEff", "CapBnd")} == {0}
    assert facts["NoNewPrivs"] == ["1"]


def test_image_has_no_build_tools(container: Container) -> None:
    assert container.python(TOOLS) == "[] []"


def test_image_leaves_nothing_to_compile(container: Container) -> None:
    assert container.python(UNCOMPILED) == "True []"


def test_image_is_small(engine: Engine, container: Container) -> None:
    torch = container.python("import torch; print(torch.__version__)")
    if "+cpu" not in torch:
        without(f"{torch} isn't a CPU build: name an index that has one, make real TORCH_INDEX=…")
    size = engine.docker("image", "inspect", "--format", "{{.Size}}", CPU)
    assert int(size) < SIZE_LIMIT_BYTES


def test_image_runs_other_verbs(engine: Engine) -> None:
    run = ("run", "--rm", "--network", "none", *CONFINED, CPU)
    assert engine.docker(*run, "classify", REVIEW, "--model", "lstm").startswith("positive")


def test_stop_answers_requests_in_flight(engine: Engine, tmp_path: Path) -> None:
    patient = {"threads": 1, "request_timeout_ms": 600_000, "drain_timeout_ms": 600_000}
    with Container(engine, CPU, tmp_path / "log", models="lstm", **patient) as own:
        threads = in_flight(own, 3)
        engine.docker("stop", "--time", "600", own.name, seconds=700)
        assert [answer.status_code for answer in answered(threads)] == [200, 200, 200]
        assert own.process.wait(TIMEOUT_SECONDS) == 0
        assert "Traceback" not in own.tail()


def test_cuda_image_refuses_to_serve_without_a_gpu(engine: Engine) -> None:
    done = engine.attempt("docker", "run", "--rm", "--tmpfs", "/tmp", *CONFINED, CUDA)
    assert done.returncode == 2
    assert "sees no GPU" in done.stdout + done.stderr


def test_gpu_profile_asks_the_engine_for_a_gpu(engine: Engine) -> None:
    # Beside the stack: under another name, on other ports.
    compose = (COMPOSE, "--project-name", "gpu", "--profile", "gpu")
    try:
        up = ("up", "--detach", "--scale", "lockstep=0", "lockstep-gpu", "prometheus")
        done = engine.attempt(*compose, *up, SERVICE_PORT="8001", PROMETHEUS_PORT="9091")
        assert done.returncode != 0
        assert 'could not select device driver "nvidia" with capabilities: [[gpu]]' in done.stderr
    finally:
        engine.run(*compose, "down", "--volumes")
