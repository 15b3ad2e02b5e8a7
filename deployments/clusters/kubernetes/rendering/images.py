"""Which image runs, and what is known of it."""

from __future__ import annotations

from collections.abc import Mapping

from deployments.clusters.programs import image_name

#: Tags of EAS's images that hold another engine than the plain ones (eas.md §1.11).
OTHER_ENGINES = ("-blade", "-vllm")
#: The user of Slipway's own images.
OWN_USER = 10001


def real_image(image: str, images: Mapping[str, str]) -> str:
    """The image to pull for the one that a document names.

    A name in ``images`` stands for every tag of it but those of another engine, which are named with the tag.
    """
    short = image.rpartition("/")[2]
    if short in images:
        return images[short]
    name = image_name(image)
    tag = short.partition("@")[0].partition(":")[2]
    return image if tag.endswith(OTHER_ENGINES) else images.get(name, image)


def is_own(image: str, images: Mapping[str, str]) -> bool:
    """Whether it is Slipway's chat-llm image, whose user, folders and needs are known (k8s/images/chat-llm)."""
    real = real_image(image, images)
    return image_name(real) == "chat-llm" or (image_name(image) == "chat-llm-webui" and real != image)


def pull_policy(image: str) -> str:
    """A tag that moves is asked for each time, any other is pulled where it is not there."""
    tag = image.rpartition("/")[2].partition(":")[2]
    return "Always" if "@" not in image and tag in ("", "latest") else "IfNotPresent"
