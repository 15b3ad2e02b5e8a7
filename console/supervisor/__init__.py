"""The supervisor: one process that starts Slipway's parts, keeps them going, and takes them down in order.

It never loads Django, so it starts at once and has little to fail with. It runs in one thread; the parts are
its children and die with it, however it ends.
"""
