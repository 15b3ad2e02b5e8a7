"""The chat-llm runtime: one model in one process, with the command lines of EAS's image (eas.md §1.7).

It speaks the gateway's own codecs and needs no database, no Redis, no console and no Django.
"""
