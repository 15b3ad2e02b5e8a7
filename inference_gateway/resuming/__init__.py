"""Streamed answers that outlive their connection, so that a caller who lost it gets the rest, byte for byte.

    request → Streams → detached answer → Resumable (the last bytes, in memory) → connections, each from its offset
                                              └─ every 100 ms → Valkey → other processes, and after a restart

Only where a service allows a time of grace (``networking.gateway_policy.resume_seconds``); elsewhere a streamed answer
has an id and nothing more.
"""
