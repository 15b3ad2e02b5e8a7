"""Django's command line for Slipway."""

from __future__ import annotations

import os
import sys

from console.environment import EnvironmentError_


def main() -> None:
    """Run a management command; a wrong setting is one line, not a traceback."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")
    from django.core.management import execute_from_command_line  # after the settings module is named

    try:
        execute_from_command_line(sys.argv)
    except EnvironmentError_ as error:
        sys.exit("\n".join(f"slipway: {problem}" for problem in error.problems))


if __name__ == "__main__":
    main()
