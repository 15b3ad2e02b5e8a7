"""Optional libraries in tests: ``TEST_TRANSFORMERS_PYTHON`` and ``TEST_VLLM_PYTHON`` name interpreters that have them.

Without them Slipway's own is looked at. A test that lacks its library is skipped with the reason.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

from console.environment import REPOSITORY
from deployments.interpreters import TRANSFORMERS, VLLM, Extra, explain_missing, find_python

_ELSEWHERE = REPOSITORY / "inference_gateway" / "runtime" / "elsewhere.py"


def _settings() -> dict[str, str]:
    named = {
        extra.variable: os.environ.get(extra.variable.replace("SLIPWAY_", "TEST_"), "")
        for extra in (TRANSFORMERS, VLLM)
    }
    return {name: value for name, value in named.items() if value}


#: The settings that tell Slipway, or a runtime, where they are.
EXTRA_SETTINGS = _settings()


def why_missing(extra: Extra) -> str:
    """The reason for a skip, "" where it is there."""
    environment = {**os.environ, **EXTRA_SETTINGS}
    return "" if find_python(extra, environment) else " ".join(explain_missing(extra, environment))


def convert_bundled_model(folder: Path) -> None:
    """Write the bundled model as a Hugging Face folder, with whichever interpreter can."""
    environment = {**os.environ, **EXTRA_SETTINGS}
    python = find_python(TRANSFORMERS, environment) or find_python(VLLM, environment) or sys.executable
    command = [python, "-P", str(_ELSEWHERE), sysconfig.get_path("purelib")]
    command += ["tests.inference_gateway.hugging_face_folder", str(folder)]
    environment |= {"PYTHONPATH": str(REPOSITORY), "OMP_WAIT_POLICY": "passive"}
    subprocess.run(command, cwd=REPOSITORY, env=environment, check=True, timeout=400)
