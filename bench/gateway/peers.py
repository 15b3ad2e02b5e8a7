"""Other gateways, each as its makers ship it: pinned, in an environment of its own outside the repository.

They do different work, which belongs beside every comparison (``remark``). None counts usage or keeps history here, as
Slipway does.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from bench.gateway.arms import TOKEN, Program, UnavailableError

INSTALL_SECONDS = 900


def cache_folder() -> Path:
    """Where environments stay between runs."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "slipway-bench"


class Peer(Program):
    """A gateway from PyPI. ``requirement`` without its version, which ``version`` pins."""

    requirement: str
    version: str

    @property
    def environment_folder(self) -> Path:
        return cache_folder() / f"{self.name}-{self.version}"

    def program(self, name: str) -> str:
        """A program of the environment, which is made when it is first asked for. Raises UnavailableError."""
        folder = self.environment_folder
        mark = folder / ".installed"
        if not mark.exists():
            print(f"{self.name}: {self.requirement}=={self.version} is installed into {folder}", flush=True)
            folder.parent.mkdir(parents=True, exist_ok=True)
            python = str(folder / "bin" / "python")
            pinned = f"{self.requirement}=={self.version}"
            install([sys.executable, "-m", "venv", "--clear", str(folder)])
            install([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", pinned])
            mark.touch()
        return str(folder / "bin" / name)


def install(command: list[str]) -> None:
    """Raises UnavailableError with the last line that the command said."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise UnavailableError(f"it was not installed within {INSTALL_SECONDS} s") from error
    if done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines() or [f"exit code {done.returncode}"]
        raise UnavailableError(f"it cannot be installed here: {words[-1][:300]}")


class VllmRouter(Peer):
    """vLLM's router, in Rust: one thread, one engine."""

    name = "vllm-router"
    checks_token = False
    remark = "it asks its callers for no token, so its figures lack that work"
    requirement = "vllm-router"
    version = "0.1.17"

    def command(self) -> list[str]:
        ports = ["--host", "127.0.0.1", "--port", str(self.target.port), "--prometheus-port", str(self.spare_port)]
        worker = f"http://127.0.0.1:{self.engine_port}"
        command = [self.program("vllm-router"), "--worker-urls", worker, *ports, "--log-level", "warning"]
        return [*command, "--policy", "round_robin", "--api-key", TOKEN]

    def environment(self) -> dict[str, str]:
        return {"TOKIO_WORKER_THREADS": "1"}


class SglangRouter(Peer):
    """SGLang's router, in Rust: one thread, one engine."""

    name = "sglang-router"
    requirement = "sglang-router"
    version = "0.3.2"

    def command(self) -> list[str]:
        ports = ["--host", "127.0.0.1", "--port", str(self.target.port), "--prometheus-port", str(self.spare_port)]
        worker = f"http://127.0.0.1:{self.engine_port}"
        command = [self.program("sglang-router"), "launch", "--worker-urls", worker, *ports, "--log-level", "warn"]
        return [*command, "--policy", "round_robin", "--api-key", TOKEN]

    def environment(self) -> dict[str, str]:
        return {"TOKIO_WORKER_THREADS": "1"}


class LiteLlm(Peer):
    """LiteLLM's proxy, in Python: one worker, without a database."""

    name = "litellm"
    most_streams = 20
    remark = (
        "one worker, no database, streams no more than 20 at a time; it translates between providers' dialects, which "
        "nobody else here does"
    )
    requirement = "litellm[proxy]"
    version = "1.106.2"
    health = "/health/liveliness"
    start_seconds = 180.0

    def command(self) -> list[str]:
        settings = self.folder / "config.yaml"
        settings.write_text(
            f"""model_list:
  - model_name: bench
    litellm_params:
      model: openai/bench
      api_base: http://127.0.0.1:{self.engine_port}/v1
      api_key: none
litellm_settings:
  num_retries: 0
  telemetry: false
general_settings:
  master_key: {TOKEN}
"""
        )
        program = self.program("litellm")
        return [program, "--config", str(settings), "--host", "127.0.0.1", "--port", str(self.target.port)]

    def environment(self) -> dict[str, str]:
        # The map of prices comes with the package: nothing is fetched. And no line for each request.
        return {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "DISABLE_ADMIN_UI": "True"}


PEERS: tuple[type[Peer], ...] = (VllmRouter, SglangRouter, LiteLlm)
