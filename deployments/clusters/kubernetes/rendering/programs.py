"""What a container runs: the document's script or command, what is installed for it, and whether it may crash."""

from __future__ import annotations

from deployments.clusters.kubernetes.rendering.facts import Manifest
from deployments.clusters.kubernetes.rendering.texts import literal, with_exec
from deployments.clusters.programs import command_words
from deployments.spec.document import Container

#: A folder that lives as long as the pod, for the sign that the program has been started.
BLOCK_PATH = "/opt/slipway-crash-block"
#: Runs its arguments once in a pod's life. Kubernetes starts a container again whatever it ended with; then nothing is
#: run any more, so that nothing answers, the instance is not ready, and its end can be looked into.
BLOCK = f"""\
if [ -e {BLOCK_PATH}/started ]; then
echo "slipway: the program has ended and is not started again (runtime.enable_crash_block)." >&2
trap 'exit 0' TERM INT
while :; do sleep 3600 & wait "$!"; done
fi
: >{BLOCK_PATH}/started
exec "$@\""""

#: Installs the packages that its arguments name, with the image's own Python. ``$0`` is the folder for them.
INSTALL = """\
python=$(command -v python3 || command -v python) || { echo "slipway: the image has no Python." >&2; exit 127; }
exec "$python" -m pip install --no-cache-dir --disable-pip-version-check --target="$0" "$@\""""


def packages_path(number: int) -> str:
    """Where the packages of a container's ``prepare`` lie."""
    return f"/opt/slipway-packages-{number}"


def render_program(number: int, container: Container, *, is_crash_blocked: bool) -> Manifest:
    """``script`` by a shell, ``command`` without one; with neither the image's own, and ``args`` in each case."""
    rendered: Manifest = {}
    if container.script is not None:
        script = container.script
        if container.prepare.is_wanted:
            script = f'export PATH="{packages_path(number)}/bin:$PATH"\n{script}'
        words = ["/bin/sh", "-c", script if container.args else with_exec(script)]
        words += ["sh", *container.args] if container.args else []
        if is_crash_blocked:
            words = ["/bin/sh", "-c", BLOCK, "sh", *words]
        rendered["command"] = [literal(word) for word in words]
        return rendered
    if container.command is not None:
        rendered["command"] = [literal(word) for word in command_words(container)]
    if container.args:
        rendered["args"] = [literal(word) for word in container.args]
    return rendered


def install_command(number: int, container: Container) -> list[str]:
    """What the init container of ``prepare`` runs, as an administrator would by hand."""
    prepare = container.prepare
    wanted = list(prepare.python_requirements)
    if prepare.python_requirements_path:
        wanted += ["-r", prepare.python_requirements_path]
    return [literal(word) for word in ("/bin/sh", "-c", INSTALL, packages_path(number), *wanted)]
