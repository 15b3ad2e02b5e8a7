"""The Kubernetes cluster: services as Deployments of pods (eas.md §3, §4.5; docs/kubernetes.md)."""
