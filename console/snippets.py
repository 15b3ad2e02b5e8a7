"""How to call a service, as text that runs when it is pasted (console.md §4, "Snippet tabs"). Pure.

The token is left open as ``TOKEN_MARK``: the page shows dots there, and copying puts the real one in.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

#: Stands for the token in a snippet; no snippet holds it otherwise.
TOKEN_MARK = "{{service-token}}"


@dataclass(frozen=True, slots=True)
class Snippet:
    """One tab. ``before`` and ``after`` are the text around each token."""

    key: str
    title: str
    needs: str  # what to install first, "" for nothing
    text: str

    @property
    def parts(self) -> list[str]:
        """The text between the tokens."""
        return self.text.split(TOKEN_MARK)


def websocket_of(endpoint: str) -> str:
    """The same address for WebSocket: ``http`` becomes ``ws`` (eas.md §1.1)."""
    parts = urlsplit(endpoint)
    return urlunsplit(parts._replace(scheme="wss" if parts.scheme == "https" else "ws"))


def snippets_of(endpoint: str, *, is_language_model: bool) -> list[Snippet]:
    """The tabs for a service; one that is no language model is called with a plain request."""
    if not is_language_model:
        return [
            Snippet("curl", "curl", "", f"curl {endpoint}/ \\\n  -H 'Authorization: {TOKEN_MARK}'"),
            Snippet("python", "Python", "", PLAIN_PYTHON.replace("ENDPOINT", endpoint)),
        ]
    return [
        Snippet("curl", "curl", "", CURL.replace("ENDPOINT", endpoint)),
        Snippet("python", "Python", "", PYTHON.replace("ENDPOINT", endpoint)),
        Snippet("openai", "OpenAI", "pip install openai", OPENAI.replace("ENDPOINT", endpoint)),
        Snippet(
            "websocket",
            "WebSocket",
            "pip install websocket-client",
            WEBSOCKET.replace("ENDPOINT", websocket_of(endpoint)),
        ),
    ]


CURL = f"""\
curl ENDPOINT \\
  -H 'Authorization: {TOKEN_MARK}' \\
  -H 'Content-Type: application/json' \\
  -d '{{"prompt": "What is a slipway?", "use_stream_chat": false}}'"""

PYTHON = f"""\
import json
import urllib.request

request = urllib.request.Request(
    "ENDPOINT",
    data=json.dumps({{"prompt": "What is a slipway?"}}).encode(),
    headers={{"Authorization": "{TOKEN_MARK}", "Content-Type": "application/json"}},
)
# The answer comes as JSON objects, each ended by a NUL byte and holding all the text so far.
with urllib.request.urlopen(request) as response:
    pending, shown = b"", 0
    while chunk := response.read1():
        *frames, pending = (pending + chunk).split(b"\\0")
        for frame in filter(None, frames):
            text = json.loads(frame)["response"]
            print(text[shown:], end="", flush=True)
            shown = len(text)
print()"""

OPENAI = f"""\
from openai import OpenAI

client = OpenAI(base_url="ENDPOINT/v1", api_key="{TOKEN_MARK}")
stream = client.chat.completions.create(
    model="default",
    messages=[{{"role": "user", "content": "What is a slipway?"}}],
    stream=True,
)
for chunk in stream:
    if chunk.choices:
        print(chunk.choices[0].delta.content or "", end="", flush=True)
print()"""

WEBSOCKET = f"""\
import json
import websocket

connection = websocket.create_connection("ENDPOINT", header=["Authorization: {TOKEN_MARK}"])
connection.send(json.dumps({{"prompt": "What is a slipway?"}}))
# Pieces of the answer, then <EOS>; the connection remembers the dialogue for the next prompt.
while (piece := connection.recv()) != "<EOS>":
    print(piece, end="", flush=True)
print()
connection.close()"""

PLAIN_PYTHON = f"""\
import urllib.request

request = urllib.request.Request("ENDPOINT/", headers={{"Authorization": "{TOKEN_MARK}"}})
with urllib.request.urlopen(request) as response:
    print(response.read().decode())"""


def token_snippet(address: str, token: str = "") -> str:
    """Who a personal token belongs to, asked with curl; by default the shell knows the token."""
    return f'curl -H "Authorization: Bearer {token or "$TOKEN"}" {address}/api/v2/me'


def api_key_snippets(address: str, secret: str = "", model: str = "my_service") -> tuple[str, str]:
    """A service, called with an API key by curl and by OpenAI's client; by default the environment holds the key.

    Without a ``model`` to chat with: what the key may call.
    """
    curl, code = (API_KEY_CURL, API_KEY_OPENAI) if model else (MODELS_CURL, MODELS_OPENAI)
    curl = curl.replace("ENDPOINT", address).replace("MODEL", model).replace("SECRET", secret or "$API_KEY")
    known = f'"{secret}"' if secret else 'os.environ["API_KEY"]'
    code = code.replace("ENDPOINT", address).replace("MODEL", model).replace("SECRET", known)
    return curl, code if secret else f"import os\n\n{code}"


def access_key_snippet(address: str, region: str, key_id: str = "", secret: str = "") -> str:
    """The services, listed with Alibaba's SDK; by default the environment holds the key."""
    scheme, _, host = address.partition("://")
    known = {"ACCESS_KEY_ID": key_id, "ACCESS_KEY_SECRET": secret}
    words = {name: f'"{value}"' if value else f'os.environ["{name}"]' for name, value in known.items()}
    text = ALIBABA.replace("HOST", host).replace("SCHEME", scheme).replace("REGION", region)
    imports = "" if key_id else "import os\n\n"
    return imports + text.replace("KEY_ID", words["ACCESS_KEY_ID"]).replace("KEY_SECRET", words["ACCESS_KEY_SECRET"])


API_KEY_CURL = """\
curl ENDPOINT/v1/chat/completions \\
  -H "Authorization: Bearer SECRET" \\
  -H "Content-Type: application/json" \\
  -d '{"model": "MODEL", "messages": [{"role": "user", "content": "What is a slipway?"}]}'"""

API_KEY_OPENAI = """\
from openai import OpenAI

client = OpenAI(base_url="ENDPOINT/v1", api_key=SECRET)
answer = client.chat.completions.create(
    model="MODEL",
    messages=[{"role": "user", "content": "What is a slipway?"}],
)
print(answer.choices[0].message.content)"""

MODELS_CURL = 'curl ENDPOINT/v1/models -H "Authorization: Bearer SECRET"'

MODELS_OPENAI = """\
from openai import OpenAI

client = OpenAI(base_url="ENDPOINT/v1", api_key=SECRET)
for model in client.models.list():
    print(model.id)"""

ALIBABA = """\
from alibabacloud_eas20210701.client import Client
from alibabacloud_eas20210701.models import ListServicesRequest
from alibabacloud_tea_openapi.models import Config

config = Config(
    access_key_id=KEY_ID,
    access_key_secret=KEY_SECRET,
    endpoint="HOST",
    protocol="SCHEME",
    region_id="REGION",
)
for service in Client(config).list_services(ListServicesRequest()).body.services:
    print(service.service_name, service.status)"""
