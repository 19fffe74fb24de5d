"""The command line: parse, wire, run, exit code.

Rule: a command decides nothing that a stage could decide. Loading this package loads neither torch nor mlflow nor kfp,
so that `--help` and a misspelt option answer at once (a test proves it).
"""

from visionthink.cli.app import main

__all__ = ["main"]
