"""Limits and usage: what a request may use is set aside before, what it used is settled and kept after."""
