"""What Python functions return and log, as rows of data."""

import os
import signal
import unittest

from harness import PYTHON_ENTRY, Row, add_rows, check, check_cut_frames, interpreters, run_row, started

PLAIN = {"AWS_EXECUTION_ENV": "AWS_Lambda_python3.12"}
ASCII = {"AWS_EXECUTION_ENV": "AWS_Lambda_python3.11"}
JSON_LOG = {"AWS_LAMBDA_LOG_FORMAT": "JSON"}

WARNING = (
    "[WARNING]\tTIME\t\tLAMBDA_WARNING: Unhandled exception. The most likely cause is an issue in the function "
    "code. However, in rare cases, a Lambda runtime update can cause unexpected function behavior. For functions "
    "using managed runtimes, runtime updates can be triggered by a function change, or can be applied automatically. "
    "To determine if the runtime has been updated, check the runtime version in the INIT_START log entry. If this "
    "error correlates with a change in the runtime version, you may be able to mitigate this error by temporarily "
    "rolling back to the previous runtime version. For more information, see "
    "https://docs.aws.amazon.com/lambda/latest/dg/runtimes-update.html\r\n"
)


def failed(type, message, trace=(), id="ID0", kind="error"):
    return (kind, {"errorMessage": message, "errorType": type, "requestId": id, "stackTrace": list(trace)})


def init_failed(type, message, trace=()):
    return failed(type, message, trace, "", "init_error")


def logged(type, message, *lines):
    return "\n".join(["[ERROR] %s: %s" % (type, message), "Traceback (most recent call last):", *lines])


def unmarshalled(message):
    return failed("Runtime.MarshalError", "Unable to marshal response: " + message)


def returning(name, expression, *expect, **more):
    source = "import collections, decimal, enum\ndef handler(event, context):\n    return %s\n" % expression
    return Row(name, source, list(expect), **more)


RESPONSES = [
    returning("echo", "event", ("response", {"a": [1, None, True, "é"]}), events=[{"a": [1, None, True, "é"]}], logs=[]),
    returning("nothing", "None", ("response", None)),
    returning("bytes_are_sent_as_they_are", "b'{not json'", ("bytes", "{not json")),
    returning("bytes_inside", "{'b': b'text', b'k': 1}", ("response", {"b": "text", "k": 1})),
    returning("named_tuple", "[collections.namedtuple('P', 'x y')(1, 2), (3, 4)]", ("response", [{"x": 1, "y": 2}, [3, 4]])),
    returning("named_tuple_deep", "{'a': [{'b': collections.namedtuple('P', 'x')(b'z')}]}", ("response", {"a": [{"b": {"x": "z"}}]})),
    returning("int_enum", "enum.IntEnum('E', 'a b').b", ("response", 2)),
    returning("keys", "{1: 1, 1.5: 2, True: 3, None: 4}", ("response", {"1": 3, "1.5": 2, "null": 4})),
    returning("keys_with_decimal", "{1: decimal.Decimal(1), None: 4, False: 5, 2.5: [], 'e': {}}",
              ("response", {"1": 1, "null": 4, "false": 5, "2.5": [], "e": {}})),
    returning("not_serializable", "{1, 2}", unmarshalled("Object of type set is not JSON serializable"),
              logs=[logged("Runtime.MarshalError", "Unable to marshal response: Object of type set is not JSON serializable")]),
    returning("object", "object()", unmarshalled("Object of type object is not JSON serializable")),
    returning("tuple_key", "{(1, 2): 3}", unmarshalled("keys must be str, int, float, bool or None, not tuple")),
    returning("invalid_utf8", "[b'\\xff']",
              unmarshalled("'utf-8' codec can't decode byte 0xff in position 0: invalid start byte")),
    returning("large", "event * 2", ("response", "é" * 4000000), events=["é" * 2000000]),
    Row("circular", "def handler(e, c):\n    a = []\n    a.append(a)\n    return a",
        [("error", {"errorType": "Runtime.MarshalError"})]),
    Row("circular_slow", "import decimal\ndef handler(e, c):\n    a = [decimal.Decimal(1)]\n    a.append(a)\n    return a",
        [unmarshalled("Circular reference detected")]),
    Row("invocations_in_a_row", "n = 0\ndef handler(e, c):\n    global n\n    n += 1\n    return n",
        [("response", 1), ("response", 2), ("response", 3)], [0, 0, 0]),
    Row("event_is_not_json", "def handler(e, c): pass",
        [failed("Runtime.UnmarshalError", "Unable to unmarshal input: Expecting value: line 1 column 1 (char 0)")], [b"nonsense"]),
]

