"""docker/k8s: what it says is valid, and fits the server. No cluster is needed, and none has seen it."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from folders import ROOT
from serving import fake_config

from bert_serving.client.endpoints import Endpoint, checked_endpoints
from bert_serving.server.command_line import ENVIRONMENT_PREFIX
from bert_serving.server.config import ServerConfig
from bert_serving.server.gateway.app import create_app
from bert_serving.server.gateway.backend import Backend
from bert_serving.server.gateway.services import Services
from bert_serving.server.options import get_args_parser
from bert_serving.server.service.children import STOP_TIMEOUT_S
from bert_serving.server.version import __version__

K8S = ROOT / "docker" / "k8s"
README = (K8S / "README.md").read_text("utf-8")
DOCKERFILES = {  # by image; the one with Ray stands on that for GPUs and sets nothing itself
    f"bert-as-service:{__version__}": ROOT / "docker" / "Dockerfile",
    f"bert-as-service-ray:{__version__}": ROOT / "docker" / "Dockerfile.gpu",
}
OLDEST, NEWEST = "1.25", "1.37"
RESTART_S = 15
"""That a child may take to be back after it was found to hang."""

Document = dict[str, Any]


def documents(path: Path) -> list[Document]:
    return list(yaml.safe_load_all(path.read_text()))


FILES = sorted(K8S.glob("*.yaml"))
ALL = [document for path in FILES for document in documents(path)]


def name_of(document: Document) -> str:
    """As kubectl takes it."""
    return f"{document['kind'].lower()}/{document['metadata']['name']}"


def of_kind(kind: str) -> Iterator[Document]:
    return (document for document in ALL if document["kind"] == kind)


def templates(document: Document) -> Iterator[Document]:
    """The Pods that it makes, with metadata and spec."""
    spec = document.get("spec", {})
    if document["kind"] == "Pod":
        yield document
    elif document["kind"] == "RayCluster":
        yield from (group["template"] for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]))
    elif "template" in spec:
        yield spec["template"]


PODS = [template["spec"] for document in ALL for template in templates(document)]
SERVERS = [document for document in ALL if document["kind"] in ("StatefulSet", "Deployment")]


def server_of(document: Document) -> Document:
    """The container that runs the server."""
    (container,) = document["spec"]["template"]["spec"]["containers"]
    return dict(container)


def validated(*checked: Document, version: str = NEWEST) -> subprocess.CompletedProcess[str]:
    """A kind that is not known is no error to this command: what it has passed is on its output."""
    command = [str(Path(sys.executable).with_name("kubernetes-validate")), "--strict", "-k", version, "-"]
    return subprocess.run(command, input=yaml.safe_dump_all(checked), capture_output=True, text=True)


# -- the form -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_every_document_is_valid(version: str) -> None:
    own = [document for document in ALL if document["apiVersion"] != "ray.io/v1"]
    checked = validated(*own, version=version)
    assert checked.returncode == 0, checked.stdout
    assert re.findall(r"passed for resource (\S+) against", checked.stdout) == [name_of(document) for document in own]


def _misspell(document: Document) -> None:
    container = server_of(document)
    container["livenesProbe"] = container.pop("livenessProbe")
    document["spec"]["template"]["spec"]["containers"] = [container]


def _write_a_number_as_text(document: Document) -> None:
    document["spec"]["replicas"] = "two"


def _leave_out_what_is_required(document: Document) -> None:
    del document["spec"]["selector"]


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (_misspell, "'livenesProbe' was unexpected"),
        (_write_a_number_as_text, "spec.replicas: 'two' is not"),
        (_leave_out_what_is_required, "'selector' is a required property"),
    ],
)
def test_what_is_not_valid_is_found(spoil: Any, complaint: str) -> None:
    spoilt = deepcopy(next(of_kind("StatefulSet")))
    spoil(spoilt)
    checked = validated(spoilt)
    assert checked.returncode == 1
    assert complaint in checked.stdout


def test_the_ray_cluster_is_what_kuberay_reads() -> None:
    (cluster,) = of_kind("RayCluster")
    spec = cluster["spec"]
    assert set(spec) == {"rayVersion", "headGroupSpec", "workerGroupSpecs"}
    assert set(spec["headGroupSpec"]) == {"rayStartParams", "template"}
    required = {"groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template"}
    for group in spec["workerGroupSpecs"]:
        assert set(group) == required
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    assert all(isinstance(value, str) for value in spec["headGroupSpec"]["rayStartParams"].values())
    pods = [
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"ray-{number}"}, **template}
        for number, template in enumerate(templates(cluster))
    ]
    checked = validated(*pods)
    assert checked.stdout.count(" passed for ") == len(pods), checked.stdout
    assert f"ray[default]=={spec['rayVersion']}'" in (K8S / "Dockerfile.ray").read_text()


def test_the_image_with_ray_is_sound() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    checked = subprocess.run([hadolint, K8S / "Dockerfile.ray"], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout
    text = (K8S / "Dockerfile.ray").read_text()
    assert f"\nFROM bert-as-service-gpu:{__version__}\n" in text
    assert re.findall(r"^USER (\S+)", text, re.MULTILINE)[-1] == "10001:10001"


# -- the server -----------------------------------------------------------------------------------------------------


def image_environment(container: Document) -> dict[str, str]:
    block = re.search(r"^ENV ((?:.*\\\n)*.*)", DOCKERFILES[container["image"]].read_text(), re.MULTILINE)
    assert block
    return dict(re.findall(r"(\w+)=(\S+)", block[1]))


def environment(container: Document) -> dict[str, str]:
    """What a process in it sees; of what only the cluster knows, some text."""
    return image_environment(container) | {one["name"]: one.get("value", "10.0.0.1") for one in container["env"]}


def options(container: Document, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The server's options in it."""
    with monkeypatch.context() as patch:
        for name, value in environment(container).items():
            patch.setenv(name, value)
        return get_args_parser().parse_args([])


