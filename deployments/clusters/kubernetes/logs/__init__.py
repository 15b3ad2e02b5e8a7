"""Logs that outlive their pods: the keeper (in the watcher) copies them into rows, everybody reads rows.

The kubelet keeps a container's log as long as the container, and only the last one's before that. So lines are taken
as they are written (``keeper``), and what an instance's programs said stays readable after it is gone (``reading``).
"""
