"""What talks to an engine. What starts one is ``deployments.engines``."""
