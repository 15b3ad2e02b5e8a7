"""``python api/api_server.py``: the API alone (eas.md §1.7)."""

from __future__ import annotations

import sys
from pathlib import Path

# The first place to look for modules is this file's folder; Slipway's lie beside that.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

from inference_gateway.runtime.serve import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], is_api_only=True))