# Exact bytes, which a parsed response would not show.
TEXTS = [
    ("decimals", "[decimal.Decimal('1.10'), decimal.Decimal('1E+5'), decimal.Decimal('NaN')]", PLAIN, "[1.10, 1E+5, NaN]"),
    ("floats", "[float('nan'), float('inf'), 1e16, 0.1]", PLAIN, "[NaN, Infinity, 1e+16, 0.1]"),
    ("unicode_since_3_12", "'é\\u2028\\x7f😀'", PLAIN, '"é\u2028\x7f😀"'),
    ("unicode_until_3_11", "'é\\u2028\\x7f😀'", ASCII, '"\\u00e9\\u2028\\u007f\\ud83d\\ude00"'),
    ("unicode_slow_since_3_12", "['é\\u2028\\n', decimal.Decimal(1)]", PLAIN, '["é\u2028\\n", 1]'),
    ("spaces", "{'a': [1, 2], 'b': {}, 'c': []}", PLAIN, '{"a": [1, 2], "b": {}, "c": []}'),
    ("spaces_slow", "{'a': [1, 2], 'b': {}, 'c': [], 'd': decimal.Decimal(2)}", PLAIN,
     '{"a": [1, 2], "b": {}, "c": [], "d": 2}'),
]

CONTEXT = [
    Row("context",
        """
        def handler(event, context):
            left = context.get_remaining_time_in_millis()
            names = ["aws_request_id", "log_group_name", "log_stream_name", "function_name", "memory_limit_in_mb",
                     "function_version", "invoked_function_arn", "tenant_id", "client_context"]
            identity = context.identity
            return [isinstance(left, int) and 1000 < left <= 3000, [getattr(context, n) for n in names],
                    identity.cognito_identity_id, identity.cognito_identity_pool_id]
        """,
        [("response", [True, ["ID0", "/aws/lambda/probe", "2024/01/01/[$LATEST]0", "probe", "128", "$LATEST",
                              "arn:aws:lambda:eu-central-1:000000000000:function:probe", None, None], None, None])]),
    Row("client_context",
        """
        def handler(event, context):
            c = context.client_context
            return [c.custom, c.env, c.client.installation_id, c.client.app_title, context.identity.cognito_identity_id,
                    repr(context)]
        """,
        [("response", [{"k": 1}, {"e": 2}, "i", None, "id",
                       "LambdaContext([aws_request_id=ID0,log_group_name=/aws/lambda/probe,log_stream_name=2024/01/01/[$LATEST]0,"
                       "function_name=probe,memory_limit_in_mb=128,function_version=$LATEST,"
                       "invoked_function_arn=arn:aws:lambda:eu-central-1:000000000000:function:probe,"
                       "client_context=ClientContext([custom={'k': 1},env={'e': 2},client=Client([installation_id=i,"
                       "app_title=None,app_version_name=None,app_version_code=None,app_package_name=None])]),"
                       "identity=CognitoIdentity([cognito_identity_id=id,cognito_identity_pool_id=pool]),tenant_id=None])"])],
        header={"clientContext": '{"custom":{"k":1},"env":{"e":2},"client":{"installation_id":"i"}}',
                "cognitoIdentity": '{"cognitoIdentityId":"id","cognitoIdentityPoolId":"pool"}'}),
    Row("client_context_is_not_json", "def handler(e, c): pass",
        [("error", {"errorType": "Runtime.LambdaContextUnmarshalError"})], header={"clientContext": "{"}),
    Row("context_log", "def handler(e, c):\n    c.log('a\\nb')\n    c.log(5)", [("response", None)], logs=["a\nb", "5"]),
    Row("trace_id", "import os\ndef handler(e, c): return os.environ['_X_AMZN_TRACE_ID']", [("response", "Root=1")],
        header={"traceId": "Root=1"}),
    Row("trace_id_absent", "import os\ndef handler(e, c): return '_X_AMZN_TRACE_ID' in os.environ", [("response", False)]),
    Row("telemetry_variable_is_gone", "import os\ndef handler(e, c): return '_LAMBDA_TELEMETRY_LOG_FD' in os.environ",
        [("response", False)]),
]

