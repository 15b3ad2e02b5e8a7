"""Why a program does not run, in words: a stable code, what happened with its numbers, and what to change.

``signs`` reads logs, ``causes`` writes the sentences, ``table`` is the list of codes that docs/failures.md shows.
Pure: no models, no I/O.
"""

from __future__ import annotations

from deployments.failures.causes import Cause, Fix, Program, explain_end, explain_silence
from deployments.failures.table import CAUSES

__all__ = ["CAUSES", "Cause", "Fix", "Program", "explain_end", "explain_silence"]
