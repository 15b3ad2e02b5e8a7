"""What a platform knows of an instance that does not get on, in sentences: the wordings of ``Trouble``'s causes. Pure.

Values are plain: CPU in thousandths of a core (``…_milli``), memory in MiB (``…_mib``), -1 where a number is not known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from deployments.clusters.base import Trouble
from deployments.failures.cause import (
    CHECK,
    CLUSTER,
    CPU,
    DISK,
    GPU,
    LIVENESS,
    MEMORY,
    MOUNTS,
    STRATEGY,
    Cause,
    Fix,
    gib,
)
from deployments.failures.plain_troubles import PLAIN, Values, Worded
from deployments.words import Figure, figure, join, say, say_plural

Wording = Callable[[Values, bool], Worded]


def explain_trouble(trouble: Trouble) -> Cause:
    """The sentences of a trouble. A cause that this version does not know keeps the platform's own words."""
    make = WORDINGS.get(trouble.cause, not_created)
    what, cure, field = make(trouble.values, trouble.is_waiting)
    return Cause(trouble.cause, what, cure, Fix(field) if field else None)


def text(values: Values, name: str) -> str:
    return str(values.get(name, ""))


def amount(values: Values, name: str) -> int:
    return int(values.get(name, -1))


def cpu(milli: int) -> Figure:
    return figure(milli / 1000, 0 if milli % 1000 == 0 else 1 if milli % 100 == 0 else 2)


#: Of each shortage, what is needed and what the largest node has.
BOUNDS: Mapping[str, tuple[str, str]] = {
    "CpuShort": ("need_milli", "largest_milli"),
    "MemoryShort": ("need_mib", "largest_mib"),
    "GpuShort": ("need", "largest"),
}


def with_others(first: Wording) -> Wording:
    """A shortage together with those in ``also``, each with its numbers. Where one cannot end, its cure counts."""

    def worded(values: Values, is_waiting: bool) -> Worded:
        what, cure, field = first(values, is_waiting)
        others = text(values, "also").split()
        if not others:
            return what, cure, field
        cures = [cure]
        for cause in others:
            need, largest = (amount(values, name) for name in BOUNDS[cause])
            is_passing = is_waiting or need <= largest
            its_what, its_cure, _ = SHORTAGES[cause](values, is_passing)
            what = join(what, its_what)
            cures += [] if is_passing else [its_cure]
        return what, WHEN_FREE if is_waiting else join(*cures), field

    return worded


WHEN_FREE = say("Starts by itself when that much is free on one node, or use less.")


def cpu_short(values: Values, is_waiting: bool) -> Worded:
    need, free, largest = (amount(values, f"{name}_milli") for name in ("need", "free", "largest"))
    if not is_waiting:
        what = say("Needs %(need)s CPU on one node; the largest has %(largest)s.", need=cpu(need), largest=cpu(largest))
        return what, say("Use %(largest)s or less, or add a larger node.", largest=cpu(largest)), CPU
    if free < 0:
        return say("Needs %(need)s CPU on one node; none has that much free.", need=cpu(need)), WHEN_FREE, CPU
    node = text(values, "node")
    if node:
        what = say("Needs %(need)s CPU on one node; %(node)s, which lacks least, has %(free)s free.",
                   need=cpu(need), node=node, free=cpu(free))  # fmt: skip
    else:
        what = say("Needs %(need)s CPU on one node; at most %(free)s is free.", need=cpu(need), free=cpu(free))
    return what, WHEN_FREE, CPU


def memory_short(values: Values, is_waiting: bool) -> Worded:
    need, free, largest = (amount(values, f"{name}_mib") for name in ("need", "free", "largest"))
    if not is_waiting:
        what = say(
            "Needs %(need)s GiB of memory on one node; the largest has %(largest)s GiB.",
            need=gib(need),
            largest=gib(largest),
        )
        return what, say("Use less memory, a smaller model, or a larger node."), MEMORY
    if free < 0:
        what = say("Needs %(need)s GiB of memory on one node; none has that much free.", need=gib(need))
        return what, WHEN_FREE, MEMORY
    node = text(values, "node")
    if node:
        what = say("Needs %(need)s GiB of memory on one node; %(node)s, which lacks least, has %(free)s GiB free.",
                   need=gib(need), node=node, free=gib(free))  # fmt: skip
    else:
        what = say("Needs %(need)s GiB of memory on one node; at most %(free)s GiB is free.",
                   need=gib(need), free=gib(free))  # fmt: skip
    return what, WHEN_FREE, MEMORY


