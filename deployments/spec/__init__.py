"""The service document, parsed and validated in one place (design.md, "One document").

``ServiceSpec.parse`` is the only way in: LLM form, custom form, REST and command line all end here.
"""

from deployments.spec.errors import FieldError, SpecInvalid
from deployments.spec.names import NAME_RULE, check_name, suggest_name
from deployments.spec.spec import ENGINE_LABEL, LLM_ENGINES, ServiceSpec, merge_documents

__all__ = [
    "ENGINE_LABEL",
    "LLM_ENGINES",
    "NAME_RULE",
    "FieldError",
    "ServiceSpec",
    "SpecInvalid",
    "check_name",
    "merge_documents",
    "suggest_name",
]
