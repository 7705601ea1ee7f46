"""Many deployments, at once and while functions run: no error of the server's own, no lost update, no disk that grows."""

import concurrent.futures
import contextlib
import json
import os
import pathlib
import random
import shutil
import tempfile
import threading
import time

import botocore.exceptions
import pytest

from conftest import IS_ROOT, MODES, ROLE, copy_node, make_zip, running


def node(text: str) -> bytes:
    return make_zip({"index.js": f"exports.handler = async () => {json.dumps(text)}"})


def eventually(check, within=15.0):
    deadline = time.monotonic() + within
    while True:
        try:
            return check()
        except (AssertionError, botocore.exceptions.ClientError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def updated(server, name):
    server.lambda_.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0.05})


@pytest.fixture
def own_server():
    """A server whose packages are this test's alone."""
    with running(MODES[0]) as server:
        yield server


def packages(server) -> set:
    return {p.name for p in (server.data_dir / "packages").iterdir() if p.is_dir()}


def blobs(server) -> set:
    return {p.name for p in server.data_dir.rglob("blobs/??/*")}


def test_replaced_packages_are_removed_once_nothing_runs_them(own_server):
    server = own_server
    slow = "exports.handler = (e) => new Promise(r => setTimeout(() => r(require('fs').readdirSync('/var/task')), e.ms || 0))"
    name = server.deploy({"index.js": slow, "first.txt": ""}, Timeout=20)
    first = packages(server)
    assert len(first) == 1 and blobs(server) == first
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        running_old = pool.submit(server.invoke, name, {"ms": 6000})
        time.sleep(1)
        for number in range(8):
            server.lambda_.update_function_code(FunctionName=name, ZipFile=make_zip({"index.js": slow, f"{number}.txt": ""}))
            updated(server, name)
        assert server.invoke(name, {})[0] == ["7.txt", "index.js"]

        def two_left():
            assert first < packages(server) and len(packages(server)) == 2 and blobs(server) == packages(server)

        eventually(two_left, 4)
        assert running_old.result()[0] == ["first.txt", "index.js"], "what runs keeps its code"

    def one_left():
        assert len(packages(server)) == 1 and blobs(server) == packages(server) and packages(server) != first

    eventually(one_left)
    version = server.lambda_.publish_version(FunctionName=name)["Version"]
    server.lambda_.update_function_code(FunctionName=name, ZipFile=node("after"))
    updated(server, name)
    time.sleep(2.5)
    assert len(packages(server)) == 2, "a published version keeps its code"
    assert server.invoke(name, {}, Qualifier=version)[0] == ["7.txt", "index.js"]
    server.lambda_.delete_function(FunctionName=name)

    def nothing_left():
        assert packages(server) == blobs(server) == set()

    eventually(nothing_left)
    server.deploy(node("again"), name=name)
    assert server.invoke(name)[0] == "again", "a package that was removed can come back"


def test_a_package_removed_behind_the_servers_back_is_unpacked_again(own_server):
    name = own_server.deploy(node("here"))
    (package,) = (own_server.data_dir / "packages" / name for name in packages(own_server))
    package.rename(own_server.directory / "elsewhere")
    assert own_server.invoke(name)[0] == "here"


@contextlib.contextmanager
def running_with_own_node():
    """A server, and the directory of the Node that it was configured with."""
    with tempfile.TemporaryDirectory() as directory:
        directory = pathlib.Path(directory)
        directory.chmod(0o755)  # For the server, which is not root any more.
        copy_node(directory / "node")
        config = directory / "nilas.toml"
        config.write_text(f'[runtimes]\nnodejs = "{directory}/node/bin/node"\n')
        with running(MODES[0], "--config", str(config)) as server:
            yield server, directory / "node"


def test_an_interpreter_that_vanished_is_named():
    """The runtime was removed after the function was made: its owner is told, not that the server failed."""
    with running_with_own_node() as (server, own_node):
        name = server.deploy(node("x"))
        assert server.invoke(name)[0] == "x"
        shutil.rmtree(own_node)
        fresh = server.deploy(node("y"))
        try:
            payload, error, _ = server.invoke(fresh)
            assert error == "Unhandled" and "no such file" in payload["errorMessage"], payload
        except botocore.exceptions.ClientError as refused:
            assert refused.response["Error"]["Code"] == "InvalidRuntimeException", refused
            assert refused.response["Error"]["Message"].endswith("/node/bin/node is gone.")


