"""The REST control plane, in EAS's paths and field names (eas.md §4.1-§4.3), for programs and for the pages.

Views only carry: documents are judged by ``deployments.spec``, rights by ``deployments.accounts``, and what is
wanted is written by ``deployments.lifecycle``.
"""
