"""vLLM as the runtime's engine, for Hugging Face folders (``--backend=vllm``).

``process`` starts it, ``keeper`` is the small process around it, ``engine`` knows its peculiarities.
"""
