"""What a container of a document runs, as every backend reads it. Pure."""

from __future__ import annotations

import shlex

from deployments.clusters.base import ClusterError
from deployments.spec.document import Container


def image_name(image: str) -> str:
    """The last part of an image's repository: ``chat-llm-webui`` of ``registry/pai-eas/chat-llm-webui:3.0``."""
    return image.partition("@")[0].rpartition("/")[2].partition(":")[0]


def command_words(container: Container) -> list[str]:
    """``command`` as words; text is split as a shell would, but no shell runs. Raises ``ClusterError``."""
    command = container.command
    if isinstance(command, list):
        return list(command)
    try:
        words = shlex.split(command or "")
    except ValueError:
        words = []
    if not words:
        message = "containers[0].command is no complete command: a quote is open, or nothing is in it."
        raise ClusterError("command_invalid", message, "Close the quote, or use script for shell text.")
    return words
