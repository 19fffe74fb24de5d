"""The HTTPRoute that shares requests out between versions of a model.

Rule: shares are whole weights over the predictors' own Services, which exist whether or not KServe gives them a route.
A share of nothing stays in the route with weight 0, so that the gateway knows the Service before it gets a request.
"""

from dataclasses import dataclass

from visionthink.cluster.manifest import Manifest, metadata
from visionthink.config import ClusterConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one version gets."""

    service: str
    """The predictor's Service."""
    weight: int
    """Its part of the sum of all weights."""


def weighted_route(cluster: ClusterConfig, shares: tuple[Share, ...]) -> Manifest:
    """The route under the endpoint's own name."""
    serving = cluster.serving
    namespace, _, gateway = serving.gateway.partition("/")
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": metadata(serving.name + "-versions", cluster.namespace),
        "spec": {
            "parentRefs": [
                {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": gateway, "namespace": namespace}
            ],
            "hostnames": [serving.hostname],
            "rules": [
                {
                    "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
                    "backendRefs": [
                        {"group": "", "kind": "Service", "name": share.service, "port": 80, "weight": share.weight}
                        for share in shares
                    ],
                    "timeouts": {"request": f"{serving.timeout_s}s"},
                }
            ],
        },
    }