def gpu_short(values: Values, is_waiting: bool) -> Worded:
    """console.md §7, "insufficient GPU"."""
    need, free, total = amount(values, "need"), amount(values, "free"), amount(values, "total")
    most, largest = amount(values, "most"), amount(values, "largest")
    product = text(values, "product") or say_plural("GPU", "GPUs", need)
    if not is_waiting:
        what = say("Needs %(need)s %(product)s on one node; the largest has %(largest)s.",
                   need=need, product=product, largest=largest)  # fmt: skip
        return what, say("Use %(largest)s, or add a node with more.", largest=largest), GPU
    if total < 0:
        what = say("Needs %(need)s %(product)s on one node; none has as many free.", need=need, product=product)
        return what, WHEN_FREE, GPU
    node = text(values, "node")
    if node:
        what = say("Needs %(need)s %(product)s on one node; %(node)s, which lacks least, has %(free)s free.",
                   need=need, product=product, node=node, free=most)  # fmt: skip
    elif free >= need:
        what = say("Needs %(need)s %(product)s on one node; at most %(most)s of %(total)s is free on one.",
                   need=need, product=product, most=most, total=total)  # fmt: skip
    else:
        what = say_plural(
            "Needs %(need)s %(product)s; %(count)s of %(total)s is free.",
            "Needs %(need)s %(product)s; %(count)s of %(total)s are free.",
            free, need=need, product=product, total=total,
        )  # fmt: skip
    if most > 0:
        cure = say("Starts by itself when %(need)s are free, or use %(most)s.", need=need, most=most)
    else:
        cure = say_plural("Starts by itself when %(count)s is free.", "Starts by itself when %(count)s are free.", need)
    return what, cure, GPU


def no_gpu(values: Values, _: bool) -> Worded:
    need = amount(values, "need")
    what = say_plural(
        "Needs %(count)s GPU; no node offers one.", "Needs %(count)s GPUs; no node offers any.", max(need, 1)
    )
    cure = say("Start the program for processors (--cpu), or add a node whose GPUs are offered by a device plugin.")
    return what, cure, GPU


def wrong_product(values: Values, _: bool) -> Worded:
    there = text(values, "there")
    if there:
        what = say("No node has %(wanted)s; there are %(there)s.", wanted=text(values, "wanted"), there=there)
    else:
        what = say("No node has %(wanted)s.", wanted=text(values, "wanted"))
    return what, say("Choose another kind of GPU or instance type, or add such a node."), GPU


def nodes_tainted(values: Values, _: bool) -> Worded:
    taint = text(values, "taint")
    if taint:
        what = say("Every node that would do is kept for others: %(taint)s.", taint=taint)
    else:
        what = say("Every node that would do is kept for others.")
    return what, say("Add a node, or let an administrator free one for these services."), CLUSTER


def surge_blocked(values: Values, is_waiting: bool) -> Worded:
    short, _, _ = WORDINGS[text(values, "short") or "CpuShort"](values, is_waiting)
    what = join(short, say("The old instances hold the rest, and the rolling strategy lets none of them end first."))
    cure = say("Allow one to be away (rolling_strategy.max_unavailable), or free room on a node.")
    return what, cure, STRATEGY


def quota_exceeded(values: Values, is_waiting: bool) -> Worded:
    """console.md §7, "quota"."""
    named = {name: values.get(name, "") for name in ("quota", "left", "hard", "need", "resource")}
    kind = text(values, "kind")
    if kind == "gpu":
        what = say("The quota %(quota)s has %(left)s of %(hard)s GPUs left; this needs %(need)s.", **named)
    elif kind == "memory":
        what = say("The quota %(quota)s has %(left)s of %(hard)s GiB of memory left; this needs %(need)s.", **named)
    elif kind == "cpu":
        what = say("The quota %(quota)s has %(left)s of %(hard)s CPU left; this needs %(need)s.", **named)
    elif kind == "pods":
        what = say("The quota %(quota)s has %(left)s of %(hard)s instances left; this needs %(need)s.", **named)
    else:
        what = say("The quota %(quota)s has %(left)s of %(hard)s %(resource)s left; this needs %(need)s.", **named)
    cure = (
        say("Starts by itself when enough is given back. Stop something, use less, or ask an administrator for more.")
        if is_waiting
        else say("Use less, or ask an administrator for more.")
    )
    return what, cure, {"gpu": GPU, "memory": MEMORY, "cpu": CPU}.get(kind, CLUSTER)


