"""deploy/kubernetes: the manifests refer to each other, and agree with the hub's settings, limits and metrics."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from hub.config.settings import Settings, load, unknown_variables
from hub.process.serving import GRACE
from hub.telemetry.measures import MEASURES
from hub.telemetry.probe import PATIENCE
from tests.deploy.image import instructions
from tests.test_house import PROJECT

FOLDER = Path(__file__).parents[2] / "deploy/kubernetes"
KUSTOMIZATION: dict[str, Any] = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
OBJECTS: dict[tuple[str, str], dict[str, Any]] = {
    (each["kind"], each["metadata"]["name"]): each
    for file in KUSTOMIZATION["resources"]
    for each in yaml.safe_load_all((FOLDER / file).read_text())
}
DEPLOYMENTS = ["plancast-hub", "plancast-worker"]
VARIABLES: dict[str, str] = OBJECTS["ConfigMap", "plancast"]["data"]
SECRETS = {
    "PLANCAST_AUTH_SECRET": "correct horse battery staple, and then some",
    "PLANCAST_LOG": "redis://:password@redis.example.internal:6379",
    "PLANCAST_ENGINE_DB": "postgresql://plancast:password@postgres.example.internal/plancast",
}


def pod(name: str) -> dict[str, Any]:
    found: dict[str, Any] = OBJECTS["Deployment", name]["spec"]["template"]["spec"]
    return found


def container(name: str) -> dict[str, Any]:
    [found] = pod(name)["containers"]
    return dict(found)


def seconds(probe: dict[str, Any]) -> int:
    """For how long the probe must fail to have a consequence."""
    return int(probe["periodSeconds"]) * int(probe["failureThreshold"])


def test_every_file_is_used_and_no_object_names_a_namespace() -> None:
    files = {path.name for path in FOLDER.iterdir()} - {"kustomization.yaml", "prometheus-adapter.yaml"}
    assert set(KUSTOMIZATION["resources"]) == files
    assert [key for key, each in OBJECTS.items() if "namespace" in each["metadata"]] == []
    assert KUSTOMIZATION["images"][0]["newTag"] == PROJECT["project"]["version"]


@pytest.mark.parametrize(
    ("kind", "name"), [key for key in OBJECTS if key[0] in ("Service", "PodDisruptionBudget", "NetworkPolicy")]
)
def test_selectors_find_the_pods_they_are_for(kind: str, name: str) -> None:
    spec = OBJECTS[kind, name]["spec"]
    selector = spec.get("podSelector", spec.get("selector", {}))
    wanted = selector.get("matchLabels", selector)
    labels = {each: OBJECTS["Deployment", each]["spec"]["template"]["metadata"]["labels"] for each in DEPLOYMENTS}
    found = [each for each, own in labels.items() if wanted and wanted.items() <= own.items()]
    assert found == {"plancast-outgoing": DEPLOYMENTS, "plancast-nothing": []}.get(name, [name])


def test_the_settings_are_valid_and_secrets_are_apart() -> None:
    variables = VARIABLES | SECRETS
    assert unknown_variables(variables) == {}
    assert load(variables).engine == "remote"
    assert SECRETS.keys() & VARIABLES.keys() == set()
    documented = set(re.findall(r"--from-literal=(\w+)=", (FOLDER / "kustomization.yaml").read_text()))
    assert documented == set(SECRETS)
    references = {
        name: [next(iter(each.values()))["name"] for each in container(name)["envFrom"]] for name in DEPLOYMENTS
    }
    assert references == {
        "plancast-hub": ["plancast", "plancast", "plancast-auth"],
        "plancast-worker": ["plancast", "plancast"],
    }


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_pods_are_contained(name: str) -> None:
    user, group = map(int, next(each.text for each in instructions(None) if each.word == "USER").split(":"))
    security, own = pod(name)["securityContext"], container(name)["securityContext"]
    assert security["runAsNonRoot"] is True
    assert (security["runAsUser"], security["runAsGroup"]) == (user, group)
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert own == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert [mount["mountPath"] for mount in container(name)["volumeMounts"]] == [VARIABLES["HOME"]]
    assert pod(name)["automountServiceAccountToken"] is False
    assert pod(name)["enableServiceLinks"] is False  # a Service's variables look like settings


def test_a_hub_has_time_to_drain() -> None:
    hub = container("plancast-hub")
    command = hub["lifecycle"]["preStop"]["exec"]["command"]
    assert command[0] == "sleep"
    drain = load(VARIABLES | SECRETS).drain_seconds
    assert pod("plancast-hub")["terminationGracePeriodSeconds"] >= int(command[1]) + drain + GRACE + 20


def test_a_hub_is_restarted_only_when_it_does_not_respond() -> None:
    hub = container("plancast-hub")
    assert hub["startupProbe"]["httpGet"]["path"] == hub["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert hub["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert hub["readinessProbe"]["timeoutSeconds"] > PATIENCE
    assert seconds(hub["readinessProbe"]) < seconds(hub["livenessProbe"])
    assert seconds(hub["startupProbe"]) >= 60
    assert hub["ports"] == [{"name": "http", "containerPort": Settings().port}]


def test_a_worker_is_restarted_only_when_its_event_loop_is_stuck() -> None:
    worker = container("plancast-worker")
    variables = {each["name"]: each["value"] for each in worker["env"]}
    assert unknown_variables(variables) == {}
    settings = load(variables)
    [port] = worker["ports"]
    assert (settings.probe_host, settings.probe_port) == ("0.0.0.0", port["containerPort"])
    probes = [worker[name] for name in ("startupProbe", "livenessProbe", "readinessProbe")]
    assert [probe["httpGet"]["path"] for probe in probes] == ["/livez", "/livez", "/readyz"]
    assert {probe["httpGet"]["port"] for probe in probes} == {port["name"]}
    assert worker["readinessProbe"]["timeoutSeconds"] > PATIENCE
    assert seconds(worker["livenessProbe"]) >= 300
    annotations = OBJECTS["Deployment", "plancast-worker"]["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == str(settings.probe_port)
    [rule] = OBJECTS["NetworkPolicy", "plancast-worker"]["spec"]["ingress"]
    assert [each["port"] for each in rule["ports"]] == [port["name"]]


def test_the_autoscaler_uses_a_metric_that_hubs_export() -> None:
    spec = OBJECTS["HorizontalPodAutoscaler", "plancast-hub"]["spec"]
    assert spec["scaleTargetRef"]["name"] == "plancast-hub"
    assert "replicas" not in OBJECTS["Deployment", "plancast-hub"]["spec"]
    [metric] = [each["pods"] for each in spec["metrics"] if each["type"] == "Pods"]
    [rule] = yaml.safe_load((FOLDER / "prometheus-adapter.yaml").read_text())["rules"]["custom"]
    assert metric["metric"]["name"] == rule["name"]["as"]
    assert rule["seriesQuery"].partition("{")[0] in {measure.name for measure in MEASURES}
    limit = load(VARIABLES | SECRETS).max_connections
    assert int(metric["target"]["averageValue"]) == limit // 2
    assert spec["minReplicas"] >= 2


def test_the_ingress_is_as_patient_as_nginx_and_keeps_metrics_inside() -> None:
    annotations = OBJECTS["Ingress", "plancast"]["metadata"]["annotations"]
    conf = (FOLDER / "../nginx.conf").read_text()
    for name in ("proxy_read_timeout", "proxy_connect_timeout"):
        [value] = re.findall(rf"{name} (\d+)s;", conf)
        key = name.replace("_", "-")
        assert annotations[f"nginx.ingress.kubernetes.io/{key}"] == value
        assert annotations[f"nginx.org/{key}"] == f"{value}s"
    [body] = re.findall(r"client_max_body_size (\w+);", conf)
    assert annotations["nginx.ingress.kubernetes.io/proxy-body-size"] == body
    assert annotations["nginx.org/client-max-body-size"] == body
    [rule] = OBJECTS["Ingress", "plancast"]["spec"]["rules"]
    backends = {each["path"]: each["backend"]["service"]["name"] for each in rule["http"]["paths"]}
    assert backends == {"/": "plancast-hub", "/metrics": "plancast-nothing"}
    assert annotations["nginx.org/websocket-services"] == "plancast-hub"
