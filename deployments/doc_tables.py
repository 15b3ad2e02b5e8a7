"""The tables of docs/engines.md, docs/failures.md and docs/models.md, written from the registries and the catalog.

``DJANGO_SETTINGS_MODULE=console.settings python -m deployments.doc_tables`` rewrites them; a test fails where a page
and the data differ.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from deployments.catalog import Precision, load_catalog
from deployments.engines import RECIPES, Launch, Recipe
from deployments.failures import CAUSES
from deployments.machines import load_instance_types
from deployments.memory_plan import size_of

DOCS_FOLDER = Path(__file__).parents[1] / "docs"


def engine_table() -> str:
    rows = [
        (f"`{one.key}`", one.title, f"`{one.label}`", f"`{one.image}`", f"`{' '.join(one.program)}`",
         str(one.default_port), f"`GET {one.health_path}`" if one.health_path else "open port",
         listed(p for p in Precision if p in one.precisions))
        for one in RECIPES
    ]  # fmt: skip
    head = ("acceleration", "in the form", "ServiceEngineType", "image", "program", "port", "alive", "precisions")
    return markdown(head, rows)


def command_table() -> str:
    return markdown(("acceleration", "command of a mounted folder at fp16 on two GPUs"), map(example, RECIPES))


def example(recipe: Recipe) -> tuple[str, str]:
    launch = Launch("/model_dir", "chat", recipe.default_port, gpus=2, precision=Precision.FP16)
    return f"`{recipe.key}`", f"`{recipe.render(launch)['script']}`"


def memory_table() -> str:
    rows = [
        (f"`{one.key}`", f"{one.memory.runtime_gib:g} GiB", f"{one.memory.reserved_share:.0%}",
         f"{one.memory.weights_factor:g} ×" if one.memory.weights_factor > 1 else "none",
         f"{one.memory.cpu_runtime_gib:g} GiB" if one.memory.cpu_runtime_gib else "needs a GPU")
        for one in RECIPES
    ]  # fmt: skip
    head = ("acceleration", "runtime a GPU", "left unused", "at least, of the weights", "runtime without GPU")
    return markdown(head, rows)


def model_table() -> str:
    rows = [
        (f"`{one.name}`" + (" (bundled)" if one.is_bundled else ""), one.family, f"{one.parameters_billion:g}",
         f"{one.context_tokens:,}", f"{size_of(one).weights_gib(one.precisions[0]):.1f}", listed(one.precisions),
         listed(one.accelerations), listed(one.languages), one.licence)
        for one in load_catalog()
    ]  # fmt: skip
    head = (
        "model", "family", "10⁹ parameters", "context", "weights, GiB", "precisions", "accelerations",
        "languages", "licence",
    )  # fmt: skip
    return markdown(head, rows)


def machine_table() -> str:
    rows = [
        (f"`{one.name}`", f"{one.cpu_cores:g}", f"{one.memory_mib // 1024}", f"{one.gpus} × {one.gpu_product}",
         f"{one.gpu_memory_gib:.1f}")
        for one in load_instance_types()
    ]  # fmt: skip
    return markdown(("instance type", "vCPU", "memory, GiB", "GPUs", "GiB each"), rows)


def cause_table() -> str:
    rows = [(f"`{code}`", f"`{one.reason}`", one.what, one.cure) for code, one in CAUSES.items()]
    return markdown(("cause", "reason", "what", "cure"), rows)


#: What stands between a table's two marks, by page and mark.
TABLES: Mapping[str, Mapping[str, Callable[[], str]]] = {
    "engines.md": {"engines": engine_table, "commands": command_table, "memory": memory_table},
    "failures.md": {"causes": cause_table},
    "models.md": {"models": model_table, "machines": machine_table},
}


def refresh(page: str, text: str) -> str:
    """A page's text with its tables as they should be. Raises ValueError where a table has no place."""
    for mark, render in TABLES[page].items():
        start, end = f"<!-- {mark}: written by deployments/doc_tables.py -->\n", f"<!-- end of {mark} -->"
        before, found, rest = text.partition(start)
        _, closed, after = rest.partition(end)
        if not found or not closed:
            raise ValueError(f"{page} has no place for the table of {mark}: mark it {start.strip()} … {end}.")
        text = f"{before}{start}{render()}\n{end}{after}"
    return text


def markdown(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    cells = [list(head)]
    lines = [cells[0], ["---"] * len(cells[0]), *map(list, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def listed(words: Iterable[object]) -> str:
    return ", ".join(str(word) for word in words)


def main() -> int:
    for page in TABLES:
        path = DOCS_FOLDER / page
        path.write_text(refresh(page, path.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