NOT_THE_CLIENT = "the managed runtime sets the path, not the client"
FRAME = '  File "/var/task/index.py", line %d, in %s\n    %s\n'
FRAME_LINES = ['\u00a0\u00a0File "/var/task/index.py", line %d, in %s', "\u00a0\u00a0\u00a0\u00a0%s"]

ERRORS = [
    Row("raised", "def inner():\n    raise KeyError('k')\ndef handler(e, c):\n    inner()\n",
        [failed("KeyError", "'k'", [FRAME % (4, "handler", "inner()"), FRAME % (2, "inner", "raise KeyError('k')")])],
        logs=[logged("KeyError", "'k'", FRAME_LINES[0] % (4, "handler"), FRAME_LINES[1] % "inner()",
                     FRAME_LINES[0] % (2, "inner"), FRAME_LINES[1] % "raise KeyError('k')")]),
    Row("raised_without_message", "def handler(e, c):\n    raise ValueError()",
        [failed("ValueError", "", [FRAME % (2, "handler", "raise ValueError()")])],
        logs=["\n".join(["[ERROR] ValueError", "Traceback (most recent call last):", FRAME_LINES[0] % (2, "handler"),
                         FRAME_LINES[1] % "raise ValueError()"])]),
    Row("works_after_error", "def handler(e, c):\n    return 1 / e",
        [failed("ZeroDivisionError", "division by zero", [FRAME % (2, "handler", "return 1 / e")]), ("response", 1)], [0, 1]),
    Row("multi_line_message", "def handler(e, c):\n    raise Exception('a\\n  b')",
        [failed("Exception", "a\n  b", [FRAME % (2, "handler", "raise Exception('a\\n  b')")])],
        logs=[logged("Exception", "a\n  b", FRAME_LINES[0] % (2, "handler"), FRAME_LINES[1] % "raise Exception('a\\n  b')")]),
    Row("error_in_json_log", "def handler(e, c):\n    raise ValueError('é')",
        [failed("ValueError", "é", [FRAME % (2, "handler", "raise ValueError('é')")])],
        env=dict(JSON_LOG, **PLAIN),
        logs=['{"timestamp":"TIME","level":"ERROR","errorMessage":"é","errorType":"ValueError","requestId":"ID0",'
              '"stackTrace":["  File \\"/var/task/index.py\\", line 2, in handler\\n    raise ValueError(\'é\')\\n"]}']),
    Row("wrong_signature", "def handler(): pass", [("error", {"errorType": "TypeError"})]),
    Row("sys_exit", "import sys\ndef handler(e, c): sys.exit(4)", [("gone",)], status=4, logs=[]),
    Row("sys_exit_nothing", "import sys\ndef handler(e, c): sys.exit()", [("gone",)], status=0, logs=[]),
    Row("sys_exit_text", "import sys\ndef handler(e, c): sys.exit('why')", [("gone",)], status=1, stdout="why\n"),
    Row("os_exit", "import os\ndef handler(e, c): os._exit(5)", [("gone",)], status=5),
]

