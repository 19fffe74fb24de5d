"""Whether what a server sent is a chat completion at all.

Rule: the `openai` package builds its objects from any JSON and hands other texts through, so whatever is read of an
answer is looked at here first. What is none is an error of the server, never one of ours.
"""

from openai.types.chat import ChatCompletion, ChatCompletionChunk, ChatCompletionMessage
from openai.types.chat.chat_completion_chunk import ChoiceDelta


def checked(completion: object) -> ChatCompletion:
    """The completion, if it is one.

    Raises:
        ValueError: it is none.
    """
    choices = completion.choices if isinstance(completion, ChatCompletion) else None
    is_sound = isinstance(choices, list) and all(
        isinstance(message := getattr(choice, "message", None), ChatCompletionMessage)
        and isinstance(message.content, str | None)
        for choice in choices
    )
    if not isinstance(completion, ChatCompletion) or not is_sound or not _counts(completion.usage):
        raise ValueError(f"this is no chat completion: {str(completion)[:200]!r}")
    return completion


def checked_chunk(chunk: object) -> ChatCompletionChunk:
    """The chunk, if it is one.

    Raises:
        ValueError: it is none.
    """
    choices = chunk.choices if isinstance(chunk, ChatCompletionChunk) else None
    is_sound = isinstance(choices, list) and all(
        isinstance(delta := getattr(choice, "delta", None), ChoiceDelta) and isinstance(delta.content, str | None)
        for choice in choices
    )
    if not isinstance(chunk, ChatCompletionChunk) or not is_sound or not _counts(chunk.usage):
        raise ValueError(f"this is no chunk of a chat completion: {str(chunk)[:200]!r}")
    return chunk


def _counts(usage: object) -> bool:
    """Whether the tokens that a server tells, if it tells them, are numbers."""
    names = ("prompt_tokens", "completion_tokens")
    return usage is None or all(isinstance(getattr(usage, name, None), int) for name in names)
