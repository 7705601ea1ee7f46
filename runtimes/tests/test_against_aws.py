"""Runs the rows against AWS's own clients: they must agree with what the rows say.

Needs NILAS_TEST_AWS_PYTHON (a Python with `awslambdaric`) and the directories
of `aws-lambda-ric`: NILAS_TEST_AWS_NODE_CLIENT (3.x) and
NILAS_TEST_AWS_NODE_CLIENT_4 (4.x, which serves Node.js 24 and later).
"""

import os
import sys
import unittest

import test_node
import test_python
from harness import add_rows, check, interpreters, run_row

HERE = os.path.dirname(os.path.abspath(__file__))


def node_client(variable, file):
    directory = os.environ.get(variable)
    return os.path.join(directory, file) if directory else None


def against(command_of, default_file, default_handler, parse=True):
    def runner(interpreter):
        def test_of(row):
            def test(self):
                if row.aws_differs:
                    self.skipTest("AWS's client differs: " + row.aws_differs)
                record = run_row(
                    command_of(interpreter), row, default_file, default_handler, parse=parse
                )
                check(self, row, record)

            return test

        return test_of

    return runner


class AwsNodeClient(unittest.TestCase):
    maxDiff = None


class AwsPythonClient(unittest.TestCase):
    maxDiff = None


def add_node(rows, label, client):
    if client is None:
        return
    transport = os.path.join(HERE, "aws_transport.js")
    runner = against(lambda node: [node, transport, client], "index.js", "index.handler")
    for node, version in test_node.NODES:
        if version >= (18,):
            add_rows(AwsNodeClient, rows, [("%s, node %d.%d" % ((label,) + version), version, runner(node))])


modern = [row for row in test_node.ROWS if row.env is test_node.MODERN]
callbacks = [row for row in test_node.ROWS if row.env is not test_node.MODERN]
add_node(callbacks, "aws-lambda-ric 3", node_client("NILAS_TEST_AWS_NODE_CLIENT", "dist/index.mjs"))
add_node(modern, "aws-lambda-ric 4", node_client("NILAS_TEST_AWS_NODE_CLIENT_4", "index.mjs"))

if os.environ.get("NILAS_TEST_AWS_PYTHON"):
    transport = os.path.join(HERE, "aws_transport.py")
    for python, version in interpreters(os.environ["NILAS_TEST_AWS_PYTHON"], "", test_python.PRINT_SELF):
        command = lambda program: [program, transport]  # noqa: E731
        rows = against(command, "index.py", "index.handler")
        texts = against(command, "index.py", "index.handler", parse=False)
        label = "awslambdaric, python %d.%d" % version
        add_rows(AwsPythonClient, test_python.ROWS, [(label, version, rows(python))])
        add_rows(AwsPythonClient, test_python.TEXT_ROWS, [(label, version, texts(python))])


def load_tests(loader, tests, pattern):
    if not tests.countTestCases():
        sys.stderr.write("test_against_aws: skipped, no client of AWS is named in the environment\n")
    return tests


if __name__ == "__main__":
    unittest.main()
