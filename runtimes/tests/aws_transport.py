"""Runs AWS's Python client (`awslambdaric`) over our socket instead of HTTP.

Used by test_against_aws.py only.
"""

import json
import os
import sys
import types

SOCKET = 3


def main():
    sys.modules["runtime_client"] = transport()
    sys.path.pop(0)  # this directory
    environment = os.environ
    sys.path[0:0] = [environment["LAMBDA_TASK_ROOT"]]
    from awslambdaric import bootstrap, lambda_runtime_client

    class Client(lambda_runtime_client.LambdaRuntimeClient):
        def post_init_error(self, error, _type=None):
            send(4, "", lambda_runtime_client.to_json(error).encode())

    bootstrap.run(environment["_HANDLER"], Client("127.0.0.1:9"))


def transport():
    module = types.ModuleType("runtime_client")
    state = {"announced": False}

    def following():
        if not state["announced"]:
            state["announced"] = True
            send(1, "", b"")
        frame = read(int.from_bytes(read(4), "little"))
        end = 5 + int.from_bytes(frame[1:5], "little")
        header = json.loads(frame[5:end].decode())
        return frame[end:], {
            "Lambda-Runtime-Aws-Request-Id": header["requestId"],
            "Lambda-Runtime-Trace-Id": header.get("traceId"),
            "Lambda-Runtime-Invoked-Function-Arn": header["invokedFunctionArn"],
            "Lambda-Runtime-Deadline-Ms": header["deadlineMs"],
            "Lambda-Runtime-Client-Context": header.get("clientContext"),
            "Lambda-Runtime-Cognito-Identity": header.get("cognitoIdentity"),
            "Content-Type": "application/json",
        }

    module.initialize_client = lambda agent: None
    module.next = following
    module.post_invocation_result = lambda id, body, kind, invocation=None: send(2, id, body)
    module.post_error = lambda id, body, fault, invocation=None: send(3, id, body.encode())
    return module


def send(kind, request_id, body):
    payload = bytes((kind,)) + request_id.encode() + body
    data = len(payload).to_bytes(4, "little") + payload
    while data:
        data = data[os.write(SOCKET, data) :]


def read(length):
    data = b""
    while len(data) < length:
        piece = os.read(SOCKET, length - len(data))
        if not piece:
            os._exit(0)
        data += piece
    return data


main()
