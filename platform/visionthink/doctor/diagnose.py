"""What is said of what was seen. Pure.

Rule: a diagnosis names what was seen and, where that is wrong, one command. A kind that is missing is told once: its
operator and what that would have admitted are left out.
"""

import re
from collections.abc import Iterator
from typing import Final

from visionthink.doctor.diagnosis import Diagnosis, right, unknown, wrong
from visionthink.doctor.need import MIN_VERSION, Need
from visionthink.doctor.seen import Probe, SeenCluster, SeenServers, Unseen

_INVALID_HOST: Final = 403
_NO_NAMESPACE: Final = re.compile(r"namespaces? \S+ not found")
_WEBHOOK: Final = re.compile(r"failed calling webhook|no endpoints available|connection refused|x509")


def diagnose(need: Need, cluster: SeenCluster, servers: SeenServers) -> tuple[Diagnosis, ...]:
    """All diagnoses, in the order in which things are mended."""
    if isinstance(cluster.version, Unseen):
        return (_server(cluster), *_servers(need, servers))
    return (
        _server(cluster),
        *_kinds(need, cluster),
        *_operators(need, cluster),
        *_admission(need, cluster),
        _storage_class(cluster),
        *_claims(need, cluster),
        *_gpus(need, cluster),
        _rights(need, cluster),
        *_servers(need, servers),
    )


def _server(cluster: SeenCluster) -> Diagnosis:
    name, version = "API server", cluster.version
    if isinstance(version, Unseen):
        return wrong(name, version.why, "kubectl cluster-info; set KUBECONFIG to the cluster's file")
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if numbers < MIN_VERSION:
        wanted = ".".join(map(str, MIN_VERSION))
        return wrong(name, f"Kubernetes {version}, older than {wanted}", f"bring the cluster to {wanted} or newer")
    return right(name, f"Kubernetes {version}")


def _kinds(need: Need, cluster: SeenCluster) -> Iterator[Diagnosis]:
    for kind in need.kinds:
        name = f"kind {kind.api.rpartition('/')[2]}"
        if isinstance(cluster.apis, Unseen):
            yield unknown(name, cluster.apis.why, "kubectl api-resources")
        elif kind.api in cluster.apis:
            yield right(name, kind.api)
        else:
            group, version, plain = kind.api.split("/")
            others = sorted(api for api in cluster.apis if api.startswith(f"{group}/") and api.endswith(f"/{plain}"))
            seen = f"only {', '.join(others)}" if others else f"{group} is not known here"
            yield wrong(name, f"{plain} {version} is missing: {seen}", kind.mend)
    if not isinstance(cluster.apis, Unseen) and cluster.has_canary is False:
        mend = next(kind.mend for kind in need.kinds if kind.api.startswith("serving.kserve.io/"))
        yield wrong("canaries", "InferenceService has no spec.canary: KServe is older than 0.20", mend)


def _operators(need: Need, cluster: SeenCluster) -> Iterator[Diagnosis]:
    for operator in need.operators:
        found = cluster.operators.get(operator.name)
        look = f"kubectl get deployments -A --field-selector metadata.name={operator.deployment}"
        match found:
            case None:
                continue
            case Unseen(why=why):
                yield unknown(operator.name, why, look)
            case 0:
                yield wrong(operator.name, f"no pod of Deployment {operator.deployment} is ready", operator.mend)
            case count:
                yield right(operator.name, f"{count} pod{'s' if count != 1 else ''} ready")


def _admission(need: Need, cluster: SeenCluster) -> Iterator[Diagnosis]:
    for kind, said in cluster.admitted.items():
        name = f"admission of {kind}"
        if not said:
            yield right(name, "a specimen is taken")
        elif "forbidden" in said.lower() and "cannot" in said:
            yield unknown(name, said, f"kubectl auth can-i create {kind.lower()}")
        elif _NO_NAMESPACE.search(said):
            yield wrong(name, said, f"kubectl create namespace {need.namespace}")
        elif _WEBHOOK.search(said):
            yield wrong(name, said, "kubectl get validatingwebhookconfigurations; restart the operator that it names")
        else:
            yield wrong(
                name, said, "visionthink cluster render --help; compare the operator's version with docs/install.md"
            )


