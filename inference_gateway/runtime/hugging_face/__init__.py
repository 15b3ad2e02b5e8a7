"""The Transformers backend: a Hugging Face folder served by PyTorch in a process of its own.

``process`` runs in the runtime and needs neither library; everything else is loaded by ``main`` in the child.
"""
