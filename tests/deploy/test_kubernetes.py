"""deploy/kubernetes by the real tools and schemas, and against the service it is to run."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from service.api.app import PATHS
from service.settings import Settings
from tests.launch import ROOT, require
from tests.real.stack import compose_config

FOLDER = ROOT / "deploy" / "kubernetes"
KUBECTL = Path(sys.executable).with_name("kubectl")
OVERLAYS = ("base", "gpu")
KINDS = [
    "Deployment",
    "HorizontalPodAutoscaler",
    "NetworkPolicy",
    "PodDisruptionBudget",
    "Service",
]
VERSIONS = ("1.29", "1.33", "1.37")  # of Kubernetes: what a cluster may be today
LABELS = {"app.kubernetes.io/name": "lockstep"}
METRIC = "lockstep_queue_depth"
DEFAULTS = {name: field.default for name, field in Settings.model_fields.items()}
ENDING_SECONDS = 10  # what a service gets to end in, past its drain


@cache
def rendered(overlay: str) -> dict[str, Any]:
    """Every object by its kind, as ``kubectl apply -k`` would send it."""
    command = [require(str(KUBECTL)), "kustomize", str(FOLDER / overlay)]
    printed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (printed.returncode, printed.stderr) == (0, "")
    return {one["kind"]: one for one in yaml.safe_load_all(printed.stdout)}


def pod(overlay: str) -> dict[str, Any]:
    spec: dict[str, Any] = rendered(overlay)["Deployment"]["spec"]["template"]["spec"]
    return spec


def container(overlay: str) -> dict[str, Any]:
    (one,) = pod(overlay)["containers"]
    found: dict[str, Any] = one
    return found


def probes(overlay: str) -> Iterator[dict[str, Any]]:
    return (container(overlay)[f"{kind}Probe"] for kind in ("startup", "readiness", "liveness"))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_objects_are_what_kubernetes_takes(overlay: str, version: str) -> None:
    objects = rendered(overlay)
    assert sorted(objects) == KINDS
    for one in objects.values():
        kubernetes_validate.validate(one, version, strict=True)


def test_validation_finds_a_field_that_does_not_exist() -> None:
    wrong = rendered("base")["Service"] | {"specs": {}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


def test_everything_is_about_the_same_pods() -> None:
    found = rendered("base")
    deployment = found["Deployment"]["spec"]
    assert deployment["template"]["metadata"]["labels"] == LABELS
    assert deployment["selector"]["matchLabels"] == LABELS
    assert found["Service"]["spec"]["selector"] == LABELS
    assert found["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == LABELS
    assert found["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == LABELS
    (spread,) = deployment["template"]["spec"]["topologySpreadConstraints"]
    assert spread["labelSelector"]["matchLabels"] == LABELS
    target = found["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert target == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "lockstep"}
    assert found["Deployment"]["metadata"]["name"] == "lockstep"


def test_port_is_the_one_that_the_service_listens_on() -> None:
    (port,) = container("base")["ports"]
    assert port == {"name": "http", "containerPort": DEFAULTS["port"]}
    assert [probe["httpGet"]["port"] for probe in probes("base")] == ["http"] * 3
    found = rendered("base")
    assert found["Service"]["spec"]["ports"][0]["targetPort"] == "http"
    assert found["NetworkPolicy"]["spec"]["ingress"] == [{"ports": [{"port": "http"}]}]


def test_probes_ask_paths_that_there_are() -> None:
    asked = [probe["httpGet"]["path"] for probe in probes("base")]
    assert asked == ["/health/ready", "/health/ready", "/health/live"]
    assert set(asked) <= set(PATHS)


def test_start_may_take_as_long_as_in_the_image() -> None:
    allowed = re.search(r"--start-period=(\d+)s", (ROOT / "Dockerfile").read_text(encoding="utf-8"))
    assert allowed
    startup = container("base")["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] == int(allowed[1])


def test_liveness_is_slower_to_act_than_readiness() -> None:
    _, readiness, liveness = (
        probe["periodSeconds"] * probe["failureThreshold"] for probe in probes("base")
    )
    assert liveness > 10 * readiness


def test_grace_covers_the_stop() -> None:
    command, wait = container("base")["lifecycle"]["preStop"]["exec"]["command"]
    readiness = container("base")["readinessProbe"]
    assert command == "sleep"
    assert int(wait) > readiness["periodSeconds"] * readiness["failureThreshold"]
    stop_seconds = (DEFAULTS["drain_delay_ms"] + DEFAULTS["drain_timeout_ms"]) / 1000
    assert pod("base")["terminationGracePeriodSeconds"] == int(wait) + stop_seconds + ENDING_SECONDS


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_pod_is_confined(overlay: str) -> None:
    user = re.search(r"^USER (\d+):(\d+)$", (ROOT / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    assert user
    assert pod(overlay)["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": int(user[1]),
        "runAsGroup": int(user[2]),
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container(overlay)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
    assert pod(overlay)["automountServiceAccountToken"] is False
    assert rendered(overlay)["NetworkPolicy"]["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert "egress" not in rendered(overlay)["NetworkPolicy"]["spec"]


def test_pod_may_write_what_the_image_writes() -> None:
    (mount,) = container("base")["volumeMounts"]
    (volume,) = pod("base")["volumes"]
    assert mount == {"name": volume["name"], "mountPath": "/tmp"}
    assert volume["emptyDir"]["medium"] == "Memory"
    assert compose_config()["services"]["lockstep"]["tmpfs"] == [mount["mountPath"]]


def test_service_links_leave_settings_alone() -> None:
    """Kubernetes would set LOCKSTEP_PORT to an address, as the Service is called that."""
    assert rendered("base")["Service"]["metadata"]["name"].upper() == "LOCKSTEP"
    assert pod("base")["enableServiceLinks"] is False


def test_variables_are_settings() -> None:
    settings = {f"LOCKSTEP_{name.upper()}" for name in DEFAULTS}
    assert {one["name"] for one in container("base")["env"]} <= settings
    (threads,) = [one for one in container("base")["env"] if one["name"] == "LOCKSTEP_THREADS"]
    cores = {"resource": "requests.cpu", "divisor": "1"}
    assert threads["valueFrom"]["resourceFieldRef"] == cores
    assert container("base")["resources"]["requests"]["cpu"].isdecimal()


def test_a_pod_more_or_less_leaves_one_that_serves() -> None:
    found = rendered("base")
    assert found["Deployment"]["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert found["PodDisruptionBudget"]["spec"]["maxUnavailable"] == 1
    assert found["HorizontalPodAutoscaler"]["spec"]["minReplicas"] > 1
    assert "replicas" not in found["Deployment"]["spec"]  # an update would undo the autoscaler


def test_gpu_overlay_asks_for_one_and_has_the_image_for_it() -> None:
    images = {service["image"] for service in compose_config()["services"].values()}
    assert container("gpu")["image"] == "lockstep:cuda"
    assert {container("base")["image"], container("gpu")["image"]} <= images
    assert container("gpu")["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert "nvidia.com/gpu" not in container("base")["resources"]["limits"]
    update = rendered("gpu")["Deployment"]["spec"]["strategy"]["rollingUpdate"]
    assert update == {"maxSurge": 0, "maxUnavailable": 1}


def test_autoscaler_goes_by_the_queue() -> None:
    (metric,) = rendered("base")["HorizontalPodAutoscaler"]["spec"]["metrics"]
    assert metric["type"] == "Pods"
    assert metric["pods"]["metric"] == {"name": METRIC}
    assert METRIC.removeprefix("lockstep_") in (ROOT / "service/observe/metrics.py").read_text()


def adapter_rule() -> dict[str, Any]:
    (rule,) = yaml.safe_load((FOLDER / "prometheus" / "adapter.yaml").read_text())["rules"]
    found: dict[str, Any] = rule
    return found


def test_adapter_finds_and_names_the_metric() -> None:
    rule = adapter_rule()
    assert rule["seriesQuery"].startswith(f"{METRIC}{{")
    assert rule["name"] == {"matches": METRIC, "as": METRIC}
    scrape = (FOLDER / "prometheus" / "scrape.yaml").read_text()
    for label in rule["resources"]["overrides"]:
        assert f"target_label: {label}" in scrape


def test_adapter_adds_up_a_pods_models(tmp_path: Path) -> None:
    query = adapter_rule()["metricsQuery"]
    for name, value in {
        "Series": METRIC,
        "LabelMatchers": 'namespace="n",pod=~"a|b"',
        "GroupBy": "pod",
    }.items():
        query = query.replace(f"<<.{name}>>", value)
    series = [
        (f'{METRIC}{{namespace="{space}",pod="{name}",model="{model}"}}', values)
        for space, name, model, values in (
            ("n", "a", "lstm", "6x12"),
            ("n", "a", "minilm", "3x12"),
            ("n", "b", "lstm", "0x12"),
            ("other", "a", "lstm", "99x12"),
        )
    ]
    expected = [
        {"labels": f'{{pod="{name}"}}', "value": value} for name, value in (("a", 9), ("b", 0))
    ]
    test = {
        "interval": "5s",
        "input_series": [{"series": name, "values": values} for name, values in series],
        "promql_expr_test": [{"expr": query, "eval_time": "60s", "exp_samples": expected}],
    }
    (tmp_path / "test.yml").write_text(yaml.safe_dump({"tests": [test]}))
    command = [require("promtool"), "test", "rules", str(tmp_path / "test.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_scrape_is_one_that_prometheus_takes(tmp_path: Path) -> None:
    """All but where the pods are found: Debian's Prometheus can't ask Kubernetes."""
    jobs = yaml.safe_load((FOLDER / "prometheus" / "scrape.yaml").read_text())
    assert [job.pop("kubernetes_sd_configs") for job in jobs] == [[{"role": "pod"}]]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump({"scrape_configs": jobs}))
    command = [require("promtool"), "check", "config", str(tmp_path / "prometheus.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_page_states_what_was_validated_and_how_long_a_stop_takes() -> None:
    page = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    assert "Kubernetes {}, {} and {}".format(*VERSIONS) in page.replace("\n", " ")
    assert f"{pod('base')['terminationGracePeriodSeconds']} s in all" in page