def _storage_class(cluster: SeenCluster) -> Diagnosis:
    name, found = "storage class", cluster.default_class
    if isinstance(found, Unseen):
        return unknown(name, found.why, "kubectl get storageclass")
    if found is None:
        return wrong(
            name,
            "no StorageClass is the default: claims that name none stay Pending",
            "kubectl annotate storageclass NAME storageclass.kubernetes.io/is-default-class=true, or set "
            "runs.storageClass, mlflow.persistence.storageClass and s3.embedded.persistence.storageClass",
        )
    return right(name, f"{found} is the default")


def _claims(need: Need, cluster: SeenCluster) -> Iterator[Diagnosis]:
    for claim in need.claims:
        name, found = f"claim {claim}", cluster.claims.get(claim)
        look = f"kubectl -n {need.namespace} describe pvc {claim}"
        if isinstance(found, Unseen):
            yield unknown(name, found.why, look)
        elif found is None:
            yield wrong(name, "there is none", "helm upgrade RELEASE CHART --reuse-values --set runs.enabled=true")
        elif found == "Bound":
            yield right(name, "Bound")
        else:
            yield wrong(name, found, look)


def _gpus(need: Need, cluster: SeenCluster) -> Iterator[Diagnosis]:
    if not need.num_nodes:
        return
    name, found = "GPUs", cluster.gpus
    wanted = f"{need.num_nodes} x {need.gpus_per_node}"
    if isinstance(found, Unseen):
        yield unknown(name, found.why, "kubectl get nodes -o custom-columns=N:.metadata.name,G:.status.allocatable")
        return
    told = f"{wanted} wanted, nodes have {', '.join(map(str, found)) or 'none'}"
    if sum(count // need.gpus_per_node for count in found) >= need.num_nodes:
        yield right(name, told)
    else:
        mend = "add nodes, or fit verl.num_nodes and verl.gpus_per_node to them"
        driver = "helm install gpu-operator gpu-operator --repo https://helm.ngc.nvidia.com/nvidia -n gpu-operator"
        yield wrong(name, told, mend if any(found) else f"{driver} --create-namespace, or {mend}")


def _rights(need: Need, cluster: SeenCluster) -> Diagnosis:
    account = f"{need.namespace}/{need.account}"
    name, refused = f"rights of {account}", cluster.refused
    mend = "helm upgrade RELEASE CHART --reuse-values --set pipeline.enabled=true"
    if cluster.account_exists is False:
        return wrong(name, "there is no such service account", mend)
    if isinstance(refused, Unseen):
        user = f"system:serviceaccount:{need.namespace}:{need.account}"
        return unknown(name, refused.why, f"kubectl -n {need.namespace} auth can-i --list --as {user}")
    if refused:
        return wrong(name, f"it may not {', '.join(map(str, refused))}", mend)
    return right(name, f"all {len(need.rights)} that the steps use")


def _servers(need: Need, servers: SeenServers) -> Iterator[Diagnosis]:
    yield _answer(
        need,
        "object store",
        servers.store,
        unnamed="--set register_model.store=s3://BUCKET/PREFIX",
        mend="give this environment AWS_ENDPOINT_URL_S3, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of the bucket: "
        f"kubectl -n {need.namespace} get secret visionthink-s3",
    )
    tracker = servers.tracker
    is_unwelcome = tracker is not None and tracker.status == _INVALID_HOST and "Host" in tracker.problem
    yield _answer(
        need,
        "MLflow",
        tracker,
        unnamed="--set tracking.uri=http://visionthink-mlflow.NAMESPACE:5000",
        mend="helm upgrade RELEASE CHART --reuse-values --set 'mlflow.allowedHosts={NAME,NAME:*}'"
        if is_unwelcome
        else f"kubectl -n {need.namespace} get pods -l app.kubernetes.io/component=mlflow",
    )
    yield _answer(
        need,
        "Kubeflow Pipelines",
        servers.pipelines,
        unnamed="--kfp http://ml-pipeline.kubeflow:8888",
        mend="kubectl -n kubeflow get pods -l app=ml-pipeline, or name its address with --kfp URL",
    )


def _answer(need: Need, name: str, probe: Probe | None, *, unnamed: str, mend: str) -> Diagnosis:
    if probe is None:
        return unknown(name, "the settings name none", f"visionthink doctor {unnamed}")
    if not probe.problem:
        return right(name, f"{probe.place} answers")
    told = f"{probe.place}: {probe.problem}"
    if probe.is_out_of_reach:
        inside = f"kubectl -n {need.namespace} run doctor --rm -i --restart=Never --image IMAGE -- visionthink doctor"
        return unknown(name, f"{told}; it may be known on the cluster alone", inside)
    return wrong(name, told, mend)
