"""Reserved and provisioned concurrency with real environments: limits that hold exactly, environments that are there
before anybody asks, what a flood of one function costs another."""

import base64
import concurrent.futures
import json
import threading
import time

import botocore.exceptions
import pytest

from conftest import MODES, make_zip, running

SLEEP = "exports.handler = async (e) => { await new Promise((r) => setTimeout(r, e.ms)); return 1; }"
KIND = """
const born = Date.now();
exports.handler = async (e) => {
  if (e.exit) process.exit(1);
  await new Promise((r) => setTimeout(r, e.ms || 0));
  return [process.env.AWS_LAMBDA_INITIALIZATION_TYPE, process.env.AWS_LAMBDA_FUNCTION_VERSION, born];
};
"""
# Costs next to nothing while it starts for seconds, and then never does.
SLOW = {"bootstrap": ("#!/bin/sh\nsleep 4\nexit 1\n", 0o755)}


@pytest.fixture
def lam(main_server):
    return main_server.client("lambda", retries={"max_attempts": 0})


def refused(code, call, **members):
    with pytest.raises(botocore.exceptions.ClientError) as error:
        call(**members)
    assert error.value.response["Error"]["Code"] == code, error.value.response
    return error.value.response


def many(lam, name, count, event):
    """`count` invocations at once: answers, errors of the function, and reasons of those that were throttled."""
    start = threading.Barrier(count)

    def one(_):
        start.wait()
        try:
            answer = lam.invoke(FunctionName=name, Payload=json.dumps(event).encode())
            return answer.get("FunctionError") or json.loads(answer["Payload"].read())
        except botocore.exceptions.ClientError as error:
            return error.response["Reason"]

    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def ready(lam, name, qualifier, seconds=20):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        got = lam.get_provisioned_concurrency_config(FunctionName=name, Qualifier=qualifier)
        if got["Status"] != "IN_PROGRESS":
            return got
        time.sleep(0.02)
    raise AssertionError(f"still {got}")


def published(server, code=KIND):
    name = server.deploy(code)
    server.lambda_.publish_version(FunctionName=name)
    return name


def test_a_reservation_limits_exactly(main_server, lam):
    name = main_server.deploy(SLEEP, Timeout=20)
    lam.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=3)
    assert lam.get_function_concurrency(FunctionName=name)["ReservedConcurrentExecutions"] == 3
    assert lam.get_function(FunctionName=name)["Concurrency"] == {"ReservedConcurrentExecutions": 3}
    results = many(lam, name, 8, {"ms": 1500})
    assert results.count(1) == 3
    assert results.count("ReservedFunctionConcurrentInvocationLimitExceeded") == 5
    lam.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    answer = refused("TooManyRequestsException", lam.invoke, FunctionName=name)
    assert answer["Error"]["Message"] == "Rate Exceeded." and answer["Type"] == "User"
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 429 and answer["retryAfterSeconds"] == "1"
    lam.delete_function_concurrency(FunctionName=name)
    assert "ReservedConcurrentExecutions" not in lam.get_function_concurrency(FunctionName=name)
    assert main_server.invoke(name, {"ms": 0})[0] == 1


def test_what_is_reserved_nobody_else_has():
    """110 in all, 10 of them reserved: the others share 100, however hard they try."""
    with running(MODES[0], "--concurrency", "110") as server:
        lam = server.client("lambda", retries={"max_attempts": 0}, max_pool_connections=200)
        busy, mine = server.deploy(SLOW, runtime="provided.al2023", Timeout=1), server.deploy(SLEEP, Timeout=20)
        lam.put_function_concurrency(FunctionName=mine, ReservedConcurrentExecutions=10)
        limits = lam.get_account_settings()["AccountLimit"]
        assert (limits["ConcurrentExecutions"], limits["UnreservedConcurrentExecutions"]) == (110, 100)
        message = refused(
            "InvalidParameterValueException", lam.put_function_concurrency, FunctionName=busy,
            ReservedConcurrentExecutions=1,
        )["Error"]["Message"]
        assert message == (
            "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution "
            "below its minimum value of [100]."
        )
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            flood = pool.submit(many, lam, busy, 130, {})
            time.sleep(2)
            assert not flood.done()
            assert many(lam, mine, 10, {"ms": 100}) == [1] * 10
            results = flood.result()
        assert results.count("Unhandled") == 100
        assert results.count("ConcurrentInvocationLimitExceeded") == 30


