"""The watcher (``manage.py watch_cluster``): what a cluster holds, written into rows that every process reads.

::

    a thread a kind (reflector): list, then watch ──► Knowledge (in memory, by service) ──► writer: ClusterView rows,
    heartbeat: the API server's health, the lease ──► ClusterState                            due services, hints

Nothing here changes the cluster, and nothing is decided here: ``reconcile`` reads the rows and judges.
"""
