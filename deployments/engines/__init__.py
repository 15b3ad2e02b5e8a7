"""The registry of engines: what launches a model. (What talks to it is ``inference_gateway.engines``.)

To add an engine: write its module, list it here, and add both tests. Everything else, the form, the
documentation, recognition of custom commands and the rule about local commands, follows from the recipe.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from deployments.catalog import find_repository
from deployments.engines.bladellm import BLADELLM
from deployments.engines.chat_llm import CHAT_LLM
from deployments.engines.commands import Arguments, container_words, match_program, read_arguments
from deployments.engines.recipe import MODEL, EngineMemory, Launch, Recipe, is_flag_value
from deployments.engines.vllm import VLLM
from deployments.spec import ENGINE_LABEL

__all__ = [
    "RECIPES", "EngineCommand", "EngineMemory", "Launch", "Recipe", "engine_of", "find_recipe",
    "find_recipe_by_label", "is_recipe_command", "read_command",
]  # fmt: skip

#: In the order of the form.
RECIPES: tuple[Recipe, ...] = (CHAT_LLM, VLLM, BLADELLM)

#: Where EAS keeps its images (eas.md §1.11); the image is the same with and without this in front.
_REGISTRY = re.compile(r"eas-registry(-vpc)?\.[a-z0-9-]+\.cr\.aliyuncs\.com/pai-eas/")
_TAG = re.compile(r"[A-Za-z0-9._-]+")
#: No quotes, no substitution, no separators, no line ends: a shell reads such text as plain words.
_PLAIN_TEXT = re.compile(r"[A-Za-z0-9._/:=@-]+( [A-Za-z0-9._/:=@-]+)*")
_CHECKS = ("startup_check", "liveness_check", "health_check", "readiness_check")
_CONTAINER_KEYS = frozenset({"image", "script", "command", "port", "env", "args", "prepare", *_CHECKS})


@dataclass(frozen=True, slots=True)
class EngineCommand:
    """A command line that starts a known engine."""

    recipe: Recipe
    program: tuple[str, ...]
    arguments: Arguments

    @property
    def model(self) -> str | None:
        """The model it loads: a hub id, a catalog name or a folder; None where the command leaves it out."""
        named = self.arguments.find("model-path") or self.arguments.find("model")
        if named is None and self.program[-1] == "serve" and self.arguments.positional:
            return self.arguments.positional[0]
        return named


def find_recipe(key: str) -> Recipe | None:
    """The recipe of a form's Inference Acceleration value."""
    return next((recipe for recipe in RECIPES if recipe.key == key), None)


def find_recipe_by_label(label: str) -> Recipe | None:
    """The recipe of a ``ServiceEngineType`` label, whatever its case."""
    return next((recipe for recipe in RECIPES if recipe.label == label.lower()), None)


def read_command(container: Mapping[str, Any]) -> EngineCommand | None:
    """The engine that a container starts, also as a later line of a script; None for any other program."""
    for words in container_words(container):
        for recipe in RECIPES:
            for program in recipe.programs:
                if length := match_program(words, program):
                    return EngineCommand(recipe, program, read_arguments(words[length:], recipe.bare_flags))
    return None


def engine_of(document: Mapping[str, Any]) -> str | None:
    """The ``ServiceEngineType`` of a service document or of one container, None for programs of another kind.

    A label that names an engine decides; otherwise the command of the first container does, so that a custom
    document which starts a known engine is treated as one (design.md, "Write path and chat path").
    """
    labels = document.get("labels")
    if isinstance(labels, Mapping):
        recipe = find_recipe_by_label(str(labels.get(ENGINE_LABEL, "")))
        if recipe is not None:
            return recipe.label
    containers = document.get("containers", [document])
    if not isinstance(containers, list) or not containers or not isinstance(containers[0], Mapping):
        return None
    command = read_command(containers[0])
    return command.recipe.label if command else None


def is_recipe_command(container: Mapping[str, Any], writable: Collection[str] = ()) -> bool:
    """Whether a recipe could have written this container: then running it needs no trust in who asked.

    ``writable`` are the folders that its document mounts to be written to; a command writes nowhere else.
    Used where ``SLIPWAY_LOCAL_COMMANDS=recipes``. Everything is refused that is not known to be harmless:
    other images and programs, flags outside the recipe's list, values that are no model, number or word,
    environment variables, preparation, checks that execute something, and any character a shell would act on.
    """
    if set(container) - _CONTAINER_KEYS or any(container.get(key) for key in ("env", "args", "prepare")):
        return False
    port = container.get("port", 8000)
    if not all(_is_harmless_check(container.get(name), port) for name in _CHECKS):
        return False
    text = container.get("script", container.get("command"))
    if ("script" in container) == ("command" in container) or not isinstance(text, str):
        return False
    if not _PLAIN_TEXT.fullmatch(text):
        return False
    words = tuple(text.split(" "))
    for recipe in RECIPES:
        for program in recipe.programs:
            if words[: len(program)] == program and _is_image_of(recipe, container.get("image")):
                arguments = read_arguments(words[len(program) :], recipe.bare_flags)
                return _are_recipe_arguments(recipe, program, arguments, port, writable)
    return False


def _is_harmless_check(check: object, port: object) -> bool:
    """Whether a check only connects to the program itself."""
    if check is None:
        return True
    if not isinstance(check, Mapping) or check.get("exec"):
        return False
    targets = [check[kind] for kind in ("http_get", "tcp_socket") if check.get(kind) is not None]
    return all(
        isinstance(target, Mapping)
        and not set(target) - {"path", "port", "scheme"}
        and target.get("port", port) in (port, None)
        for target in targets
    )


def _is_image_of(recipe: Recipe, image: object) -> bool:
    if not isinstance(image, str):
        return False
    name, _, tag = _REGISTRY.sub("", image, count=1).partition(":")
    return name == recipe.image.partition(":")[0] and _TAG.fullmatch(tag) is not None


def _are_recipe_arguments(
    recipe: Recipe, program: tuple[str, ...], arguments: Arguments, port: object, writable: Collection[str]
) -> bool:
    names = [name for name, _ in arguments.flags]
    models = list(arguments.positional)
    if len(set(names)) != len(names) or (models and program[-1] != "serve") or len(models) > 1:
        return False
    if arguments.find("port") != str(port):
        return False
    if not all(
        name in recipe.flags and is_flag_value(recipe.flags[name], value, writable) for name, value in arguments.flags
    ):
        return False
    models += [value for name, value in arguments.flags if name in ("model", "model-path")]
    if len(models) != 1 or not is_flag_value(MODEL, models[0]):
        return False
    # Code that comes with weights runs as Slipway's user: only that of repositories in the catalog.
    known = find_repository(models[0])
    return "trust-remote-code" not in names or (known is not None and known.remote_code)
