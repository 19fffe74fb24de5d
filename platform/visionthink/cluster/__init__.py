"""Kubernetes: objects made from settings, and the client that applies and watches them.

Rule: a builder is pure (settings in, one object out) and knows no server; the client applies objects and reads states,
and decides nothing. Only the client loads the Kubernetes and KServe libraries.
"""

from visionthink.cluster.manifest import Manifest, to_yaml
from visionthink.cluster.route import Share, weighted_route
from visionthink.cluster.serving import Canary, ModelVersion, disruption_budget, inference_service, serving_objects
from visionthink.cluster.serving_runtime import serving_runtime

__all__ = [
    "Canary",
    "Manifest",
    "ModelVersion",
    "Share",
    "disruption_budget",
    "inference_service",
    "serving_objects",
    "serving_runtime",
    "to_yaml",
    "weighted_route",
]