def test_provisioned_environments_wait_for_invocations(server):
    lam, name = server.lambda_, published(server)
    put = lam.put_provisioned_concurrency_config(FunctionName=name, Qualifier="1", ProvisionedConcurrentExecutions=2)
    put.pop("ResponseMetadata"), put.pop("LastModified")
    assert put == {
        "RequestedProvisionedConcurrentExecutions": 2, "AvailableProvisionedConcurrentExecutions": 0,
        "AllocatedProvisionedConcurrentExecutions": 0, "Status": "IN_PROGRESS",
    }
    got = ready(lam, name, "1")
    assert (got["Status"], got["AllocatedProvisionedConcurrentExecutions"]) == ("READY", 2)
    asked = time.time() * 1000
    (kind, _, born), _, answer = server.invoke(name, {}, Qualifier="1", LogType="Tail")
    assert kind == "provisioned-concurrency" and born < asked
    assert "Init Duration" not in base64.b64decode(answer["LogResult"]).decode()
    # Two at once are served by what is there, the third by an environment of its own.
    kinds = sorted(result[0] for result in many(lam, f"{name}:1", 3, {"ms": 800}))
    assert kinds == ["on-demand", "provisioned-concurrency", "provisioned-concurrency"]
    assert server.invoke(name, {})[0][0] == "on-demand", "$LATEST has none"
    lam.delete_provisioned_concurrency_config(FunctionName=name, Qualifier="1")
    refused(
        "ProvisionedConcurrencyConfigNotFoundException", lam.get_provisioned_concurrency_config, FunctionName=name,
        Qualifier="1",
    )


def test_an_idle_provisioned_environment_is_frozen_and_outlives_the_idle_limit():
    with running(MODES[0], "--idle-ms", "400") as server:
        lam, name = server.lambda_, published(server)
        lam.put_provisioned_concurrency_config(FunctionName=name, Qualifier="1", ProvisionedConcurrentExecutions=1)
        ready(lam, name, "1")
        born = server.invoke(name, {}, Qualifier="1")[0][2]
        time.sleep(1.5)
        frozen = [(c / "cgroup.events").read_text() for c in server.environment_cgroups()]
        assert len(frozen) == 1 and "frozen 1" in frozen[0]
        assert server.invoke(name, {}, Qualifier="1")[0][2] == born


def test_one_that_dies_is_replaced(main_server, lam):
    name = published(main_server)
    lam.put_provisioned_concurrency_config(FunctionName=name, Qualifier="1", ProvisionedConcurrentExecutions=1)
    ready(lam, name, "1")
    first = main_server.invoke(name, {}, Qualifier="1")[0][2]
    assert main_server.invoke(name, {"exit": True}, Qualifier="1")[1] == "Unhandled"
    assert ready(lam, name, "1")["Status"] == "READY"
    kind, _, second = main_server.invoke(name, {}, Qualifier="1")[0]
    assert kind == "provisioned-concurrency" and second > first


def test_an_alias_moves_its_provisioned_concurrency_and_a_restart_restores_it():
    with running(MODES[0]) as server:
        lam, name = server.lambda_, published(server)
        lam.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
        lam.put_provisioned_concurrency_config(FunctionName=name, Qualifier="live", ProvisionedConcurrentExecutions=1)
        assert ready(lam, name, "live")["Status"] == "READY"
        assert server.invoke(f"{name}:live", {})[0][:2] == ["provisioned-concurrency", "1"]
        lam.update_function_code(FunctionName=name, ZipFile=make_zip({"index.js": KIND + "\n"}))
        lam.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0.05})
        lam.publish_version(FunctionName=name)
        lam.update_alias(FunctionName=name, Name="live", FunctionVersion="2")
        assert ready(lam, name, "live")["Status"] == "READY"
        assert server.invoke(f"{name}:live", {})[0][:2] == ["provisioned-concurrency", "2"]
        server.kill()
        server.start()
        assert ready(server.lambda_, name, "live")["Status"] == "READY"
        assert server.invoke(f"{name}:live", {})[0][:2] == ["provisioned-concurrency", "2"]
        listed = server.lambda_.list_provisioned_concurrency_configs(FunctionName=name)
        arns = [config["FunctionArn"] for config in listed["ProvisionedConcurrencyConfigs"]]
        assert arns == [f"arn:aws:lambda:us-east-1:000000000000:function:{name}:live"]


def test_an_init_that_fails_is_said(main_server, lam):
    name = published(main_server, "throw new Error('no')")
    lam.put_provisioned_concurrency_config(FunctionName=name, Qualifier="1", ProvisionedConcurrentExecutions=1)
    got = ready(lam, name, "1")
    assert (got["Status"], got["StatusReason"]) == ("FAILED", "FUNCTION_ERROR_INIT_FAILURE")
    assert got["AllocatedProvisionedConcurrentExecutions"] == 0


def test_a_flood_of_slow_starts_does_not_starve_another_function():
    """More cold starts than there are places: the other function's does not wait for any of them to end."""
    with running(MODES[0]) as server:
        lam = server.client("lambda", max_pool_connections=100)
        slow = server.deploy(SLOW, runtime="provided.al2023", Timeout=1)
        other = server.deploy("exports.handler = async () => 'quick'")
        ended = []
        with concurrent.futures.ThreadPoolExecutor(80) as pool:
            flood = [pool.submit(lam.invoke, FunctionName=slow) for _ in range(80)]
            for one in flood:
                one.add_done_callback(ended.append)
            time.sleep(1)
            assert server.invoke(other, {})[0] == "quick"
            assert not ended, "it waited for another function's init"
            assert {one.result()["FunctionError"] for one in flood} == {"Unhandled"}
