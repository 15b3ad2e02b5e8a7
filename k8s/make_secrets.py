"""``python3 k8s/make_secrets.py | kubectl create -f -``: the secrets of a new installation, made by chance.

Needs Python alone. ``create`` and not ``apply``: a second time is refused, and the secrets that are there stay.
"""

from __future__ import annotations

import argparse
import json
import secrets
import sys
from collections.abc import Sequence


def render(namespace: str, database_url: str | None, redis_url: str | None) -> dict[str, object]:
    """A list of Secrets: keys (of Slipway's parts), stores (of the PostgreSQL and Valkey of k8s/base), admin."""
    postgres, valkey = secrets.token_hex(24), secrets.token_hex(24)
    values = {
        "slipway-keys": {
            "SLIPWAY_SECRET_KEY": secrets.token_urlsafe(48),
            "DATABASE_URL": database_url or f"postgres://slipway:{postgres}@slipway-postgres:5432/slipway",
            "REDIS_URL": redis_url or f"redis://:{valkey}@slipway-valkey:6379/0",
        },
        "slipway-stores": {"POSTGRES_PASSWORD": postgres, "VALKEY_PASSWORD": valkey},
        "slipway-admin": {"SLIPWAY_ADMIN_PASSWORD": secrets.token_urlsafe(15)},
    }
    labels = {"app.kubernetes.io/name": "slipway", "app.kubernetes.io/part-of": "slipway"}
    items = [
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": namespace, "labels": labels},
            "stringData": data,
        }
        for name, data in values.items()
    ]
    return {"apiVersion": "v1", "kind": "List", "items": items}


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description="Write the secrets of a new installation as Kubernetes objects.")
    parser.add_argument("--namespace", default="slipway", help="default: slipway")
    parser.add_argument("--database-url", help="of a PostgreSQL of your own")
    parser.add_argument("--redis-url", help="of a Redis or Valkey of your own")
    given = parser.parse_args(arguments)
    json.dump(render(given.namespace, given.database_url, given.redis_url), sys.stdout, indent=2)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main(sys.argv[1:])
