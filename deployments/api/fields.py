"""The objects of EAS's answers (eas.md §4.2): every documented field, none of them null.

What Slipway has no such thing for is "", 0, False or []. Fields that only Slipway has stand at the end.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypedDict

from django.conf import settings

from deployments.addresses import endpoint_of
from deployments.api.query import label_text
from deployments.clusters.base import InstancePhase
from deployments.encryption import SecretUnreadable, decrypt
from deployments.models import Desired, Instance, Service, ServiceGroup
from deployments.spec import ENGINE_LABEL, LLM_ENGINES

logger = logging.getLogger(__name__)


class Label(TypedDict):
    """One label of a service."""

    LabelKey: str
    LabelValue: str


class InstanceCounts(TypedDict):
    """Where a service's instances run."""

    Quota: int
    Public: int
    Dedicated: int


class ServiceFieldsUnused(TypedDict):
    """What EAS's services have and Slipway's do not."""

    ParentUid: str
    Source: str
    Role: str
    RoleAttrs: str
    ResourceAlias: str
    Namespace: str
    SafetyLock: str
    SecondaryInternetEndpoint: str
    SecondaryIntranetEndpoint: str
    ExtraData: str
    AppType: str
    AppVersion: str
    AppSpecName: str
    AppConfig: str
    CronscalerEnabled: bool


class ServiceFields(ServiceFieldsUnused):
    """A service. ``AccessToken`` is "" in lists and for viewers."""

    ServiceId: str
    ServiceUid: str
    ServiceName: str
    ServiceGroup: str
    Weight: int
    TrafficState: str
    ServiceType: str
    Region: str
    WorkspaceId: str
    CallerUid: str
    Status: str
    Reason: str
    Message: str
    CreateTime: str
    UpdateTime: str
    Labels: list[Label]
    Image: str
    Cpu: int
    Gpu: int
    GPUMemory: int
    GPUCorePercentage: int
    Memory: int
    Resource: str
    ResourceType: str
    ResourceBurstable: bool
    QuotaId: str
    Gateway: str
    AutoscalerEnabled: bool
    TotalInstance: int
    RunningInstance: int
    PendingInstance: int
    InstanceCountInResource: InstanceCounts
    CurrentVersion: int
    LatestVersion: int
    AccessToken: str
    InternetEndpoint: str
    IntranetEndpoint: str
    ServiceConfig: str
    WantedVersion: int
    WantedStatus: str
    StatusTime: str
    Author: str


class LastState(TypedDict):
    """How an instance's program ended before (eas.md §4.4, showworkers)."""

    exitCode: int
    finishedAt: str
    reason: str
    startedAt: str
    message: str


class InstanceFieldsUnused(TypedDict):
    """What EAS's instances have and Slipway's do not."""

    InstanceType: str
    HostName: str
    ExternalIP: str
    TenantInstanceIP: str
    TenantHostIP: str
    ExternalInstancePort: int
    Namespace: str
    Zone: str
    Role: str
    ResourceType: str
    IsSpot: bool
    OriginalAmount: float
    CurrentAmount: float
    Isolated: bool
    Detached: bool
    IsReplica: bool
    ReplicaName: str


class InstanceFields(InstanceFieldsUnused):
    """One instance."""

    InstanceName: str
    InnerIP: str
    HostIP: str
    InstancePort: int
    Status: str
    Reason: str
    RestartCount: int
    ReadyProcesses: int
    TotalProcesses: int
    StartAt: str
    StartTime: str
    LastState: list[LastState]
    IsLatest: bool
    Version: int
    Message: str
    NodeName: str
    Gpu: int
    Ready: bool


SERVICE_UNUSED = ServiceFieldsUnused(
    ParentUid="",
    Source="",
    Role="",
    RoleAttrs="",
    ResourceAlias="",
    Namespace="",
    SafetyLock="none",
    SecondaryInternetEndpoint="",
    SecondaryIntranetEndpoint="",
    ExtraData="",
    AppType="",
    AppVersion="",
    AppSpecName="",
    AppConfig="",
    CronscalerEnabled=False,
)
INSTANCE_UNUSED = InstanceFieldsUnused(
    InstanceType="",
    HostName="",
    ExternalIP="",
    TenantInstanceIP="",
    TenantHostIP="",
    ExternalInstancePort=0,
    Namespace="",
    Zone="",
    Role="",
    ResourceType="PublicResource",
    IsSpot=False,
    OriginalAmount=0.0,
    CurrentAmount=0.0,
    Isolated=False,
    Detached=False,
    IsReplica=False,
    ReplicaName="",
)


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of a service beside its row. ``may_change``: whoever asks may see its environment."""

    base_url: str
    ready_instances: int
    latest_version: int
    may_change: bool = False
    access_token: str = ""


def time_text(instant: datetime | None) -> str:
    """A time in EAS's form, UTC to the second."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if instant else ""


def token_of(service: Service | ServiceGroup) -> str:
    """The token of a service or a group; "" where it was encrypted with another secret key."""
    try:
        return decrypt(service.token_encrypted)
    except SecretUnreadable as error:
        logger.warning("%s: %s", service.name, error)
        return ""


