"""The workshop's services, from the same serverless.yml, with `nilas deploy`: the URLs answer as the workshop prints it."""

import concurrent.futures
import contextlib
import functools
import json
import os
import pathlib
import random
import re
import shutil
import socketserver
import struct
import subprocess
import sys

import bson
import pytest

from conftest import EXAMPLES

WORKSHOP = EXAMPLES / "workshop"
# Holds uuid 3 and mongodb 3, whose API the workshop's handlers are written for.
MODULES = pathlib.Path(os.environ.get("NILAS_TOOLS", EXAMPLES.parent / ".tools")) / "workshop/node_modules"


class Mongo(socketserver.ThreadingTCPServer):
    """As much of a MongoDB server as the workshop's handlers use: it says hello and counts its connections."""

    allow_reuse_address, daemon_threads = True, True

    def __init__(self):
        self.current, self.created = 0, 0
        super().__init__(("0.0.0.0", 0), Session)

    def answer(self, command: dict) -> dict:
        if "serverStatus" in command:
            connections = {"current": self.current, "available": 20_000 - self.current, "totalCreated": self.created}
            return {"connections": connections, "ok": 1.0}
        return {
            "ismaster": True, "helloOk": True, "maxBsonObjectSize": 16_777_216, "maxMessageSizeBytes": 48_000_000,
            "maxWriteBatchSize": 100_000, "minWireVersion": 0, "maxWireVersion": 8, "readOnly": False, "ok": 1.0,
        }


class Session(socketserver.StreamRequestHandler):
    def handle(self):
        self.server.created += 1
        self.server.current += 1
        with contextlib.suppress(ConnectionError, struct.error):
            while True:
                length, request, _, kind = struct.unpack("<iiii", self.rfile.read(16))
                body = self.rfile.read(length - 16)
                if kind == 2013:  # OP_MSG
                    answer = struct.pack("<Ib", 0, 0) + bson.encode(self.server.answer(bson.decode(body[5:])))
                else:  # OP_QUERY
                    command = bson.decode(body[body.index(b"\0", 4) + 9:])
                    answer = struct.pack("<iqii", 8, 0, 0, 1) + bson.encode(self.server.answer(command))
                    kind = 1
                self.wfile.write(struct.pack("<iiii", 16 + len(answer), 0, request, kind) + answer)
        self.server.current -= 1


def project(name: str, tmp_path: pathlib.Path) -> pathlib.Path:
    target = tmp_path / name
    shutil.copytree(WORKSHOP / name, target)
    if (target / "package.json").exists():
        shutil.copytree(MODULES, target / "node_modules")
    return target


def deploy(main_server, directory: pathlib.Path, **environment) -> str:
    """The URL that `nilas deploy` prints, or nothing."""
    done = subprocess.run(
        [str(main_server.binary), "deploy"], cwd=directory, capture_output=True, text=True, timeout=60,
        env={**main_server.environment_variables(), **environment},
    )
    assert done.returncode == 0, done.stderr
    found = re.search(r"GET - (http://\S+)", done.stdout)
    return found.group(1) if found else done.stdout


def curl(url: str) -> dict:
    """curl resolves names below localhost by itself, like browsers do."""
    done = subprocess.run(["curl", "-sS", "--fail-with-body", url], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr + done.stdout
    return json.loads(done.stdout)


def test_2_a_function(main_server, tmp_path):
    directory = project("2_hello_world", tmp_path)
    assert "hello: 2_hello_world-dev-hello" in deploy(main_server, directory)
    assert main_server.nilas("invoke", "-f", "hello", cwd=directory).stdout == '"Hello World"\n'
    assert main_server.nilas("invoke", "local", "-f", "hello", cwd=directory).stdout == '"Hello World"\n'
    assert "REPORT RequestId" in main_server.nilas("logs", "-f", "hello", cwd=directory).stdout
    main_server.nilas("remove", cwd=directory)
    assert "is not deployed" in main_server.nilas("info", cwd=directory, check=False).stderr


def test_3_an_api(main_server, tmp_path):
    url = deploy(main_server, project("3_hello_world_api", tmp_path))
    assert re.fullmatch(r"http://[a-z0-9]{10}\.execute-api\.us-east-1\.localhost:\d+/dev/hello", url)
    assert curl(url) == {"message": "Hello World!"}


def test_4_the_same_id_twice_in_a_row(main_server, tmp_path):
    url = deploy(main_server, project("4_uuid", tmp_path))
    first, second = curl(url), curl(url)
    assert first == second and re.fullmatch(r"[0-9a-f-]{36}", first["id"])


def test_5_different_ids_in_parallel(main_server, tmp_path):
    url = deploy(main_server, project("5_uuid_parallel", tmp_path))
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        first, second = pool.map(curl, [url, url])
    assert first != second


@pytest.fixture
def mongo_uri():
    """A server on another machine, which is a network namespace here: the host itself is closed to functions."""
    if os.geteuid() != 0:
        pytest.skip("another machine is made by root")
    tag = f"{random.randrange(255):03d}"  # The kernel takes its time to remove what an earlier one had.
    name, link, net = f"nilas-e2e-{tag}", f"e2e{tag}", f"198.18.{int(tag)}"
    ip = functools.partial(subprocess.run, check=True, capture_output=True)
    ip(["ip", "netns", "add", name])
    try:
        ip(["ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", name])
        ip(["ip", "addr", "add", f"{net}.1/30", "dev", link])
        ip(["ip", "link", "set", link, "up"])
        for command in [f"addr add {net}.2/30 dev eth0", "link set eth0 up", "link set lo up", f"route add default via {net}.1"]:
            ip(["ip", "-n", name, *command.split()])
        serve = ["ip", "netns", "exec", name, sys.executable, __file__]
        with subprocess.Popen(serve, stdout=subprocess.PIPE, text=True) as process:
            port = process.stdout.readline().strip()
            yield f"mongodb://{net}.2:{port}/?maxPoolSize=1"
            process.kill()
    finally:
        ip(["ip", "netns", "del", name])


@pytest.mark.parametrize(("name", "connects_again"), [("6_mongo", True), ("7_mongo_pooling", False)])
def test_6_and_7_connections(main_server, tmp_path, mongo_uri, name, connects_again):
    url = deploy(main_server, project(name, tmp_path), SLS_MONGO_URI=mongo_uri)
    first, second = curl(url)["connections"], curl(url)["connections"]
    assert (second["totalCreated"] > first["totalCreated"]) == connects_again


if __name__ == "__main__":
    with Mongo() as mongo:
        print(mongo.server_address[1], flush=True)
        mongo.serve_forever()
