"""The rules behind a pod: what it may do, what it asks for, when it is ready, where it may run."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deployments.clusters.kubernetes.rendering import ClusterFacts
from deployments.clusters.kubernetes.rendering.facts import SHARED_GPUS, find_shared_gpu
from deployments.clusters.kubernetes.rendering.images import pull_policy, real_image
from deployments.clusters.kubernetes.rendering.programs import packages_path
from deployments.clusters.kubernetes.settings import OWN_IMAGES, Toleration
from tests.deployments.clusters.kubernetes.cases import BUNDLED, CASES, S3, SETTINGS, WITH_DRIVER, Case, llm
from tests.deployments.clusters.kubernetes.rendered import document, expand, main_of, objects, pod_of, rendered
from tests.deployments.clusters.kubernetes.tiny_wheel import make_tiny_wheel

QWEN_72B = "Qwen/Qwen2-72B-Instruct"


@pytest.mark.parametrize("name", CASES)
def test_no_pod_has_a_privilege(name: str) -> None:
    pod = pod_of(CASES[name])
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC", "serviceAccountName"} & set(pod)
    assert not any("hostPath" in volume for volume in pod["volumes"])
    for container in (*pod.get("initContainers", ()), *pod["containers"]):
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is security["privileged"] is False
        assert security["capabilities"] == {"drop": ["ALL"]}


def test_slipways_own_images_run_without_root_and_without_a_writable_root() -> None:
    security = main_of(BUNDLED)["securityContext"]
    assert (security["runAsNonRoot"], security["readOnlyRootFilesystem"]) == (True, True)
    assert {"name": "tmp", "mountPath": "/tmp"} in main_of(BUNDLED)["volumeMounts"]


def test_another_image_may_run_as_root_unless_the_administrator_says_no() -> None:
    assert "runAsNonRoot" not in main_of(document())["securityContext"]
    strict = Case(document(), replace(SETTINGS, non_root=True))
    assert main_of(strict)["securityContext"]["runAsNonRoot"] is True


@pytest.mark.parametrize(
    ("named", "real"),
    [
        ("chat-llm-webui:3.0", "kube.local/chat-llm:dev"),
        ("eas-registry-vpc.cn-shanghai.cr.aliyuncs.com/pai-eas/chat-llm-webui:3.0.3", "kube.local/chat-llm:dev"),
        ("chat-llm-webui:3.0-blade", "chat-llm-webui:3.0-blade"),  # another engine is inside
        ("vllm:0.14.0-gpu", "vllm/vllm-openai:v0.14.0"),
        ("vllm/vllm-openai:v0.11.0", "vllm/vllm-openai:v0.11.0"),
        ("team/chat-llm-webui@sha256:00", "kube.local/chat-llm:dev"),
        ("tools:1", "tools:1"),
    ],
)
def test_images_of_recipes_stand_for_real_ones(named: str, real: str) -> None:
    assert real_image(named, OWN_IMAGES) == real


def test_an_administrator_may_name_a_tag() -> None:
    images = {**OWN_IMAGES, "chat-llm-webui:3.0-blade": "registry.example.com/blade:1"}
    assert real_image("registry/chat-llm-webui:3.0-blade", images) == "registry.example.com/blade:1"


def test_only_a_tag_that_moves_is_pulled_each_time() -> None:
    policies = [pull_policy(image) for image in ("a", "a:latest", "r:5000/a", "a:1", "r:5000/a:1", "a@sha256:0")]
    assert policies == ["Always"] * 3 + ["IfNotPresent"] * 3


def test_requests_are_limits_in_every_container_so_that_the_pod_is_guaranteed() -> None:
    pod = pod_of(
        Case(llm("none", "/model_dir") | {"storage": [{"mount_path": "/model_dir", "git": {"repo": "https://x/y"}}]})
    )
    for container in (*pod["initContainers"], *pod["containers"]):
        resources = container["resources"]
        assert resources["requests"] == resources["limits"]
        assert {"cpu", "memory"} <= set(resources["limits"])


def test_best_effort_shares_processors_and_reserves_memory() -> None:
    resources = main_of(document(metadata={"cpu": 1.5, "memory": 512, "qos": "BestEffort"}))["resources"]
    assert resources == {
        "requests": {"cpu": "0", "memory": "512Mi"}, "limits": {"cpu": "1500m", "memory": "512Mi"},
    }  # fmt: skip


def test_what_the_document_does_not_limit_is_not_limited() -> None:
    assert main_of(document())["resources"] == {}
    assert main_of(document(metadata={"gpu": 2}))["resources"]["limits"] == {"nvidia.com/gpu": "2"}


def test_a_part_of_a_gpu_is_asked_for_in_the_clusters_words() -> None:
    wanted = document(metadata={"gpu": 0, "gpu_memory": 6, "gpu_core_percentage": 30})
    words = {
        one.memory: main_of(Case(wanted, facts=ClusterFacts(shared_gpu=one)))["resources"]["limits"]
        for one in SHARED_GPUS
    }
    assert words == {
        "aliyun.com/gpu-mem": {"aliyun.com/gpu-mem": "6", "aliyun.com/gpu-core.percentage": "30"},
        "nvidia.com/gpumem": {"nvidia.com/gpu": "1", "nvidia.com/gpumem": "6144", "nvidia.com/gpucores": "30"},
    }
    assert find_shared_gpu(["cpu", "aliyun.com/gpu-mem"]) == SHARED_GPUS[0]
    assert find_shared_gpu(["cpu", "nvidia.com/gpu"]) is None


def test_shared_memory_is_as_large_as_asked_for_and_otherwise_large_enough() -> None:
    def size(**metadata: Any) -> object:
        return pod_of(document(metadata=metadata))["volumes"][0]["emptyDir"]["sizeLimit"]

    assert (size(), size(shm_size=16), size(shm_size=0.25)) == ("64Gi", "16Gi", "256Mi")


def test_an_instance_type_says_how_much_and_leaves_its_node_some() -> None:
    typed = {"cloud": {"computing": {"instance_type": "ecs.gn7i-c8g1.2xlarge"}}}
    limits = main_of(document(**typed))["resources"]["limits"]
    assert limits == {"cpu": "7500m", "memory": "26624Mi", "nvidia.com/gpu": "1"}
    whole = main_of(document(metadata={"cpu": 8, "memory": 30720, "gpu": 1}, **typed))["resources"]["limits"]
    assert whole == limits, "a whole machine fits no node"
    part = main_of(document(metadata={"cpu": 2, "memory": 4096, "gpu": 0}, **typed))["resources"]["limits"]
    assert part == {"cpu": "2", "memory": "4096Mi"}


def affinity(case: Case) -> list[dict[str, Any]]:
    found = pod_of(case).get("affinity", {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {}}})
    terms = found["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"].get("nodeSelectorTerms", [])
    return [{one["key"]: one["values"] for one in term["matchExpressions"]} for term in terms]


def test_a_gpu_product_is_looked_for_under_the_names_that_nodes_carry() -> None:
    label = SETTINGS.gpu_product_label
    assert affinity(Case(document(metadata={"gpu": 1, "gpu_product": "A10"}))) == [{label: ["NVIDIA-A10"]}]
    assert affinity(Case(document(metadata={"gpu": 1, "gpu_product": "My GPU 9"}))) == [{label: ["My-GPU-9"]}]
    assert affinity(Case(document(metadata={"gpu_product": "A10"}))) == [], "no GPU is asked for"


def test_an_instance_type_is_looked_for_by_label_where_there_is_one() -> None:
    types = {
        "cloud": {"computing": {"instances": [{"type": "ecs.gn7i-c8g1.2xlarge"}, {"type": "ecs.gn7e-c16g1.4xlarge"}]}}
    }
    wanted = document(**types)
    assert affinity(Case(wanted)) == [], "nodes tell nothing"
    by_product = replace(ClusterFacts(), gpu_products=frozenset({"NVIDIA-A10"}))
    (term,) = affinity(Case(wanted, facts=by_product))
    assert term["nvidia.com/gpu.product"][0] == "NVIDIA-A10"
    by_name = Case(wanted, replace(SETTINGS, instance_type_label="pool/type"), by_product)
    assert affinity(by_name) == [{"pool/type": ["ecs.gn7i-c8g1.2xlarge", "ecs.gn7e-c16g1.4xlarge"]}]
    node = pod_of(by_name)["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    assert [one["weight"] for one in node] == [100, 90]


def test_only_instances_with_a_gpu_tolerate_its_taint() -> None:
    assert "tolerations" not in pod_of(document())
    assert pod_of(document(metadata={"gpu": 1}))["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists"}]
    settings = replace(SETTINGS, tolerations=(Toleration("dedicated", "llm", "NoSchedule"), Toleration("spot")))
    assert pod_of(Case(document(), settings))["tolerations"] == [
        {"key": "dedicated", "operator": "Equal", "value": "llm", "effect": "NoSchedule"},
        {"key": "spot", "operator": "Exists"},
    ]


@pytest.mark.parametrize(
    ("policy", "keys"),
    [("default", []), ("host", ["kubernetes.io/hostname"]), ("zone", ["topology.kubernetes.io/zone"])],
)
def test_instances_are_spread_as_the_document_says(policy: str, keys: list[str]) -> None:
    pod = pod_of(document(metadata={"scheduling": {"spread": {"policy": policy}}}))
    assert [one["topologyKey"] for one in pod.get("topologySpreadConstraints", ())] == keys


def startup_seconds(case: dict[str, Any]) -> int:
    probe = main_of(case)["startupProbe"]
    return int(probe["periodSeconds"]) * int(probe["failureThreshold"])


def test_a_language_model_has_ten_minutes_to_start_and_longer_where_its_weights_are_many() -> None:
    assert startup_seconds(BUNDLED) == 600
    many = llm("vllm", QWEN_72B, {"gpu": 4}, gpus=4)
    assert 1200 < startup_seconds(many) < 1500, "135 GiB at 100 MB/s"
    assert startup_seconds(llm("none", "/model_dir", {"memory": 262144})) == 2560
    patient = llm("none", "SmolLM2-135M-Instruct", is_quick=True)
    patient["containers"][0]["startup_check"]["failure_threshold"] = 5000
    assert startup_seconds(patient) == 10_000, "what the document allows beyond that stays"


def test_a_language_model_without_checks_gets_its_engines() -> None:
    custom = document({"script": "vllm serve /m --port 8000"}, labels={"ServiceEngineType": "vllm"})
    container = main_of(custom)
    assert container["startupProbe"]["httpGet"]["path"] == "/health"
    assert container["livenessProbe"]["httpGet"]["path"] == "/health"
    assert container["readinessProbe"]["httpGet"]["path"] == "/v1/models"
    blade = document({"port": 8081}, labels={"ServiceEngineType": "bladellm"})
    assert main_of(blade)["livenessProbe"]["tcpSocket"] == {"port": 8081}


def test_another_program_is_ready_by_its_own_checks_or_once_its_port_is_open() -> None:
    def probes(**checks: Any) -> dict[str, Any]:
        container = main_of(document(checks))
        return {
            name: container[name] for name in ("startupProbe", "livenessProbe", "readinessProbe") if name in container
        }

    assert list(probes()) == ["readinessProbe"]
    assert probes()["readinessProbe"]["tcpSocket"] == {"port": 8000}
    assert list(probes(startup_check={"http_get": {"path": "/up"}})) == ["startupProbe"]
    given = probes(health_check={"http_get": {"path": "/up", "port": 81}, "success_threshold": 3})
    assert list(given) == ["readinessProbe"]
    assert given["readinessProbe"]["successThreshold"] == 3


def test_liveness_and_startup_succeed_with_one_answer_as_kubernetes_wants() -> None:
    check = {"tcp_socket": {}, "success_threshold": 4}
    container = main_of(document({"liveness_check": check, "startup_check": check}))
    assert container["livenessProbe"]["successThreshold"] == container["startupProbe"]["successThreshold"] == 1


def test_a_crash_that_is_kept_is_not_started_again_by_a_check() -> None:
    container = main_of(Case(BUNDLED | {"runtime": {"enable_crash_block": True}}))
    assert "livenessProbe" not in container
    assert "startupProbe" not in container
    assert container["readinessProbe"]["httpGet"]["path"] == "/v1/models"


def test_requests_end_before_the_program_is_asked_to() -> None:
    pod = pod_of(document(metadata={"eas.termination_grace_period": 45}))
    assert pod["terminationGracePeriodSeconds"] == 47
    assert pod["containers"][0]["lifecycle"] == {"preStop": {"sleep": {"seconds": 2}}}


def test_variables_that_are_named_like_secrets_lie_in_the_secret() -> None:
    env = [{"name": "HF_TOKEN", "value": "hf_$(X)"}, {"name": "MODE", "value": "plain"}]
    case = Case(document({"env": env}))
    values = {one["name"]: one for one in main_of(case)["env"]}
    assert values["MODE"] == {"name": "MODE", "value": "plain"}
    reference = values["HF_TOKEN"]["valueFrom"]["secretKeyRef"]
    secret = rendered(case, "Secret")
    assert secret["metadata"]["name"] == reference["name"]
    assert base64.b64decode(secret["data"][reference["key"]]) == b"hf_$(X)"
    assert "hf_" not in json.dumps(rendered(case))


def test_a_variable_with_a_very_long_name_has_a_valid_key() -> None:
    names = ["A" * 250 + "_KEY", "B" * 250 + "_KEY"]
    case = Case(document({"env": [{"name": name, "value": name[0]} for name in names]}), facts=ClusterFacts())
    keys = list(rendered(case, "Secret")["data"])
    assert len(set(keys)) == 2
    assert max(map(len, keys)) <= 253


def test_no_secret_is_made_where_there_is_nothing_to_keep() -> None:
    assert objects(Case(document(), facts=ClusterFacts()), "Secret") == []


def test_the_login_of_a_registry_is_a_pull_secret() -> None:
    login = base64.b64encode(b"user:pass").decode()
    case = Case(
        document({"image": "registry.example.com:5000/a/b:1"}, dockerAuth=login),
        replace(SETTINGS, image_pull_secrets=("shared",)),
        ClusterFacts(),
    )
    (secret,) = objects(case, "Secret")
    kept = json.loads(base64.b64decode(secret["data"][".dockerconfigjson"]))
    assert kept == {"auths": {"registry.example.com:5000": {"auth": login}}}
    assert pod_of(case)["imagePullSecrets"] == [{"name": secret["metadata"]["name"]}, {"name": "shared"}]


def test_packages_are_installed_by_the_image_itself_before_the_start() -> None:
    wanted = document(
        {"script": "gunicorn app:app", "prepare": {"pythonRequirements": ["gunicorn"]},
         "env": [{"name": "PYTHONPATH", "value": "/srv"}]}
    )  # fmt: skip
    pod = pod_of(wanted)
    (init,) = pod["initContainers"]
    assert (init["name"], init["image"], init["command"][-1]) == ("requirements", "tools:1", "gunicorn")
    container = pod["containers"][0]
    assert container["command"][-1] == 'export PATH="/opt/slipway-packages-0/bin:$PATH"\nexec gunicorn app:app'
    assert {"name": "PYTHONPATH", "value": "/opt/slipway-packages-0:/srv"} in container["env"]


def test_packages_are_there_for_programs_and_commands(tmp_path: Path) -> None:
    wheel = make_tiny_wheel(tmp_path)
    wanted = document({"script": "tiny-tool", "prepare": {"pythonRequirements": ["--no-index", str(wheel)]}})
    pod = pod_of(wanted)
    folder = str(tmp_path / "packages")

    def run(container: dict[str, Any]) -> subprocess.CompletedProcess[str]:
        """As a kubelet would, with this folder for the container's."""
        words = [expand(word, {}).replace(packages_path(0), folder) for word in container["command"]]
        env = {one["name"]: one["value"].replace(packages_path(0), folder) for one in container["env"]}
        environment = {"PATH": f"{Path(sys.executable).parent}:{os.defpath}", **env}
        return subprocess.run(words, env=environment, capture_output=True, text=True, check=False)

    installed = run(pod["initContainers"][0])
    assert installed.returncode == 0, installed.stderr
    assert run(pod["containers"][0]).stdout == "it runs\n"


