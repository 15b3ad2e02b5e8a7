"""Texts of a document as Kubernetes has to be given them."""

from __future__ import annotations

import re

#: A line that a shell takes as one command: words without separators, substitutions, comments and line ends.
_PLAIN_LINE = re.compile(r'[A-Za-z0-9._/:=@,+-]+( +[A-Za-z0-9._/:=@,+${}"-]+)*')
#: Words that begin or end something of several lines.
_KEYWORDS = re.compile(r"case|do|done|elif|else|esac|fi|for|function|if|in|select|then|until|while|[{}]")
#: Commands that only a shell has.
_BUILTINS = re.compile(
    r"[.:]|alias|bg|break|builtin|cd|command|continue|declare|eval|exec|exit|export|false|fg|getopts|hash|jobs|kill"
    r"|let|local|popd|pushd|read|readonly|return|set|shift|source|test|times?|trap|true|type|typeset|ulimit|umask"
    r"|unalias|unset|wait"
)


def literal(text: str) -> str:
    """``text`` so that a container gets it unchanged: Kubernetes reads ``$(NAME)`` as a variable, ``$$`` as ``$``."""
    return re.sub(r"\$(?=[$(])", "$$", text)


def with_exec(script: str) -> str:
    """The script with ``exec`` before its last command, where every line is plain enough to be sure of that.

    A shell that waits for its last command is process 1, which SIGTERM does not end: the program would never hear it.
    """
    *before, last = script.strip().split("\n")
    lines = [line.strip() for line in (*before, last) if line.strip()]
    firsts = [line.split(" ", 1)[0] for line in lines]
    is_plain = all(_PLAIN_LINE.fullmatch(line) and line.count('"') % 2 == 0 for line in lines)
    if not lines or not is_plain or any(_KEYWORDS.fullmatch(first) for first in firsts):
        return script
    if _BUILTINS.fullmatch(firsts[-1]) or "=" in firsts[-1]:
        return script
    return "\n".join([*before, f"exec {last.strip()}"])
