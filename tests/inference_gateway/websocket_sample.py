"""One round over a WebSocket of its own, as the sample of EAS's page: ADDRESS TOKEN QUESTION. Prints what it saw."""

from __future__ import annotations

import json
import struct
import sys

import websocket

address, token, question = sys.argv[1:]
connection = websocket.create_connection(address, header=[f"Authorization: {token}"], timeout=60)
connection.send(question.encode("utf-8"))
texts = [connection.recv()]
while texts[-1] != "<EOS>":
    texts.append(connection.recv())
connection.send(struct.pack("!H", 1000), websocket.ABNF.OPCODE_CLOSE)
opcode, data = connection.recv_data()
print(json.dumps({"messages": len(texts), "opcode": opcode, "code": struct.unpack("!H", data[:2])[0]}))
