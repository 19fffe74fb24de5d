"""Kubeflow pipelines of the platform, importable as `visionthink.pipelines`.

Rule of this folder: components are thin wrappers that call the stages of `visionthink`; a decision made here would
exist only inside a pipeline. The folder stands at the root of the repository because it is what an operator opens
first; a symlink in the package makes it importable (docs/adr/0001).
"""