@pytest.mark.skipif(not IS_ROOT, reason="needs a directory that the server may not look into")
def test_an_interpreter_below_roots_home_is_not_taken_for_gone():
    """The server gave its privileges up and does not see it; the spawner does."""
    with running_with_own_node() as (server, own_node):
        name = server.deploy(node("x"))
        own_node.parent.chmod(0o700)
        (package,) = (server.data_dir / "packages" / name for name in packages(server))
        package.rename(server.directory / "elsewhere")
        assert server.invoke(name)[0] == "x"


def test_an_update_lets_running_invocations_finish_on_the_old_code(main_server):
    server = main_server
    source = "exports.handler = (ms) => new Promise(r => setTimeout(() => r('old'), ms))"
    name = server.deploy(source, Timeout=10)
    before = server.lambda_.get_function_configuration(FunctionName=name)["RevisionId"]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        running_old = [pool.submit(server.invoke, name, 2000) for _ in range(3)]
        time.sleep(0.7)
        answer = server.lambda_.update_function_code(FunctionName=name, ZipFile=node("new"), RevisionId=before)
        updated(server, name)
        assert server.invoke(name, 0)[0] == "new"
        assert [future.result()[:2] for future in running_old] == [("old", None)] * 3
    after = server.lambda_.get_function_configuration(FunctionName=name)["RevisionId"]
    assert len({before, answer["RevisionId"], after}) == 3
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        server.lambda_.update_function_code(FunctionName=name, ZipFile=node("lost"), RevisionId=before)
    assert refused.value.response["Error"]["Code"] == "PreconditionFailedException"


def test_a_deleted_function_finishes_what_runs(main_server):
    name = main_server.deploy("exports.handler = () => new Promise(r => setTimeout(() => r('finished'), 1500))", Timeout=10)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        running_one = pool.submit(main_server.invoke, name)
        time.sleep(0.5)
        main_server.lambda_.delete_function(FunctionName=name)
        with pytest.raises(main_server.lambda_.exceptions.ResourceNotFoundException):
            main_server.invoke(name)
        assert running_one.result()[:2] == ("finished", None)


ALLOWED = {
    "create_function": {"ResourceConflictException"},
    "update_function_code": {"ResourceConflictException", "ResourceNotFoundException"},
    "update_function_configuration": {"ResourceConflictException", "ResourceNotFoundException"},
    "publish_version": {"ResourceConflictException", "ResourceNotFoundException"},
    "delete_function": {"ResourceNotFoundException"},
    "get_function": {"ResourceNotFoundException"},
    "invoke": {"ResourceNotFoundException", "ResourceConflictException"},
}


