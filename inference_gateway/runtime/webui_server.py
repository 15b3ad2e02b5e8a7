"""``python -m inference_gateway.runtime.webui_server``: the API and a page (eas.md §1.7)."""

from __future__ import annotations

import sys

from inference_gateway.runtime.serve import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], is_api_only=False))