LOADING = [
    Row("nested_path", {"a/b/mod.py": "def go(e, c): return __name__"}, [("response", "a.b.mod")], handler="a/b/mod.go"),
    Row("nested_dots", {"a/b/mod.py": "def go(e, c): return __name__"}, [("response", "a.b.mod")], handler="a.b.mod.go"),
    Row("import_of_neighbour", {"index.py": "import other\ndef handler(e, c): return other.X", "other.py": "X = 5"},
        [("response", 5)]),
    Row("path_begins_with_code_and_layers",
        """
        import sys
        def handler(e, c):
            library = "/opt/python/lib/python%d.%d/site-packages" % sys.version_info[:2]
            return sys.path[:3] == ["/var/task" if e else sys.path[0], library, "/opt/python"] and (
                sys.path[-2:] == [library, "/opt/python"])
        """, [("response", True)], aws_differs=NOT_THE_CLIENT),
    Row("user_path_hides_layers", "import sys\ndef handler(e, c): return sys.path.index('/opt/python') > 5", [("response", True)],
        env={"PYTHONPATH": "/elsewhere"}, aws_differs=NOT_THE_CLIENT),
    Row("default_path_keeps_layers", "import sys\ndef handler(e, c): return sys.path[2]", [("response", "/opt/python")],
        env={"PYTHONPATH": "/var/runtime"}, aws_differs=NOT_THE_CLIENT),
    Row("pythonpath", "import os\ndef handler(e, c): return os.environ['PYTHONPATH']", [("response", "/var/runtime")], aws_differs=NOT_THE_CLIENT),
    Row("missing_module", "", [init_failed("Runtime.ImportModuleError", "Unable to import module 'absent': No module named 'absent'")],
        handler="absent.handler", status=1,
        logs=[WARNING, logged("Runtime.ImportModuleError", "Unable to import module 'absent': No module named 'absent'")]),
    Row("missing_dependency", "import absent_package",
        [init_failed("Runtime.ImportModuleError", "Unable to import module 'index': No module named 'absent_package'")], status=1),
    Row("missing_handler", "x = 1", [init_failed("Runtime.HandlerNotFound", "Handler 'handler' missing on module 'index'")], status=1),
    Row("malformed", "", [init_failed("Runtime.MalformedHandlerName",
                                      "Bad handler 'handler': not enough values to unpack (expected 2, got 1)")],
        handler="handler", status=1),
    Row("builtin_module", "", [init_failed("Runtime.BuiltInModuleConflict", "Cannot use built-in module sys as a handler module")],
        handler="sys.exit", status=1),
    Row("syntax_error", "def handler(:\n  pass", [("init_error", {"errorType": "Runtime.UserCodeSyntaxError"})], status=1),
    Row("raises_at_load", "raise RuntimeError('early')", [("init_error", {"errorType": "RuntimeError"})], status=1),
    Row("exits_at_load", "import sys; sys.exit(7)", [("gone",)], status=7),
]

LOGS = [
    Row("logging",
        """
        import logging
        log = logging.getLogger("mine")
        def handler(e, c):
            log.info("hidden"); log.warning("a\\nb %s", 1); logging.error("é")
        """, [("response", None)], logs=["[WARNING]\tTIME\tID0\ta\nb 1\n", "[ERROR]\tTIME\tID0\té\n"]),
    Row("logging_info", "import logging\nlogging.getLogger().setLevel('INFO')\nlogging.info('load')\ndef handler(e, c): logging.info('run')",
        [("response", None)], logs=["[INFO]\tTIME\t\tload\n", "[INFO]\tTIME\tID0\trun\n"]),
    Row("log_level", "import logging\ndef handler(e, c):\n    logging.debug('d')\n    logging.info('i')", [("response", None)],
        env={"AWS_LAMBDA_LOG_LEVEL": "TRACE"}, logs=["[DEBUG]\tTIME\tID0\td\n", "[INFO]\tTIME\tID0\ti\n"]),
    Row("basic_config_changes_nothing", "import logging\nlogging.basicConfig(level='DEBUG')\ndef handler(e, c): logging.info('i')",
        [("response", None)], logs=[], stdout=""),
    Row("print", "print('load')\ndef handler(e, c):\n    print('a', 'é')\n    import sys\n    sys.stderr.write('err')",
        [("response", None)], logs=[], stdout="load\na é\nerr"),
    Row("output_is_out_before_exit", "import os\ndef handler(e, c):\n    print('x', end='')\n    os._exit(0)", [("gone",)], stdout="x"),
    Row("json",
        """
        import logging
        def handler(e, c):
            logging.warning("w %d", 1, extra={"user": "u", "n": 3, "odd": {1}})
            logging.getLogger("l").error({"k": "é"})
        """, [("response", None)], env=JSON_LOG,
        logs=['{"timestamp":"TIME","level":"WARNING","message":"w 1","logger":"root","requestId":"ID0","user":"u","n":3,"odd":"{1}"}\n',
              '{"timestamp":"TIME","level":"ERROR","message":{"k":"é"},"logger":"l","requestId":"ID0"}\n']),
    Row("json_exception",
        """
        import logging
        def handler(e, c):
            try:
                1 / 0
            except Exception:
                logging.exception("oh")
        """, [("response", None)], env=dict(JSON_LOG, AWS_LAMBDA_LOG_LEVEL="INFO"), until=(3, 10),
        logs=['{"timestamp":"TIME","level":"ERROR","message":"oh","logger":"root","stackTrace":["  File \\"/var/task/index.py\\", '
              'line 5, in handler\\n    1 / 0\\n"],"errorType":"ZeroDivisionError","errorMessage":"division by zero",'
              '"requestId":"ID0","location":"/var/task/index.py:handler:7"}\n']),
]

