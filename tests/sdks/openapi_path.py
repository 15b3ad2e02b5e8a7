"""A service's whole life through ``alibabacloud-eas20210701``. Runs in the environment of Alibaba's SDKs alone.

Prints a JSON object of what each call answered.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from alibabacloud_eas20210701 import models
from alibabacloud_eas20210701.client import Client
from alibabacloud_tea_openapi.models import Config, OpenApiRequest, Params
from alibabacloud_tea_util.models import RuntimeOptions

CLUSTER, NAME, GROUP = "local", "sdk_openapi", "sdk_group"
document, seen = json.loads(sys.argv[1]), {}


def client_of(**changes: str) -> Client:
    settings = {
        "access_key_id": os.environ["ACCESS_KEY_ID"],
        "access_key_secret": os.environ["ACCESS_KEY_SECRET"],
        "endpoint": os.environ["ENDPOINT"],
        "protocol": "http",
        "region_id": CLUSTER,
    }
    return Client(Config(**(settings | changes)))


client = client_of()


def describe() -> dict[str, Any]:
    return dict(client.describe_service(CLUSTER, NAME).body.to_map())


def wait_for(status: str) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while (now := describe())["Status"] != status:
        assert time.monotonic() < deadline, now
        time.sleep(0.2)
    return now


def refusal(call: Callable[[], Any]) -> str:
    """The code that the SDK raises."""
    try:
        call()
    except Exception as error:  # the SDKs have three kinds of their own
        return str(getattr(error, "code", None))
    return ""


def update_group(mode: str) -> str:
    """UpdateGroup, which the SDK knows how to call and has no method for."""
    parts = Params(
        action="UpdateGroup", version="2021-07-01", protocol="HTTP", method="PUT", auth_type="AK", style="ROA",
        pathname=f"/api/v2/groups/{CLUSTER}/{GROUP}", req_body_type="json", body_type="json",
    )  # fmt: skip
    asked = OpenApiRequest(body={"TrafficMode": mode})
    return str(client.call_api(parts, asked, RuntimeOptions())["body"]["Message"])


request = models.CreateServiceRequest(body=json.dumps(document), labels={"team": "a b*ü"})
seen["create"] = client.create_service(request).body.to_map()
seen["running"] = wait_for("Running")
for algorithm in ("ACS3-HMAC-SHA256", "ACS3-HMAC-SM3", "v2"):
    listed = client_of(signature_algorithm=algorithm).list_services(
        models.ListServicesRequest(filter="openapi", label={"team": "a b*ü"}, page_size=5)
    )
    seen[f"list {algorithm}"] = [one.service_name for one in listed.body.services]
with_scheme = client_of(endpoint=f"http://{os.environ['ENDPOINT']}")
seen["scheme"] = with_scheme.describe_service(CLUSTER, NAME).body.status
seen["async"] = asyncio.run(client.describe_service_async(CLUSTER, NAME)).body.status
seen["async list"] = asyncio.run(
    client.list_services_async(models.ListServicesRequest(filter="openapi", label={"team": "a b*ü"}))
).body.total_count
seen["instances"] = client.list_service_instances(CLUSTER, NAME, models.ListServiceInstancesRequest()).body.to_map()
update = models.UpdateServiceRequest(body=json.dumps({"metadata": {"cpu": 1}}))
seen["update"] = client.update_service(CLUSTER, NAME, update).body.message
wait_for("Running")
versions = client.list_service_versions(CLUSTER, NAME, models.ListServiceVersionsRequest()).body
seen["versions"] = [one.image_id for one in versions.versions]
back = models.UpdateServiceVersionRequest(version=1)
seen["switch"] = client.update_service_version(CLUSTER, NAME, back).body.message
wait_for("Running")
seen["stop"] = client.stop_service(CLUSTER, NAME).body.message
wait_for("Stopped")
seen["start"] = client.start_service(CLUSTER, NAME).body.message
wait_for("Running")
joining = models.UpdateServiceRequest(body=json.dumps({"metadata": {"group": GROUP}}))
client.update_service(CLUSTER, NAME, joining)
wait_for("Running")
seen["groups"] = client.list_groups(models.ListGroupsRequest(filter="sdk_gro", page_size="5")).body.to_map()
seen["group before"] = client.describe_group(CLUSTER, GROUP).body.to_map()
seen["group update"] = update_group("customized")
released = models.ReleaseServiceRequest(traffic_state="grouping", weight=40)
seen["release"] = client.release_service(CLUSTER, NAME, released).body.message
seen["group after"] = client.describe_group(CLUSTER, GROUP).body.to_map()
seen["group endpoints"] = client.describe_group_endpoints(CLUSTER, GROUP).body.to_map()
seen["member"] = describe()
seen["unknown group"] = refusal(lambda: client.describe_group(CLUSTER, "nothing_here"))
seen["logs"] = client.describe_service_log(CLUSTER, NAME, models.DescribeServiceLogRequest()).body.to_map()
seen["events"] = client.describe_service_event(CLUSTER, NAME, models.DescribeServiceEventRequest()).body.to_map()
seen["encoded"] = refusal(lambda: client.describe_service(CLUSTER, "a b/ü*"))
seen["unknown service"] = refusal(lambda: client.describe_service(CLUSTER, "nothing_here"))
seen["wrong secret"] = refusal(lambda: client_of(access_key_secret="x").describe_service(CLUSTER, NAME))
seen["wrong id"] = refusal(lambda: client_of(access_key_id="LTAInothing").describe_service(CLUSTER, NAME))
seen["delete"] = client.delete_service(CLUSTER, NAME).body.message
deadline = time.monotonic() + 60
while not (code := refusal(describe)):
    assert time.monotonic() < deadline
    time.sleep(0.2)
seen["gone"] = code
seen["groups at last"] = client.list_groups(models.ListGroupsRequest()).body.total_count
print(json.dumps(seen))
