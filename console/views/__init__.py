"""The operator's pages, one subject a module."""
