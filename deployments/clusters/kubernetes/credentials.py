"""Who Slipway is to the API server, and how TLS is spoken with it: the official client's loaders do both.

A kubeconfig's files, tokens, client certificates and exec plugins are read by them, and a pod's service account; they
renew what expires. What they do not notice (a file that was replaced) is read anew when the API server says 401.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

import urllib3
import yaml
from kubernetes import config as loaders
from kubernetes.client.configuration import Configuration
from kubernetes.client.rest import RESTClientObject

from deployments.clusters.base import ClusterError
from deployments.clusters.kubernetes.settings import KubernetesSettings
from deployments.words import say

POOL_SIZE = 16  # connections that are kept; more are opened and closed again


@dataclass(frozen=True, slots=True)
class Client:
    """One loading of the credentials, and the connections made with them."""

    configuration: Configuration
    pool: urllib3.PoolManager

    @property
    def server(self) -> str:
        """The API server's address, without a slash at the end."""
        return str(self.configuration.host).rstrip("/")

    def headers(self) -> dict[str, str]:
        """With the credentials of now: asking for them is what renews those that are about to expire."""
        found = {"Accept": "application/json", "User-Agent": "slipway"}
        settings: Mapping[str, Mapping[str, str]] = self.configuration.auth_settings()  # type: ignore[assignment]
        for setting in settings.values():
            if setting["in"] == "header" and setting["value"]:
                found[setting["key"]] = setting["value"]
        return found


def load_client(settings: KubernetesSettings) -> Client:
    """Raises ``ClusterError`` where there are no credentials, or none that can be read."""
    configuration = Configuration()
    try:
        if is_in_cluster(settings):
            loaders.load_incluster_config(client_configuration=configuration)
        else:
            loaders.load_kube_config(
                config_file=settings.kubeconfig or None,
                context=settings.context or None,
                client_configuration=configuration,
                persist_config=False,
            )
    except (loaders.ConfigException, OSError, ValueError, TypeError, KeyError, yaml.YAMLError) as error:
        raise ClusterError(
            "kubeconfig_invalid",
            say("Slipway cannot read how to reach the cluster: %(text)s", text=f"{error}"[:300]),
            say("Set KUBECONFIG to a file that kubectl can use, and SLIPWAY_KUBE_CONTEXT to one of its contexts."),
            needs_person=True,
        ) from error
    configuration.connection_pool_maxsize = POOL_SIZE
    configuration.keep_alive = True  # so that a peer that is gone is noticed between requests, too
    configuration.retries = False  # repeated where the meaning of an answer is known: ``sending``
    return Client(configuration, RESTClientObject(configuration).pool_manager)


def context_of(settings: KubernetesSettings) -> str:
    """The context of the kubeconfig that is used, "" where the file cannot be read."""
    if settings.context:
        return settings.context
    try:
        _, current = loaders.list_kube_config_contexts(settings.kubeconfig or None)
    except (loaders.ConfigException, OSError, ValueError, TypeError, KeyError, yaml.YAMLError):
        return ""
    return str(current.get("name") or "")


def is_in_cluster(settings: KubernetesSettings) -> bool:
    """Whether a pod's service account is to be used: only where nobody named a file."""
    return not settings.kubeconfig and not os.environ.get("KUBECONFIG") and "KUBERNETES_SERVICE_HOST" in os.environ