def test_everything_at_once_on_the_same_functions(own_server):
    server, names, seen, wrong = own_server, ["one", "two"], {}, []
    stop = time.monotonic() + 12

    def members(operation, name, dice):
        common = {"FunctionName": name}
        return common | {
            "create_function": {"Runtime": "nodejs20.x", "Handler": "index.handler", "Role": ROLE, "Code": {"ZipFile": node(f"{dice.randrange(5)}")}},
            "update_function_code": {"ZipFile": node(f"{dice.randrange(5)}"), "Publish": dice.random() < 0.3},
            "update_function_configuration": {"Timeout": dice.randrange(3, 30)},
        }.get(operation, {})

    def hammer(seed):
        dice, client = random.Random(seed), server.client("lambda", retries={"max_attempts": 0})
        while time.monotonic() < stop:
            operation = dice.choice([*ALLOWED, "invoke", "invoke", "create_function"])
            try:
                answer = getattr(client, operation)(**members(operation, dice.choice(names), dice))
                outcome = "fine"
                if operation == "invoke":
                    payload = json.load(answer["Payload"])
                    if answer.get("FunctionError") or payload not in list("01234"):
                        wrong.append((operation, payload))
            except botocore.exceptions.ClientError as refused:
                outcome = refused.response["Error"]["Code"]
                if outcome not in ALLOWED[operation]:
                    wrong.append((operation, refused.response))
            seen[(operation, outcome)] = seen.get((operation, outcome), 0) + 1

    threads = [threading.Thread(target=hammer, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert {operation for operation, outcome in seen if outcome == "fine"} == set(ALLOWED), seen
    log = server.log_path.read_text(errors="replace")
    assert "panick" not in log
    assert [line for line in log.splitlines() if '"level":"ERROR"' in line] == []
    for name in names:
        try:
            server.lambda_.delete_function(FunctionName=name)
        except server.lambda_.exceptions.ResourceNotFoundException:
            pass

    def nothing_left():
        assert packages(server) == blobs(server) == set()

    eventually(nothing_left)


def test_no_update_is_lost(main_server):
    """Each caller adds a tag, and a version of its own: all of them are there afterwards."""
    name = main_server.deploy(node("x"))
    arn = main_server.lambda_.get_function_configuration(FunctionName=name)["FunctionArn"]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: main_server.lambda_.tag_resource(Resource=arn, Tags={f"k{n}": "v"}), range(40)))
    assert len(main_server.lambda_.list_tags(Resource=arn)["Tags"]) == 40


def test_a_package_of_40_megabytes(main_server):
    package = make_zip({"index.js": "exports.handler = async () => require('fs').statSync('/var/task/big').size", "big": os.urandom(40 << 20)})
    name = main_server.deploy(package, Timeout=30)
    assert main_server.invoke(name)[0] == 40 << 20
    assert main_server.lambda_.get_function(FunctionName=name)["Configuration"]["CodeSize"] == len(package)
    main_server.lambda_.delete_function(FunctionName=name)


def test_three_hundred_functions_page(own_server):
    package = node("x")

    def create(number):
        own_server.lambda_.create_function(
            FunctionName=f"many-{number:03}", Runtime="nodejs20.x", Handler="index.handler", Role=ROLE, Code={"ZipFile": package}
        )

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(create, range(300)))
    assert len(own_server.lambda_.list_functions()["Functions"]) == 50
    pages = list(own_server.lambda_.get_paginator("list_functions").paginate())
    assert [f["FunctionName"] for page in pages for f in page["Functions"]] == [f"many-{number:03}" for number in range(300)]
    listed = json.loads(own_server.aws("lambda", "list-functions", "--page-size", "7", "--query", "Functions[].FunctionName").stdout)
    assert len(listed) == 300
    assert own_server.lambda_.get_account_settings()["AccountUsage"]["FunctionCount"] == 300


def test_the_account_limit_answers_429():
    with running(MODES[0], "--concurrency", "3") as server:
        limit = server.lambda_.get_account_settings()["AccountLimit"]
        assert limit["ConcurrentExecutions"] == limit["UnreservedConcurrentExecutions"] == 3
        name = server.deploy("exports.handler = () => new Promise(r => setTimeout(() => r('ok'), 2500))", Timeout=10)
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            busy = [pool.submit(server.invoke, name) for _ in range(3)]
            time.sleep(1.2)
            with pytest.raises(server.lambda_.exceptions.TooManyRequestsException) as refused:
                server.client("lambda", retries={"max_attempts": 0}).invoke(FunctionName=name)
            response = refused.value.response
            assert response["ResponseMetadata"]["HTTPStatusCode"] == 429
            assert response["ResponseMetadata"]["HTTPHeaders"]["retry-after"] == "1"
            assert response["Error"] == {"Code": "TooManyRequestsException", "Message": "Rate Exceeded."}
            assert response["Reason"] == "ConcurrentInvocationLimitExceeded" and response["Type"] == "User"
            assert [future.result()[0] for future in busy] == ["ok"] * 3
        assert server.invoke(name)[0] == "ok"
        # Room is made for other functions: idle environments do not count.
        other = server.deploy(node("other"))
        assert server.invoke(other)[0] == "other"
