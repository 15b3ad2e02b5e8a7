"""``slipway`` on the command line: a client of the REST control plane and the gateway, in eascmd's verbs (eas.md §4.4).

It speaks HTTP and nothing else: no Django, no database, no settings of the server. So it runs on any machine
that reaches a Slipway.
"""
