"""Slipway's images: Dockerfiles, and a builder that follows them without Docker."""