ROWS = RESPONSES + CONTEXT + ERRORS + LOADING + LOGS
PRINT_SELF = ["-c", "import sys; print(sys.executable, '%d.%d.%d' % sys.version_info[:3])"]
PYTHONS = interpreters("python3", "NILAS_TEST_PYTHONS", PRINT_SELF)


def ours(python):
    def test_of(row):
        def test(self):
            record = run_row([python, PYTHON_ENTRY], row, "index.py", "index.handler")
            check(self, row, record)

        return test

    return test_of


class PythonFunctions(unittest.TestCase):
    maxDiff = None

    def test_python_is_installed(self):
        self.assertTrue(PYTHONS)

    def test_events_may_arrive_in_pieces(self):
        for python, _ in PYTHONS:
            check_cut_frames(self, [python, PYTHON_ENTRY], "index.py", "def handler(e, c): return len(e)")

    def test_sigterm_runs_the_functions_handlers(self):
        for python, _ in PYTHONS:
            with started([python, PYTHON_ENTRY], "index.py", HANDLES_SIGTERM) as process:
                os.kill(process.pid, signal.SIGTERM)
                self.assertEqual(6, process.wait())
                self.assertEqual("stopping\n", process.stdout())

    def test_started_programs_do_not_hold_the_socket(self):
        for python, _ in PYTHONS:
            with started([python, PYTHON_ENTRY], "index.py", LEAVES_A_PROGRAM) as process:
                process.invoke(0, {}, {})
                sleeper = int(process.receive()[2])
                self.assertEqual([], [fd for fd in os.listdir("/proc/%d/fd" % sleeper) if fd in "34"])
                os.kill(sleeper, signal.SIGKILL)


HANDLES_SIGTERM = """
import signal, sys
def stop(*_):
    print('stopping')
    sys.exit(6)
signal.signal(signal.SIGTERM, stop)
def handler(event, context): pass
"""
LEAVES_A_PROGRAM = """
import subprocess
def handler(event, context):
    return subprocess.Popen(['sleep', '20'], close_fds=False).pid
"""


def text_row(name, expression, env, expected):
    source = "import decimal\ndef handler(event, context):\n    return %s\n" % expression
    return Row("text_of_" + name, source, [("response", expected)], env=env)


TEXT_ROWS = [text_row(*text) for text in TEXTS]


def exact_text(python):
    def test_of(row):
        def test(self):
            record = run_row([python, PYTHON_ENTRY], row, "index.py", "index.handler", parse=False)
            self.assertEqual(row.expect, record.outcomes)

        return test

    return test_of


add_rows(PythonFunctions, ROWS, [("python %d.%d" % v, v, ours(p)) for p, v in PYTHONS])
add_rows(PythonFunctions, TEXT_ROWS, [("python %d.%d" % v, v, exact_text(p)) for p, v in PYTHONS])

if __name__ == "__main__":
    unittest.main()
