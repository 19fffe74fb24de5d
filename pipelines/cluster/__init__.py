"""The pipeline on a cluster: every step a pod of its own, from fields on Kubeflow's page to a version in use.

Rule: a step calls a stage, a back end or a driver of the platform and adds only what a pod lacks: where the run's
folder is, what earlier pods made, and a server for a model that is asked. Artifacts carry everything between steps; a
volume for runs spares a retried step its work, and is what the nodes of a training share.
"""