def test_a_folder_that_is_copied_is_read_only_and_one_that_is_mounted_as_the_document_says() -> None:
    oss = {"path": "oss://b/m/", "endpoint": "http://minio:9000"}

    def mounted(case: Case) -> Any:
        return next(one for one in main_of(case)["volumeMounts"] if one["mountPath"] == "/m").get("readOnly")

    storage = [{"mount_path": "/m", "oss": oss}]
    assert mounted(Case(document(storage=storage), S3)) is True
    assert mounted(Case(document(storage=storage), SETTINGS, WITH_DRIVER)) is False
    read_only = [{"mount_path": "/m", "oss": {**oss, "readOnly": True}}]
    assert mounted(Case(document(storage=read_only), SETTINGS, WITH_DRIVER)) is True


def test_another_folder_is_another_volume_because_volumes_cannot_be_edited() -> None:
    def name(path: str, **workload: Any) -> str:
        storage = [{"mount_path": "/m", "oss": {"path": path, "endpoint": "oss-cn-x.aliyuncs.com"}}]
        return str(
            rendered(Case(document(storage=storage), SETTINGS, WITH_DRIVER, workload), "PersistentVolume")["metadata"][
                "name"
            ]
        )

    assert name("oss://b/one/") == name("oss://b/one/", revision=9)
    assert name("oss://b/one/") != name("oss://b/two/")


def test_the_password_of_a_repository_is_on_no_command_line() -> None:
    git = {"repo": "https://git.example.com/a.git", "username": "robot", "password": "pa$$word"}
    case = Case(document(storage=[{"mount_path": "/m", "git": git}]))
    assert "pa$$word" not in json.dumps(rendered(case))
    data = rendered(case, "Secret")["data"]
    assert base64.b64decode(data["storage.0.git.password"]) == b"pa$$word"
