"""A service's whole life through ``alipai``. Runs in the environment of Alibaba's SDKs alone.

Prints a JSON object of what each call answered as its last line.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

from alibabacloud_credentials.models import Config as Credentials
from alibabacloud_tea_openapi.models import Config
from pai.libs.alibabacloud_eas20210701 import models
from pai.libs.alibabacloud_eas20210701.client import Client
from pai.model import Model, container_serving_spec
from pai.predictor import Predictor
from pai.session import Session

CLUSTER, NAME = "local", "sdk_alipai"
seen: dict[str, Any] = {}
key = {"access_key_id": os.environ["ACCESS_KEY_ID"], "access_key_secret": os.environ["ACCESS_KEY_SECRET"]}
# Without credentials of its own a session would look for some on this machine.
session = Session(region_id=CLUSTER, credential_config=Credentials(type="access_key", **key), network="PUBLIC")
config = Config(endpoint=os.environ["ENDPOINT"], protocol="http", **key)
client = session.acs_client_container["pai-eas"] = Client(config)
spec = container_serving_spec(command=sys.argv[1], image_uri="tools:1", port=8000)
predictor: Predictor = Model(inference_spec=spec, session=session).deploy(
    service_name=NAME, instance_count=1, resource_config={"cpu": 1, "memory": 256}, wait=True
)
seen["status"] = session.service_api.get(NAME)["Status"]
seen["answer"] = predictor.raw_predict(path="/", method="GET").status_code
seen["list"] = [one["ServiceName"] for one in session.service_api.list(filter="alipai").items]
session.service_api.update(NAME, {"metadata": {"name": NAME, "cpu": 2}})
predictor.wait_for_ready()
seen["versions"] = [
    one.image_id
    for one in client.list_service_versions(CLUSTER, NAME, models.ListServiceVersionsRequest()).body.versions
]
session.service_api.update_version(NAME, 1)
predictor.wait_for_ready()
predictor.stop_service()
seen["stopped"] = session.service_api.get(NAME)["Status"]
predictor.start_service()
seen["started"] = session.service_api.get(NAME)["Status"]
seen["logs"] = client.describe_service_log(CLUSTER, NAME, models.DescribeServiceLogRequest()).body.to_map()
seen["events"] = client.describe_service_event(CLUSTER, NAME, models.DescribeServiceEventRequest()).body.to_map()
predictor.delete_service()
deadline = time.monotonic() + 60
while NAME in [one["ServiceName"] for one in session.service_api.list().items]:
    assert time.monotonic() < deadline
    time.sleep(0.2)
seen["gone"] = True
print(json.dumps(seen))
