"""VisionThink platform: a vision-language model that asks for pixels only when a question needs them.

Rule of this file: it holds the version and imports nothing, so that `import visionthink` is instant and every
subpackage decides alone which heavy library it loads.
"""

__all__ = ["__version__"]

__version__ = "0.1.0"
