"""Every cause that a failure can be given, for docs/failures.md: where it is known from, and what cures it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Meaning:
    """``reason`` is the service's ``Reason`` over REST, which a cause makes more precise."""

    reason: str
    what: str
    cure: str


CRASH, START, NEVER, MEMORY = "CrashLoopBackOff", "StartError", "NeverReady", "OOMKilled"

CAUSES: Mapping[str, Meaning] = {
    "UnknownFlag": Meaning(
        CRASH, "the program does not know a flag of its command", "correct the flag; the nearest that exists is named"
    ),
    "FlagValueWrong": Meaning(
        CRASH, "a flag of the command has a value that the program does not take", "correct the value"
    ),
    "ModelFolderWrong": Meaning(
        CRASH,
        "the model's folder has no `config.json`, no weights, no tokenizer or no GGUF file",
        "upload the whole folder, or choose another",
    ),
    "ModelMissing": Meaning(
        CRASH, "the model's path does not exist, and no model has that name", "correct the path or the name"
    ),
    "FolderMissing": Meaning(START, "a mounted folder does not exist", "create it, or correct the mount"),
    "OutOfMemory": Meaning(
        MEMORY,
        "the instance used more than `metadata.memory`",
        "raise the memory to the size that is named, or use a smaller model",
    ),
    "MachineOutOfMemory": Meaning(
        CRASH,
        "the program asked for memory that the machine did not have, or was killed for it",
        "use a smaller model, or free memory on the machine",
    ),
    "GpuOutOfMemory": Meaning(
        CRASH, "the GPU is full", "lower the context or the number of dialogues, or use a smaller model"
    ),
    "GpuMissing": Meaning(
        CRASH,
        "the program looks for a GPU and finds none",
        "use a machine with a GPU, or a program for processors (`--cpu`)",
    ),
    "ProgramMissing": Meaning(
        START,
        "the command's program, or a command of its script, is not installed",
        "correct the command, or install the program",
    ),
    "NotExecutable": Meaning(
        START, "the command's program cannot be executed", "make it executable, or correct the command"
    ),
    "FileMissing": Meaning(
        CRASH, "the program did not find a file", "correct the path, or mount the folder that has it"
    ),
    "PermissionDenied": Meaning(
        CRASH, "the program may not open a file", "correct the file's permissions, or use another path"
    ),
    "ModuleMissing": Meaning(CRASH, "a Python package is not installed", "install the package, or correct the import"),
    "LibraryMissing": Meaning(CRASH, "a shared library is not installed", "install the library"),
    "PortTaken": Meaning(
        CRASH, "the program's port is in use", "let it listen on `$PORT`, which is of this instance alone"
    ),
    "PortsExhausted": Meaning(START, "no port from 20000 to 29999 is free", "stop something that listens there"),
    "CommandTooLong": Meaning(START, "command and environment are longer than the system takes", "shorten them"),
    "DiskFull": Meaning(CRASH, "the disk is full", "free some space"),
    "NotPrepared": Meaning(
        START, "the system refused to prepare or start the program", "the sentence names the system's reason"
    ),
    "EndedByItself": Meaning(
        CRASH,
        "the program ended without an error; a service has to keep running",
        "start what keeps running, in the foreground",
    ),
    "Crashed": Meaning(
        CRASH,
        "the program ended, and its log has nothing that is recognised",
        "read the log, correct the command or its settings",
    ),
    "PortNeverOpened": Meaning(
        NEVER,
        "the program runs and has not opened its port",
        "let it listen on `$PORT`, or give it more time with `startup_check`",
    ),
    "StillLoading": Meaning(
        NEVER, "the engine is still loading after the time it has", "give it more time with `startup_check`"
    ),
    "NoToken": Meaning(
        NEVER, "the engine answers, and has generated no token", "read the log; give it more time with `startup_check`"
    ),
    "CheckFails": Meaning(
        NEVER, "the program listens, and its check does not pass", "correct the check's path, or the program"
    ),
}
