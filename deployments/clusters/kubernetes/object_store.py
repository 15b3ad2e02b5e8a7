"""Reading an object store by S3's protocol, Alibaba Cloud's OSS among them (eas.md §8)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import boto3
from botocore import UNSIGNED
from botocore.config import Config

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_OSS = re.compile(r"(?:s3\.)?oss-(?P<region>[a-z0-9-]+?)(?P<internal>-internal)?\.aliyuncs\.com")
#: What a store is told where it has no regions.
ANY_REGION = "us-east-1"


def s3_address(endpoint: str) -> tuple[str, str, str]:
    """The address of an endpoint that speaks S3, its region, and how it wants buckets named: in the host's name or in
    the path. OSS's own endpoints have one of S3 beside them, and take buckets in the host's name only.
    """
    scheme, separator, host = endpoint.rstrip("/").rpartition("://")
    scheme = f"{scheme}{separator}" or "https://"
    found = _OSS.fullmatch(host)
    if found is None:
        return scheme + host, ANY_REGION, "path"
    region = found["region"]
    return f"{scheme}s3.oss-{region}{found['internal'] or ''}.aliyuncs.com", region, "virtual"


def connect(
    endpoint: str, key_id: str = "", key_secret: str = "", *, timeout_seconds: float = 30.0, attempts: int = 8
) -> S3Client:
    """A client of the store; without a key, one that signs nothing, for buckets that everybody may read.

    ``attempts`` is how often a request is sent before its failure is one.
    """
    address, region, style = s3_address(endpoint)
    options: dict[str, Any] = {
        "region_name": region,
        "connect_timeout": min(timeout_seconds, 10.0),
        "read_timeout": timeout_seconds,
        "retries": {"mode": "standard", "total_max_attempts": attempts},
        "s3": {"addressing_style": style},
        # Newer checksums are not known everywhere.
        "request_checksum_calculation": "when_required",
        "response_checksum_validation": "when_required",
        "max_pool_connections": 32,
    }
    if not key_id:
        options["signature_version"] = UNSIGNED
    return boto3.client(
        "s3",
        endpoint_url=address,
        aws_access_key_id=key_id or None,
        aws_secret_access_key=key_secret or None,
        config=Config(**options),
    )
