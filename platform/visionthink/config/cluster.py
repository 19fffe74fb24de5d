"""Settings of what runs on a Kubernetes cluster: where, from which images, with how much, and how it is reached.

Rule: nothing here changes a result, so every setting is operational. Settings are flat texts and numbers; the objects
made of them are built in `visionthink.cluster`.
"""

import re
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, model_validator

from visionthink import __version__
from visionthink.config.section import Section
from visionthink.config.training_job import TrainingJobConfig

_NAME: Final = r"^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$"
_QUANTITY: Final = r"^[0-9]+(\.[0-9]+)?(m|k|Ki|Mi|Gi|Ti|M|G|T)?$"

Name = Annotated[str, Field(pattern=_NAME)]
"""A DNS label that leaves room for what KServe adds to it."""
Quantity = Annotated[str, Field(pattern=_QUANTITY)]
Seconds = Annotated[int, Field(ge=1)]


def _is_variable(text: str) -> str:
    if not re.match(r"[A-Za-z_][A-Za-z0-9_]*=", text):
        raise ValueError(f"{text!r} is not NAME=VALUE")
    return text


def _is_mount(text: str) -> str:
    places = text.split(":")
    if len(places) > 2 or not all(re.fullmatch(r"(/[^/\0]+)+", place) and "/.." not in place for place in places):
        raise ValueError(
            f"{text!r} is no folder of a node; write /opt/venv, or /srv/venv:/opt/venv to see it elsewhere"
        )
    return text


Variable = Annotated[str, AfterValidator(_is_variable)]
Mount = Annotated[str, AfterValidator(_is_mount)]


class ResourcesConfig(Section):
    """What one container gets."""

    cpu: Quantity = "2"
    """Processors it asks for. There is no limit: one would only slow it down on an idle node."""
    memory: Quantity = "2Gi"
    """Memory it asks for, and its limit."""
    gpus: int = Field(default=0, ge=0)
    """Whole `nvidia.com/gpu`."""


class ServingConfig(Section):
    """The model server: a pod with vLLM and, in front of it, the loop."""

    name: Name = "visionthink"
    """Of the InferenceService, and of the model at the endpoint."""
    runtime: Name = "visionthink-adaptive"
    """Of the ServingRuntime, which several models may share."""
    service_account: Name = "visionthink-serving"
    """Whose rights and keys the model is fetched with; KServe reads `serving.kserve.io/s3-endpoint` there."""
    model_uri: str | None = Field(default=None, pattern=r"^(s3|gs|hf|pvc|oci|https?)://.+")
    """Where KServe fetches the model. A version has a prefix of its own that never changes."""
    engine_image: str = Field(default="vllm/vllm-openai:v0.33.0", min_length=1)
    """Image with vLLM."""
    engine_command: tuple[str, ...] = Field(default=("vllm", "serve"), min_length=1)
    """What starts vLLM in it; the model's folder and the arguments follow."""
    engine_args: tuple[str, ...] = ("--enable-prefix-caching",)
    """Arguments for vLLM beyond port, name and the number of pictures in a prompt, which an argument here goes before.
    The second turn of an episode lives on the prefix cache."""
    engine_env: tuple[Variable, ...] = ("OMP_NUM_THREADS=1",)
    """Environment of vLLM, as NAME=VALUE. With a thread for each core, those that prepare pictures spin beside the one
    that feeds the GPU; with one, an H100 answered a sixth more small views a second (benchmarks/serving). Not for an
    engine that computes on the CPU."""
    engine_mounts: tuple[Mount, ...] = ()
    """Folders of the node that vLLM's container sees read-only, as FOLDER or FOLDER:PLACE: an environment that is
    installed there instead of in an image. Namespaces with the pod security level `baseline` or `restricted` refuse
    them."""
    engine: ResourcesConfig = ResourcesConfig(cpu="8", memory="64Gi", gpus=1)
    shared_memory: Quantity = "8Gi"
    """Most of /dev/shm, which the processes of vLLM talk through; it counts as the container's memory."""
    loop_image: str = Field(default=f"visionthink/gateway:{__version__}", min_length=1)
    """Image with the loop: images/gateway."""
    loop: ResourcesConfig = ResourcesConfig()
    min_replicas: int = Field(default=1, ge=1)
    """Fewest pods."""
    max_replicas: int = Field(default=4, ge=1)
    """Most pods."""
    autoscaler: Literal["keda", "none"] = "keda"
    """`keda` scales by how many requests wait in vLLM; `none` keeps `min_replicas`."""
    prometheus: str = Field(default="http://prometheus-operated.monitoring:9090", pattern=r"^https?://.+")
    """Where KEDA reads that number."""
    max_waiting: int = Field(default=4, ge=1)
    """Waiting requests per pod from which another pod is started."""
    start_s: Seconds = 1800
    """How long vLLM may take to load the model before it is started again."""
    timeout_s: Seconds = 600
    """Of one request at the gateway, all turns together; not below `serve.timeout_s`."""
    leave_s: Seconds = 8
    """Seconds that a pod goes on taking requests when it was taken off its Service, until every gateway has seen it."""
    drain_s: Seconds = 60
    """Seconds that a pod then has for the requests it holds; not below `serve.timeout_s`."""
    weights: Literal["route", "kserve"] = "route"
    """Who shares requests out between a version and its canary: an HTTPRoute of the platform's own, since KServe 0.20
    sets no weights; or KServe, where it is newer."""
    hostname: str = Field(default="visionthink.example.com", pattern=r"^(\*\.)?[a-z0-9]([-.a-z0-9]*[a-z0-9])?$")
    """Name under which that route is reached."""
    gateway: str = Field(default="kserve/kserve-ingress-gateway", pattern=r"^[-a-z0-9]+/[-.a-z0-9]+$")
    """Namespace and name of the Gateway that it belongs to."""

    @model_validator(mode="after")
    def _replicas_fit(self) -> "ServingConfig":
        if self.min_replicas > self.max_replicas:
            raise ValueError(f"min_replicas ({self.min_replicas}) is above max_replicas ({self.max_replicas})")
        return self


class ClusterConfig(Section):
    """What runs on a Kubernetes cluster."""

    namespace: Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")] = "visionthink"
    """Where everything is put."""
    serving: ServingConfig = ServingConfig()
    training: TrainingJobConfig = TrainingJobConfig()
