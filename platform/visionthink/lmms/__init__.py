"""A model for lmms-eval: its tasks ask the questions and score the answers, our episodes give them.

Rule: an entry point like the command line, in somebody else's program and environment. `manifest` and `model` alone
import lmms-eval; what a question becomes, and what a failure means, is decided where it is for our own stages.
"""