@pytest.mark.parametrize("document", SERVERS, ids=name_of)
def test_environment_ports_and_probes_are_those_of_the_server(
    document: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    container = server_of(document)
    own = {name for name in environment(container) if name.startswith(ENVIRONMENT_PREFIX)}
    known = get_args_parser().options_from_environment
    assert {name.removeprefix(ENVIRONMENT_PREFIX).lower() for name in own} <= known
    given = options(container, monkeypatch)
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"requests": given.port, "answers": given.port_out, "http": given.http_port}
    assert document["spec"]["template"]["metadata"]["annotations"]["prometheus.io/port"] == str(given.http_port)
    app = create_app(Services.of_one(Backend(fake_config(), None), "fake"), fake_config())
    routes = {getattr(route, "path", "") for route in app.routes}
    for probe, path in (("startup", "live"), ("liveness", "live"), ("readiness", "ready")):
        assert container[f"{probe}Probe"]["httpGet"] == {"path": f"/health/{path}", "port": "http"}
        assert f"/health/{path}" in routes


@pytest.mark.parametrize("document", SERVERS, ids=name_of)
def test_it_has_time_to_drain_and_to_mend_itself(document: Document, monkeypatch: pytest.MonkeyPatch) -> None:
    container = server_of(document)
    given = options(container, monkeypatch)
    before = container.get("lifecycle", {"preStop": {"exec": {"command": ["sleep", "0"]}}})
    sleep, wait_s = before["preStop"]["exec"]["command"]
    assert sleep == "sleep"
    grace_s = document["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert grace_s > int(wait_s) + given.drain_timeout + 2 * STOP_TIMEOUT_S  # children are told, and then killed
    liveness = container["livenessProbe"]
    assert liveness["periodSeconds"] * liveness["failureThreshold"] > given.heartbeat_timeout + RESTART_S


@pytest.mark.parametrize("document", SERVERS, ids=name_of)
def test_the_names_of_services_are_not_taken_for_options(document: Document) -> None:
    clashing = {f"{ENVIRONMENT_PREFIX}{field.upper()}" for field in ServerConfig.__dataclass_fields__}
    linked = {f"{one['metadata']['name'].upper().replace('-', '_')}_PORT" for one in of_kind("Service")}
    assert linked & clashing  # so this is needed:
    assert document["spec"]["template"]["spec"]["enableServiceLinks"] is False


@pytest.mark.parametrize("pod", PODS, ids=lambda pod: pod["containers"][0]["name"])
def test_a_pod_has_no_rights_and_can_write_where_it_must(pod: Document) -> None:
    (container,) = pod["containers"]
    assert container["image"] in DOCKERFILES
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    rights = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": True}
    assert container["securityContext"] == rights
    claims = {document["metadata"]["name"] for document in of_kind("PersistentVolumeClaim")}
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    assert {mount["name"] for mount in mounts.values()} == set(volumes)
    for path, mount in mounts.items():
        volume = volumes[mount["name"]]
        if path == "/model":
            assert volume["persistentVolumeClaim"]["claimName"] in claims
            assert mount.get("readOnly", False) == (container["name"] != "copy")
        else:
            assert "emptyDir" in volume
    if container["name"] != "copy":
        assert "/tmp" in mounts
    if container["name"] in ("server", "ray-worker"):  # who prepares a graph, or reads one
        assert image_environment(container)["XDG_CACHE_HOME"] in mounts


# -- who finds whom -------------------------------------------------------------------------------------------------


def test_services_lead_to_their_servers_and_never_spread_zeromq() -> None:
    servers = {document["spec"]["template"]["metadata"]["labels"]["app"]: document for document in SERVERS}
    for service in of_kind("Service"):
        server = servers[service["spec"]["selector"]["app"]]
        ports = {port["name"]: port["containerPort"] for port in server_of(server)["ports"]}
        for port in service["spec"]["ports"]:
            assert port["port"] == ports[port["name"]]
        is_one_address = service["spec"].get("clusterIP") != "None"
        if is_one_address and server["spec"]["replicas"] > 1:
            assert [port["name"] for port in service["spec"]["ports"]] == ["http"]
    for document in SERVERS:
        assert document["spec"]["selector"]["matchLabels"] == document["spec"]["template"]["metadata"]["labels"]


def test_network_policies_let_in_clients_and_nobody_else() -> None:
    labels = [document["spec"]["template"]["metadata"]["labels"] for document in SERVERS]
    (cluster,) = of_kind("RayCluster")
    labels.append({"ray.io/cluster": cluster["metadata"]["name"]})  # KubeRay's own
    policies = list(of_kind("NetworkPolicy"))
    chosen = [policy["spec"]["podSelector"]["matchLabels"] for policy in policies]
    assert sorted(chosen, key=str) == sorted(labels, key=str)
    client = {"podSelector": {"matchLabels": {"bert-serving-client": "true"}}}
    assert "bert-serving-client=true" in README
    for policy in policies:
        for rule in policy["spec"]["ingress"]:
            ports = [port["port"] for port in rule.get("ports", [])]
            if "from" not in rule:
                assert ports == ["http"]  # which asks for a key
            elif client in rule["from"]:
                assert rule["from"] == [client]
                assert ports == ["requests", "answers"]
            else:  # Ray and its server, among each other
                assert all(one["podSelector"]["matchLabels"] in labels for one in rule["from"])


def test_a_ray_worker_finds_model_and_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    (cluster,), (deployment,) = of_kind("RayCluster"), of_kind("Deployment")
    given = options(server_of(deployment), monkeypatch)
    assert given.launcher == "ray"
    assert given.ray_address == f"{cluster['metadata']['name']}-head-svc:6379"
    (group,) = cluster["spec"]["workerGroupSpecs"]
    (container,) = group["template"]["spec"]["containers"]
    assert given.num_worker == group["replicas"] * container["resources"]["limits"]["nvidia.com/gpu"]
    roots = [mount["mountPath"] for mount in container["volumeMounts"]]
    assert any(given.model_dir.startswith(f"{root}/") for root in roots)


def test_it_scales_by_a_metric_that_is_there(http: httpx.Client) -> None:
    (scaler,) = of_kind("HorizontalPodAutoscaler")
    target = scaler["spec"]["scaleTargetRef"]
    assert f"{target['kind'].lower()}/{target['name']}" in map(name_of, ALL)
    (rules,) = of_kind("ConfigMap")
    (rule,) = yaml.safe_load(rules["data"]["config.yaml"])["rules"]
    series = rule["seriesQuery"].split("{")[0]
    assert re.fullmatch(rule["name"]["matches"], series)
    assert rule["name"]["as"] == scaler["spec"]["metrics"][0]["pods"]["metric"]["name"]
    found = set(re.findall(r"^# TYPE (\S+)", http.get("/metrics").text, re.MULTILINE))
    assert series in found
    texts = [README, *(path.read_text() for path in FILES)]
    assert {name for text in texts for name in re.findall(r"\bbert_serving_[a-z_]+", text)} <= found | {"bert_serving"}


# -- README.md ------------------------------------------------------------------------------------------------------


def kubectl_commands() -> Iterator[list[str]]:
    for block in re.findall(r"^```bash\n(.*?)^```", README, re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", "").splitlines():
            command = shlex.split(line)
            if command[0] == "kubectl":
                yield command[1:]
    yield from (shlex.split(inline)[1:] for inline in re.findall(r"`(kubectl [^`]+ [^`]+)`", README))


def test_the_commands_of_the_page_name_what_is_there() -> None:
    names = {name_of(document) for document in ALL}
    applied = set()
    for command in kubectl_commands():
        if "-f" in command:
            applied.add(ROOT / command[command.index("-f") + 1])
        for word in command:
            if re.fullmatch(r"[a-z]+/[a-z-]+", word):
                assert word in names, word
    assert applied == set(FILES)
    (secret,) = (command for command in kubectl_commands() if command[:2] == ["create", "secret"])
    made = {"name": secret[3], "key": secret[4].removeprefix("--from-literal=").split("=")[0]}
    asked = [one["valueFrom"] for server in SERVERS for one in server_of(server)["env"] if "valueFrom" in one]
    assert all(one["secretKeyRef"] == made for one in asked if "secretKeyRef" in one)
    copied = next(command for command in kubectl_commands() if command[0] == "cp")
    folder = f"{copied[2].split(':')[1]}/{Path(copied[1]).name}"
    assert all(environment(server_of(server))["BERT_SERVING_MODEL_DIR"] == folder for server in SERVERS)


def test_the_page_lists_each_file() -> None:
    listed = set(re.findall(r"^\| \[(\S+)\]", README, re.MULTILINE))
    assert listed == {path.name for path in K8S.iterdir() if path.suffix not in (".md", ".dockerignore")}


def test_the_page_names_every_replica_that_there_may_be() -> None:
    (block,) = (text for text in re.findall(r"^```python\n(.*?)^```", README, re.M | re.S) if "BertClient" in text)
    called = re.search(r"endpoints=(.*)\)$", block, re.MULTILINE)
    assert called
    endpoints = checked_endpoints("", 1, 2, eval(called[1]))
    (scaler,), (replicas,) = of_kind("HorizontalPodAutoscaler"), of_kind("StatefulSet")
    ports = {port["name"]: port["containerPort"] for port in server_of(replicas)["ports"]}
    pod, domain = replicas["metadata"]["name"], replicas["spec"]["serviceName"]
    assert endpoints == [
        Endpoint(f"{pod}-{number}.{domain}", ports["requests"], ports["answers"])
        for number in range(scaler["spec"]["maxReplicas"])
    ]
    headless = next(service for service in of_kind("Service") if service["metadata"]["name"] == domain)
    assert headless["spec"]["clusterIP"] == "None"
