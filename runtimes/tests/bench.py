"""Prints warm invocations per second of each bootstrap, without a sandbox."""

import time

import test_node
import test_python
from harness import NODE_ENTRY, PYTHON_ENTRY, started

WARM_UP = 2000
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
    begun = time.perf_counter()
    with started(command, file, source) as process:
        ready_s = time.perf_counter() - begun
        invoke_many(process, WARM_UP)
        begun = time.perf_counter()
        invoke_many(process, INVOCATIONS)
        return INVOCATIONS / (time.perf_counter() - begun), ready_s * 1000


def invoke_many(process, count):
    for index in range(count):
        process.invoke(index, {"key": "value"}, {})
        process.receive()


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
