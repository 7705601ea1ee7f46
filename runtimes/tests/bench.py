"""Prints warm invocations per second of each bootstrap, without a sandbox."""

import os
import tempfile
import time

import test_node
import test_python
from harness import NODE_ENTRY, PYTHON_ENTRY, Process, base_environment

INVOCATIONS = 20000
NODE_SOURCE = {
    "async": "exports.handler = async () => ({ statusCode: 200, body: 'hello' });",
    "callback": "exports.handler = (e, c, cb) => { c.callbackWaitsForEmptyEventLoop = false; cb(null, { body: 'hello' }); };",
    "callback, waits": "exports.handler = (e, c, cb) => cb(null, { body: 'hello' });",
    "async, one log line": "exports.handler = async () => { console.log('hello'); return 1; };",
}
PYTHON_SOURCE = {
    "plain": "def handler(event, context):\n    return {'statusCode': 200, 'body': 'hello'}\n",
    "one print": "def handler(event, context):\n    print('hello')\n    return 1\n",
}


def measure(command, file, source):
    with tempfile.TemporaryDirectory() as root:
        with open(os.path.join(root, file), "w") as handler:
            handler.write(source)
        env = dict(base_environment(root), _HANDLER="index.handler", AWS_EXECUTION_ENV="AWS_Lambda_nodejs20.x")
        started = time.perf_counter()
        with Process(command, env, root) as process:
            process.receive()
            ready_s = time.perf_counter() - started
            for warm in (False, True):
                started = time.perf_counter()
                for index in range(INVOCATIONS if warm else 2000):
                    process.invoke(index, {"key": "value"}, {})
                    process.receive()
            rate = INVOCATIONS / (time.perf_counter() - started)
            process.hang_up()
            process.wait()
    return rate, ready_s * 1000


def main():
    cases = [("node", test_node.NODES, NODE_ENTRY, "index.js", NODE_SOURCE)]
    cases += [("python", test_python.PYTHONS, PYTHON_ENTRY, "index.py", PYTHON_SOURCE)]
    for language, interpreters, entry, file, sources in cases:
        for program, version in interpreters:
            for name, source in sources.items():
                rate, ready_ms = measure([program, entry], file, source)
                title = "%s %d.%d, %s" % ((language,) + version + (name,))
                print("%-32s %7.0f invocations/s, ready after %5.1f ms" % (title, rate, ready_ms))


if __name__ == "__main__":
    main()
