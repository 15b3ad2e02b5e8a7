# Shared by the launchers, which stand for the programs of an image (docs/local-cluster.md).
# SLIPWAY_PYTHON is the interpreter that has the engine, SLIPWAY_PROJECT the folder of Slipway's packages.

# run_module MODULE ARGUMENTS…: one of Slipway's own. -P: nothing in the working folder can take its place.
run_module() {
    PYTHONPATH="$SLIPWAY_PROJECT${PYTHONPATH:+:$PYTHONPATH}"
    export PYTHONPATH
    exec "$SLIPWAY_PYTHON" -P -m "$@"
}

# run_python ARGUMENTS…: anything else.
run_python() {
    exec "$SLIPWAY_PYTHON" "$@"
}
