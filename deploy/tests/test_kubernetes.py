"""The Kubernetes manifests: valid by Kubernetes' own schemas, whole, and as closed as they say."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from django.core.management import get_commands

from assistant_site.tests.test_configuration_doc import settings_read
from deploy.tests.tools import PROJECT, tool

FOLDER = PROJECT / "deploy" / "kubernetes"
BASE, EXAMPLE = FOLDER / "base", FOLDER / "example"


def objects(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """Those of the files that the folder's kustomization names."""
    found = {}
    for name in yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]:
        if name.endswith(".yaml"):
            for each in yaml.safe_load_all((folder / name).read_text()):
                found[each["kind"], each["metadata"]["name"]] = each
    return found


OBJECTS = objects(BASE)


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    for (kind, name), each in OBJECTS.items():
        if kind in ("Deployment", "Job"):
            yield name, each["spec"]["template"]


def test_the_schemas_of_kubernetes_allow_every_manifest() -> None:
    files = [file for file in sorted(FOLDER.rglob("*.yaml")) if file.name != "kustomization.yaml"]
    assert len(files) > 8
    checked = subprocess.run([tool("kubernetes-validate"), "--strict", *files], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_file_is_named_and_every_name_is_a_file() -> None:
    for folder in (BASE, EXAMPLE):
        named = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
        there = {file.name for file in folder.glob("*.yaml")} - {"kustomization.yaml"}
        assert {name for name in named if name.endswith(".yaml")} == there
        assert all((folder / name).exists() for name in named)


def test_every_pod_keeps_to_the_restricted_standard() -> None:
    for name, template in pods():
        spec = template["spec"]
        assert spec["automountServiceAccountToken"] is False, name
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["runAsUser"] == 10001, name
        assert spec["securityContext"]["seccompProfile"]["type"] in ("RuntimeDefault", "Localhost"), name
        for container in spec["containers"] + spec.get("initContainers", []):
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"] is True, name
            assert context["allowPrivilegeEscalation"] is False, name
            assert context["capabilities"] == {"drop": ["ALL"]}, name
            assert container["resources"]["limits"]["memory"], name
            mounted = {mount["name"] for mount in container["volumeMounts"]}
            assert mounted <= {volume["name"] for volume in spec["volumes"]}, name


def test_every_command_and_every_setting_is_one_of_ours() -> None:
    for name, template in pods():
        for container in template["spec"]["containers"] + template["spec"].get("initContainers", []):
            command = container["command"]
            assert command[:2] == ["python", "-m"] or command[2] in get_commands(), name
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                if probe in container:
                    module = container[probe]["exec"]["command"][2]
                    assert (PROJECT / module.replace(".", "/")).with_suffix(".py").is_file(), (name, module)
    known = {name for setting in settings_read().values() for name in (setting.name, *setting.aliases)}
    told = set(OBJECTS["ConfigMap", "holdfast"]["data"])
    patch = yaml.safe_load(yaml.safe_load((EXAMPLE / "kustomization.yaml").read_text())["patches"][0]["patch"])
    assert told | set(patch["data"]) <= known


def test_selectors_find_the_pods_that_they_are_for() -> None:
    labels = {name: template["metadata"]["labels"] for name, template in pods()}
    for (kind, name), each in OBJECTS.items():
        spec = each.get("spec", {})
        if kind == "Service":
            assert spec["selector"] == labels[name]
        elif kind in ("Deployment", "PodDisruptionBudget"):
            assert spec["selector"]["matchLabels"] == labels[name]
        elif kind == "HorizontalPodAutoscaler":
            target = spec["scaleTargetRef"]
            assert (
                "replicas" not in OBJECTS[target["kind"], target["name"]]["spec"]
            )  # it would be set back at each apply
    ingress = objects(EXAMPLE)["Ingress", "holdfast"]["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]
    assert ingress == {"name": "holdfast-web", "port": {"name": "http"}}


def test_no_secret_is_in_a_manifest_and_the_sandbox_gets_none_but_its_token() -> None:
    assert not [kind for kind, _ in OBJECTS if kind == "Secret"]
    sandbox = OBJECTS["Deployment", "holdfast-sandbox"]["spec"]["template"]["spec"]["containers"][0]
    assert "envFrom" not in sandbox
    referred = [each["valueFrom"]["secretKeyRef"]["key"] for each in sandbox["env"] if "valueFrom" in each]
    assert referred == ["SANDBOX_TOKEN"]


def test_pods_that_no_policy_opens_are_closed_and_the_sandbox_reaches_nobody() -> None:
    policies = {name: each["spec"] for (kind, name), each in OBJECTS.items() if kind == "NetworkPolicy"}
    assert policies["holdfast"]["ingress"] == policies["holdfast"]["egress"] == []
    assert set(policies["holdfast"]["policyTypes"]) == {"Ingress", "Egress"}
    assert policies["holdfast-sandbox"]["egress"] == []
    outwards = policies["holdfast-outwards"]["podSelector"]["matchExpressions"][1]["values"]
    assert set(outwards) == {"web", "worker", "ingestion", "migrate"}


def test_streams_are_not_buffered_and_may_be_silent_for_a_runs_time() -> None:
    annotations = objects(EXAMPLE)["Ingress", "holdfast"]["metadata"]["annotations"]
    assert annotations["nginx.ingress.kubernetes.io/proxy-buffering"] == "off"
    assert int(annotations["nginx.ingress.kubernetes.io/proxy-read-timeout"]) >= 600  # RUN_SECONDS