def limit_exceeded(values: Values, _: bool) -> Worded:
    named = {name: text(values, name) for name in ("resource", "limit", "given")}
    field = {"cpu": CPU, "memory": MEMORY}.get(named["resource"], CLUSTER)
    if text(values, "bound") == "minimum":
        what = say("The namespace wants at least %(limit)s of %(resource)s; this asks for %(given)s.", **named)
        return what, say("Use more, or ask an administrator to lower the limit."), field
    what = say("The namespace permits at most %(limit)s of %(resource)s; this asks for %(given)s.", **named)
    return what, say("Use less, or ask an administrator to raise the limit."), field


def mount_fails(values: Values, _: bool) -> Worded:
    what = say(
        "%(source)s cannot be mounted: %(reason)s.", source=text(values, "source"), reason=text(values, "reason")
    )
    kind = text(values, "filesystem")
    if kind:
        cure = say("Let an administrator install what mounts %(kind)s on %(node)s, or mount something else.",
                   kind=kind, node=text(values, "node"))  # fmt: skip
        return what, cure, MOUNTS
    return what, say("Check that its server is there and lets the node in, or correct the mount."), MOUNTS


def check_fails(values: Values, _: bool) -> Worded:
    """A startup or liveness check that ended the program, with what it was answered."""
    path, status, port = text(values, "path"), text(values, "status"), text(values, "port")
    if text(values, "kind") == "liveness":
        if status:
            what = say("The liveness check of %(path)s was answered %(status)s, so the program was ended.",
                       path=path, status=status)  # fmt: skip
        elif text(values, "answer") == "refused":
            what = say("Nothing listened on port %(port)s at the liveness check, so the program was ended.", port=port)
        else:
            what = say("The liveness check got no answer in time, so the program was ended.")
        return what, say("Correct the check or the program, or give it more time."), LIVENESS
    if status:
        what = say("The startup check of %(path)s was answered %(status)s until its time was over.",
                   path=path, status=status)  # fmt: skip
    elif text(values, "answer") == "refused":
        what = say("Nothing listened on port %(port)s until the startup check's time was over.", port=port)
    else:
        what = say("The startup check got no answer until its time was over.")
    return what, say("Correct the check or the program, or give it more time."), CHECK


def evicted_for_memory(values: Values, _: bool) -> Worded:
    used = amount(values, "used_mib")
    node = text(values, "node")
    if used > 0:
        what = say("The instance was evicted: %(node)s ran out of memory while it used %(used)s GiB.",
                   node=node, used=gib(used))  # fmt: skip
    else:
        what = say("The instance was evicted: %(node)s ran out of memory.", node=node)
    return (
        what,
        say("Another one takes its place. Give it as much memory as it uses, so that nothing else can."),
        MEMORY,
    )


def evicted_for_disk(values: Values, _: bool) -> Worded:
    limit = amount(values, "limit_mib")
    if limit > 0:
        what = say("The instance was evicted: it wrote more than its limit of %(limit)s GiB.", limit=gib(limit))
        return what, say("Another one takes its place. Write less, or raise metadata.disk."), DISK
    what = say("The instance was evicted: the disk of %(node)s was full.", node=text(values, "node"))
    return what, say("Another one takes its place. Free disk on the node, or write less."), CLUSTER


def preparation_fails(values: Values, _: bool) -> Worded:
    what = say("Preparing the instance failed: %(step)s ended with exit code %(code)s.",
               step=text(values, "step"), code=text(values, "code"))  # fmt: skip
    return what, say("Read its log."), MOUNTS


def not_created(values: Values, _: bool) -> Worded:
    what = say("The cluster creates no instance: %(reason)s.", reason=text(values, "reason"))
    return what, say("Correct the document, or ask who runs the cluster."), CLUSTER


SHORTAGES: Mapping[str, Wording] = {"CpuShort": cpu_short, "MemoryShort": memory_short, "GpuShort": gpu_short}

WORDINGS: Mapping[str, Wording] = {
    **{cause: with_others(wording) for cause, wording in SHORTAGES.items()},
    "GpuNotOffered": with_others(no_gpu),
    "GpuProductMissing": wrong_product,
    "NodesTainted": nodes_tainted,
    "SurgeBlocked": surge_blocked,
    "QuotaExceeded": quota_exceeded,
    "LimitExceeded": limit_exceeded,
    "MountFails": mount_fails,
    "ProbeFails": check_fails,
    "EvictedForMemory": evicted_for_memory,
    "EvictedForDisk": evicted_for_disk,
    "PreparationFails": preparation_fails,
    "NotCreated": not_created,
    **PLAIN,
}
