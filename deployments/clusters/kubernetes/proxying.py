"""What requests through the API server's proxy carry: this process's credentials for it, and its TLS.

The proxy's addresses are the only ones that credentials are given out for (``reaching.is_proxy_url``).
"""

from __future__ import annotations

import ssl
import threading
from pathlib import Path

from kubernetes.client.configuration import Configuration

from deployments.clusters.base import ClusterError
from deployments.clusters.kubernetes.connection import get_connection
from deployments.clusters.kubernetes.credentials import Client
from deployments.clusters.kubernetes.reaching import is_proxy_url, passage_of
from deployments.clusters.kubernetes.settings import KubernetesSettings
from deployments.clusters.passage import DIRECT, Passage
from deployments.words import say

_lock = threading.Lock()
_contexts: dict[tuple[object, ...], ssl.SSLContext] = {}


def find_passage(settings: KubernetesSettings, base_url: str, refused: Passage | None = None) -> Passage:
    """See ``deployments.clusters.find_passage``."""
    connection = get_connection(settings)
    client = connection.client
    if not is_proxy_url(base_url, client.server, settings.namespace):
        return DIRECT
    shared = shared_passage(client)
    if refused is not None and (refused.headers, refused.tls) == (shared.headers, shared.tls):
        shared = shared_passage(connection.reload(client))
    return passage_of(base_url, shared)


def shared_passage(client: Client) -> Passage:
    """What the way to every pod has in common. Asking for credentials renews those that are about to expire, which
    may run a program; one thread does.
    """
    with _lock:
        headers = {name: value for name, value in client.headers().items() if name.lower() == "authorization"}
        return Passage(
            # Compressed, the links that the proxy rewrites in HTML could not be found again.
            headers=headers | {"Accept-Encoding": "identity"},
            tls=tls_of(client.configuration),
            server_name=client.configuration.tls_server_name or None,
            proxy=client.configuration.proxy or None,
        )


def tls_of(configuration: Configuration) -> ssl.SSLContext | None:
    """The same context as long as it is made of the same files: connections are kept by it. None: no TLS."""
    if not str(configuration.host).startswith("https:"):
        return None
    files = [one and Path(one) for one in (configuration.ssl_ca_cert, configuration.cert_file, configuration.key_file)]
    try:
        made_of = (configuration.verify_ssl, *((one, one.stat().st_mtime_ns) for one in files if one))
        if made_of not in _contexts:
            _contexts.clear()
            _contexts[made_of] = make_context(configuration)
        return _contexts[made_of]
    except OSError as error:  # ssl.SSLError is one
        raise ClusterError(
            "kubeconfig_invalid",
            say("Slipway cannot read how to reach the cluster: %(text)s", text=f"{error}"[:300]),
            say("Set KUBECONFIG to a file that kubectl can use, and SLIPWAY_KUBE_CONTEXT to one of its contexts."),
        ) from error


def make_context(configuration: Configuration) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert or None)
    if not configuration.verify_ssl:  # insecure-skip-tls-verify in the kubeconfig
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, configuration.key_file or None)
    return context
