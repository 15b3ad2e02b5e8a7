"""How Slipway itself runs on a cluster (docs/kubernetes.md)."""