def part(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = document.get(key)
    return value if isinstance(value, Mapping) else {}


def text_of(value: object) -> str:
    """A value of a kept but unchecked key as text, "" for null."""
    if value is None or value == "":
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def whole_of(value: object) -> int:
    """A number as a whole one, rounded up: half a core needs a core. Kept keys may hold anything."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return 0
    return math.ceil(value)


def service_type(document: Mapping[str, Any]) -> str:
    """EAS's ServiceType (eas.md §4.3): what ``metadata.type`` says, else LLM for the known engines."""
    said = part(document, "metadata").get("type")
    if isinstance(said, str) and said:
        return said
    engine = str(part(document, "labels").get(ENGINE_LABEL, "")).lower()
    return "LLM" if engine in LLM_ENGINES else "Standard"


def eas_message(service: Service) -> str:
    """EAS says a healthy service in these words, which programs may look for (eas.md §4.2); else our sentence."""
    is_whole = service.reason == "RUNNING" and service.message.startswith("Running.")
    return "Service start successfully" if is_whole else service.message


def service_fields(service: Service, seen: Seen) -> ServiceFields:
    """A service whose ``wanted_revision``, ``serving_revision``, ``workspace`` and ``created_by`` are loaded."""
    document = service.document
    metadata = part(document, "metadata")
    wanted = service.wanted_revision.number if service.wanted_revision else 0
    wants_instances = service.wanted_instances if service.desired == Desired.RUNNING else 0
    ready = seen.ready_instances
    url = endpoint_of(seen.base_url, service.name)
    resource = text_of(metadata.get("resource"))
    return ServiceFields(
        **SERVICE_UNUSED,
        ServiceId=service.uid,
        ServiceUid=service.uid,
        ServiceName=service.name,
        ServiceGroup=text_of(metadata.get("group")),
        Weight=service.weight if service.group_id else 0,
        TrafficState=str(service.traffic_state),
        ServiceType=service_type(document),
        Region=settings.SLIPWAY_REGION,
        WorkspaceId=service.workspace.slug,
        CallerUid=str(service.created_by_id or ""),
        Status=str(service.status),
        Reason=service.reason,
        Message=eas_message(service),
        CreateTime=time_text(service.created_at),
        UpdateTime=time_text(service.updated_at),
        Labels=[Label(LabelKey=key, LabelValue=label_text(value)) for key, value in part(document, "labels").items()],
        Image=text_of(document["containers"][0].get("image")),
        Cpu=whole_of(metadata.get("cpu")),
        Gpu=whole_of(metadata.get("gpu")),
        GPUMemory=whole_of(metadata.get("gpu_memory")),
        GPUCorePercentage=whole_of(metadata.get("gpu_core_percentage")),
        Memory=whole_of(metadata.get("memory")),
        Resource=resource,
        ResourceType="DedicatedResource" if resource else "PublicResource",
        ResourceBurstable=metadata.get("resource_burstable") is True,
        QuotaId=text_of(metadata.get("quota_id")),
        Gateway=text_of(part(document, "networking").get("gateway")),
        AutoscalerEnabled=bool(part(document, "autoscaler")),
        TotalInstance=service.wanted_instances,
        RunningInstance=ready,
        PendingInstance=max(0, wants_instances - ready),
        InstanceCountInResource=InstanceCounts(Quota=0, Public=service.wanted_instances, Dedicated=0),
        CurrentVersion=service.serving_revision.number if service.serving_revision else wanted,
        LatestVersion=seen.latest_version,
        AccessToken=seen.access_token,
        InternetEndpoint=url,
        IntranetEndpoint=url,
        ServiceConfig=json.dumps(document, ensure_ascii=False) if seen.may_change else "",
        WantedVersion=wanted,
        WantedStatus=str(service.desired),
        StatusTime=time_text(service.status_since),
        Author=service.created_by.get_username() if service.created_by else "",
    )


#: EAS has no word for a program that waits to be started again (eas.md §4.3).
INSTANCE_STATUS = {InstancePhase.BACKOFF.value: "Failed"}
INSTANCE_STATUSES = ("Pending", "Creating", "Running", "Failed", "Stopping", "Stopped")


def instance_fields(row: Instance, wanted_version: int) -> InstanceFields:
    """An instance as it was last seen."""
    failed = row.phase in {InstancePhase.BACKOFF, InstancePhase.FAILED}
    reason = row.last_exit_reason if failed and row.last_exit_reason else "" if row.ready_at else row.phase
    ends = [
        LastState(
            exitCode=row.last_exit_code or 0,
            finishedAt=time_text(row.last_exit_at),
            reason=row.last_exit_reason,
            startedAt="",
            message=row.last_exit_message,
        )
    ]
    return InstanceFields(
        **INSTANCE_UNUSED,
        InstanceName=row.name,
        InnerIP=row.host,
        HostIP=row.host,
        InstancePort=row.port,
        Status=INSTANCE_STATUS.get(row.phase, row.phase),
        Reason=reason,
        RestartCount=row.restart_count,
        ReadyProcesses=1 if row.ready_at else 0,
        TotalProcesses=1,
        StartAt=time_text(row.started_at or row.created_at),
        StartTime=time_text(row.started_at or row.created_at),
        LastState=ends if row.last_exit_at else [],
        IsLatest=row.revision_number == wanted_version,
        Version=row.revision_number,
        Message=row.last_exit_message if failed else row.step,
        NodeName=row.node,
        Gpu=row.gpus,
        Ready=row.ready_at is not None and row.phase == InstancePhase.RUNNING,
    )
