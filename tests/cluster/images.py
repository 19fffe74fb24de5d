"""The project's images, built from this checkout and put on every node of a cluster that is ours.

Where a cluster has them already, a variable names each: VISIONTHINK_GATEWAY_IMAGE, VISIONTHINK_MLFLOW_IMAGE, and so on.
"""

import os
import shutil
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest
from tests.cluster.conftest import ROOT, Kube, shell
from tests.cluster.summary import Summary

_TAG: Final = "e2e"
_BUILD: Final = ("buildah", "build", "--isolation", "chroot", "--network", "host", "--layers", "--quiet")
_CERTIFICATES: Final = "/etc/ssl/certs:/etc/ssl/certs:ro"
_STORE: Final = "FROM scratch\nCOPY weed /weed\nENV PATH=/\nUSER 65532:65532\n"
"""SeaweedFS' own image lies in a registry; its program is one static file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """Builds and loads each image once."""

    kube: Kube
    folder: Path
    """Where archives lie on their way to the nodes."""
    summary: Summary
    made: dict[str, dict[str, float]] = field(default_factory=dict)
    _begun: dict[str, Future[None]] = field(default_factory=dict)
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(2))
    """One image is put on the nodes while the next is built."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, *names: str) -> None:
        """Make these images in the background, in this order; who asks for one waits for it."""
        for name in (one for one in names if not os.environ.get(_variable(one))):
            self._begin(name, ROOT, ROOT / "images" / name / "Dockerfile")

    def __call__(self, name: str) -> str:
        """The image `name` of the folder `images`, on every node."""
        return self._ready(name, ROOT, ROOT / "images" / name / "Dockerfile")

    def name(self, name: str) -> str:
        """What the image `name` will be called."""
        return os.environ.get(_variable(name)) or _image(name)

    def store(self, weed: Path) -> str:
        """An image with the object store's program, VISIONTHINK_STORE_IMAGE."""
        context = self.folder / "store"
        if not context.exists():
            context.mkdir()
            shutil.copy(weed, context / "weed")
            (context / "Dockerfile").write_text(_STORE)
        return self._ready("store", context, context / "Dockerfile")

    def load_as(self, image: str, name: str) -> None:
        """Put an image that was built here on every node by another name too."""
        if self.kube.kit is None or shutil.which("buildah") is None:
            pytest.skip(f"this cluster has no {name}, and no program here puts it there")
        archive = self.folder / "renamed.tar"
        shell("buildah", "push", "--quiet", image, f"docker-archive:{archive}:{name}")
        shell(self.kube.kit, "load", archive)
        archive.unlink()

    def _ready(self, name: str, context: Path, dockerfile: Path) -> str:
        if not os.environ.get(_variable(name)):
            self._begin(name, context, dockerfile).result()
        return self.name(name)

    def _begin(self, name: str, context: Path, dockerfile: Path) -> Future[None]:
        if name not in self._begun:
            self._begun[name] = self._pool.submit(self._make, name, _image(name), context, dockerfile)
        return self._begun[name]

    def _make(self, name: str, image: str, context: Path, dockerfile: Path) -> None:
        if self.kube.kit is None or shutil.which("buildah") is None:
            pytest.skip(
                f"name an image that the nodes have: VISIONTHINK_{name.upper()}_IMAGE (images/README.md builds it)"
            )
        start_s = time.monotonic()
        base = f"docker-archive:{shell(self.kube.kit, 'image').splitlines()[-1]}"
        build = (*_BUILD, "-v", _CERTIFICATES, "--build-arg", f"BASE_IMAGE={base}")
        shell(*build, "-f", dockerfile, "-t", image, context, timeout_s=1200)
        built_s = time.monotonic() - start_s
        archive = self.folder / f"{name}.tar"
        shell("buildah", "push", "--quiet", image, f"docker-archive:{archive}:{image}")
        shell(self.kube.kit, "load", archive)
        size_mb = round(archive.stat().st_size / 1e6)
        archive.unlink()
        seconds = round(time.monotonic() - start_s - built_s, 1)
        with self._lock:
            self.made[name] = {"size_mb": size_mb, "build_s": round(built_s, 1), "load_s": seconds}
            self.summary.put(images=self.made)


def _variable(name: str) -> str:
    return f"VISIONTHINK_{name.upper()}_IMAGE"


def _image(name: str) -> str:
    return f"localhost/visionthink-{name}:{_TAG}"
