"""What lmms-eval finds in the entry-point group `lmms_eval.models`: the name of our model and where its class is."""

from lmms_eval.models.registry_v2 import ModelManifest


def manifest() -> ModelManifest:
    """The entry of lmms-eval's list of models; nothing else is imported until the model is asked for."""
    return ModelManifest(model_id="visionthink", simple_class_path="visionthink.lmms.model.VisionThink")
