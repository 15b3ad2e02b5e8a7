"""From an end, or a silence, to sentences: what happened with its numbers, and what to change. Pure."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from deployments.clusters.base import InstanceObservation, ProgramExit, Trouble
from deployments.failures.cause import CHECK, COMMAND, MEMORY, MODEL, MOUNTS, Cause, Fix, gib
from deployments.failures.signs import Sign, find_sign, public_name
from deployments.failures.troubles import WORDINGS, explain_trouble
from deployments.stages import Stage
from deployments.words import Sentence, figure, join, say, say_plural

#: Sizes that people choose, in MiB.
SIZES_MIB = tuple(
    int(1024 * size) for size in (0.25, 0.5, 0.75, 1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
)
#: What was used when the limit struck is less than what is needed; where nothing else is known, twice the limit is
#: the next to try.
HEADROOM = 1.25
#: Exit codes of a shell: it found no such command, or could not execute it.
NOT_FOUND, NOT_EXECUTABLE = 127, 126
KILLED = -9


@dataclass(frozen=True, slots=True)
class Program:
    """What is wanted, as far as it explains a failure. ``limit_mib`` None: no limit; ``plan_mib`` None: unknown."""

    port: int = 8000
    flags: Collection[str] = ()  # that the engine knows, without dashes
    model: str = ""
    limit_mib: int | None = None
    machine_mib: int | None = None
    plan_mib: Callable[[], int | None] = lambda: None


def explain_end(instance: InstanceObservation, program: Program) -> Cause:
    """Why the last program of an instance ended. ``last_exit`` is there."""
    end = instance.last_exit
    if end is None:
        raise ValueError(f"{instance.name} has not ended")
    if end.cause == "OutOfMemory" or end.reason == "OOMKilled":
        return out_of_memory(end, program)
    if end.cause in WORDINGS:
        return explain_trouble(Trouble(end.cause, end.values))
    if end.cause:
        return never_began(end)
    sign = find_sign(instance.log_tail) if end.exit_code != 0 else None
    if sign is None:
        sign = sign_of_code(end.exit_code)
    name = public_name(sign.name, instance.folders) if sign.name else ""
    return by_sign(Sign(sign.code, name), program)


def sign_of_code(code: int) -> Sign:
    """What an exit code alone says."""
    codes = {
        0: "EndedByItself",
        KILLED: "MachineOutOfMemory",
        NOT_FOUND: "ProgramMissing",
        NOT_EXECUTABLE: "NotExecutable",
    }
    return Sign(codes.get(code, "Crashed"))


def out_of_memory(end: ProgramExit, program: Program) -> Cause:
    """Need, limit, and the next size that fits (console.md §7, "OOMKilled")."""
    used = int(end.values.get("used_mib", 0))
    limit = int(end.values.get("limit_mib", 0)) or program.limit_mib or used
    planned = program.plan_mib()
    unknown = 0 if planned is not None and planned > limit else limit * 2
    least = max(planned or 0, math.ceil(used * HEADROOM), unknown)
    size = next((size for size in SIZES_MIB if size >= least), least)
    if not limit:
        what = say("Out of memory: the program was killed for it.")
        return Cause("OutOfMemory", what, say("Use more memory, or a smaller model."), Fix(MEMORY))
    if planned is not None and planned > limit:
        what = say(
            "Out of memory: the model needs %(need)s GiB, the limit is %(limit)s GiB.",
            need=gib(planned),
            limit=gib(limit),
        )
    elif not used:  # the platform knows that the limit struck, and no number
        what = say("Out of memory: the program wanted more than its limit of %(limit)s GiB.", limit=gib(limit))
    else:
        what = say(
            "Out of memory: the program used %(used)s GiB and wanted more, the limit is %(limit)s GiB.",
            used=gib(used),
            limit=gib(limit),
        )
    if program.machine_mib is not None and least > program.machine_mib:
        machine = gib(program.machine_mib)
        cure = say("This machine has %(machine)s GiB. Use a smaller model, or a larger machine.", machine=machine)
        return Cause("OutOfMemory", what, cure, Fix(MEMORY))
    if program.machine_mib is not None:
        size = min(size, program.machine_mib)
    cure = say("Use %(size)s GiB, or a smaller model.", size=gib(size))
    return Cause("OutOfMemory", what, cure, Fix(MEMORY, size))


def never_began(end: ProgramExit) -> Cause:
    """What the backend knows by itself."""
    values = {name: str(value) for name, value in end.values.items()}
    if end.cause == "FolderMissing":
        source, mount_path = values.get("source", ""), values.get("mount_path", "")
        what = say(
            "%(source)s is mounted at %(mount_path)s, but there is no such folder.",
            source=source,
            mount_path=mount_path,
        )
        return Cause(end.cause, what, say("Create it, or correct the mount."), Fix(MOUNTS))
    if end.cause == "PortsExhausted":
        what = say("No port from 20000 to 29999 is free on this machine.")
        return Cause(end.cause, what, say("Stop something that listens there."))
    if end.cause == "CommandTooLong":
        what = say("The command and the environment are too long for this system.")
        return Cause(end.cause, what, say("Shorten them."), Fix(COMMAND))
    if end.cause in ("ProgramMissing", "NotExecutable"):
        return by_sign(Sign(end.cause, values.get("program", "")), Program())
    what = say("The instance could not be prepared: %(reason)s.", reason=values.get("reason", end.message))
    return Cause("NotPrepared", what, say("Mend that on the machine; it is tried again by itself."))


def by_sign(sign: Sign, program: Program) -> Cause:
    """The sentences of a sign."""
    if sign.code == "UnknownFlag":
        return unknown_flag(sign.name, program)
    make = (NAMED.get(sign.code) if sign.name else None) or UNNAMED.get(sign.code) or UNNAMED["Crashed"]
    what, cure, field = make(sign.name)
    return Cause(sign.code, what, cure, Fix(field) if field else None)


def unknown_flag(given: str, program: Program) -> Cause:
    """The flag by its name, and the nearest that the engine knows. A value after ``=`` may be a secret."""
    flag = given.partition("=")[0]
    name = flag.lstrip("-").replace("_", "-").lower()
    near = difflib.get_close_matches(name, sorted(program.flags), 1, 0.6)
    what = say("The program does not know the flag %(flag)s.", flag=flag)
    cure = (
        say("Use --%(near)s, or leave the flag out.", near=near[0])
        if near
        else say("Correct the flag, or leave it out.")
    )
    return Cause("UnknownFlag", what, cure, Fix(COMMAND))


Wording = Callable[[str], tuple[Sentence, Sentence, str]]

#: What is said where the log names a file, a module, a program; with the field to correct.
NAMED: Mapping[str, Wording] = {
    "FlagValueWrong": lambda name: (
        say("The program does not take the value of %(name)s.", name=name),
        say("Correct the value. The log says what it may be."),
        COMMAND,
    ),
    "ModelFolderWrong": lambda name: (
        say("%(name)s is no whole model: files are missing in it.", name=name),
        say("Upload the whole folder, with config.json, tokenizer and weights, or choose another."),
        MODEL,
    ),
    "ModelMissing": lambda name: (
        say("There is no model %(name)s here.", name=name),
        say("Correct the model's path or name, and mount the folder that has it."),
        MODEL,
    ),
    "ModuleMissing": lambda name: (
        say("The Python package %(name)s is not installed.", name=name),
        say("Install it where the program runs, or correct the import."),
        COMMAND,
    ),
    "LibraryMissing": lambda name: (
        say("The library %(name)s is not installed.", name=name),
        say("Install it on the machine."),
        "",
    ),
    "ProgramMissing": lambda name: (
        say("The program %(name)s was not found.", name=name),
        say("Correct the command, or install the program."),
        COMMAND,
    ),
    "NotExecutable": lambda name: (
        say("The program %(name)s cannot be executed.", name=name),
        say("Make it executable, or correct the command."),
        COMMAND,
    ),
    "FileMissing": lambda name: (
        say("The program did not find the file %(name)s.", name=name),
        say("Correct its path, or mount the folder that has it."),
        COMMAND,
    ),
    "PermissionDenied": lambda name: (
        say("The program may not open %(name)s.", name=name),
        say("Correct the file's permissions, or use another path."),
        COMMAND,
    ),
}

#: The same without a name.
UNNAMED: Mapping[str, Wording] = {
    "FlagValueWrong": lambda name: (
        say("The program does not take the value of %(name)s.", name=name),
        say("Correct the value. The log says what it may be."),
        COMMAND,
    ),
    "GpuOutOfMemory": lambda _: (
        say("The GPU is full."),
        say("Lower the context or the number of dialogues, or use a smaller model."),
        COMMAND,
    ),
    "GpuMissing": lambda _: (
        say("The program looks for a GPU and finds none."),
        say("Use a machine with a GPU, or start the program for processors (--cpu)."),
        COMMAND,
    ),
    "PortTaken": lambda _: (
        say("The port that the program wants is in use."),
        say("Let it listen on $PORT, which is of this instance alone."),
        COMMAND,
    ),
    "ProgramMissing": lambda _: (
        say("A command of the script was not found."),
        say("Correct the command, or install the program. The log names it."),
        COMMAND,
    ),
    "NotExecutable": lambda _: (
        say("A command of the script cannot be executed."),
        say("Make it executable, or correct the command. The log names it."),
        COMMAND,
    ),
    "FileMissing": lambda _: (
        say("The program did not find a file."),
        say("Correct its path, or mount the folder that has it. The log names it."),
        COMMAND,
    ),
    "PermissionDenied": lambda _: (
        say("The program was not permitted to do something."),
        say("Correct the permissions. The log names the file."),
        COMMAND,
    ),
    "DiskFull": lambda _: (say("The disk is full."), say("Free some space on the machine."), ""),
    "MachineOutOfMemory": lambda _: (
        say("The program was killed, or got no memory: the machine ran out of it."),
        say("Use a smaller model, or end something else on the machine."),
        MODEL,
    ),
    "EndedByItself": lambda _: (
        say("The program ended by itself, without an error."),
        say("A service's program must keep running: start it in the foreground."),
        COMMAND,
    ),
    "Crashed": lambda _: (
        say("The program ended with an error."),
        say("Read the log, correct the command or its settings, then update."),
        COMMAND,
    ),
}


def ends_words(times: int, code: int, lived_seconds: float | None) -> Sentence:
    """How often it ended, and how (console.md §7, "CrashLoopBackOff")."""
    if code < 0:
        how = say("The last end was by signal %(signal)s.", signal=-code)
    else:
        how = say("The last exit code was %(code)s.", code=code)
    if lived_seconds is None:
        return join(say_plural("It exited %(count)s time.", "It exited %(count)s times.", times), how)
    exits = say_plural(
        "It exited %(count)s time, %(seconds)s s after start.",
        "It exited %(count)s times, the last %(seconds)s s after start.",
        times,
        seconds=figure(lived_seconds, 1 if lived_seconds < 10 else 0),
    )
    return join(exits, how)


def explain_silence(stage: Stage, waited_seconds: float, program: Program, step: str) -> Cause:
    """Why a program that runs does not count as running, by how far it came."""
    minutes = max(1, round(waited_seconds / 60))
    if stage is Stage.LOADING:
        what = say_plural(
            "The engine has been loading for %(count)s minute.",
            "The engine has been loading for %(count)s minutes.",
            minutes,
        )
        return Cause("StillLoading", what, say("Give it more time with startup_check."), Fix(CHECK))
    if stage is Stage.WARMING:
        what = say_plural(
            "The engine answers, but gave no token in %(count)s minute.",
            "The engine answers, but gave no token in %(count)s minutes.",
            minutes,
        )
        cure = say("Read the log; give it more time with startup_check.")
        return Cause("NoToken", join(what, step), cure, Fix(CHECK))
    if stage is Stage.CHECKING:
        what = say_plural(
            "The program has run for %(count)s minute, and its check does not pass.",
            "The program has run for %(count)s minutes, and its check does not pass.",
            minutes,
        )
        return Cause("CheckFails", join(what, step), say("Correct the check's path, or the program."), Fix(CHECK))
    what = say_plural(
        "The program has run for %(count)s minute and has not opened its port %(port)s.",
        "The program has run for %(count)s minutes and has not opened its port %(port)s.",
        minutes,
        port=str(program.port),
    )
    cure = say("Let it listen on $PORT, or give it more time with startup_check.")
    return Cause("PortNeverOpened", what, cure, Fix(COMMAND))
