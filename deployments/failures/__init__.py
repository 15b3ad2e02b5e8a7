"""Why a program does not run, in words: a stable code, what happened with its numbers, and what to change.

``signs`` reads logs, ``causes`` writes the sentences, ``table`` is the list of codes that docs/failures.md shows.
Pure: no models, no I/O.
"""

from __future__ import annotations

from deployments.failures.cause import Cause, Fix
from deployments.failures.causes import Program, explain_end, explain_silence
from deployments.failures.table import CAUSES, TROUBLE_REASONS
from deployments.failures.troubles import explain_trouble

__all__ = ["CAUSES", "TROUBLE_REASONS", "Cause", "Fix", "Program", "explain_end", "explain_silence", "explain_trouble"]
