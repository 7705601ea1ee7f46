"""What Node.js functions return and log, as rows of data."""

import os
import signal
import time
import unittest

from harness import NODE_ENTRY, Row, add_rows, check, check_cut_frames, interpreters, run_row, started

LEGACY = {"AWS_EXECUTION_ENV": "AWS_Lambda_nodejs20.x"}
MODERN = {"AWS_EXECUTION_ENV": "AWS_Lambda_nodejs24.x"}
OLD = {"AWS_EXECUTION_ENV": "AWS_Lambda_nodejs8.10"}
JSON_LOG = {"AWS_LAMBDA_LOG_FORMAT": "JSON"}


def error(message, type="Error", first=None):
    return {"errorType": type, "errorMessage": message, "trace": [first or "%s: %s" % (type, message)]}


def failed(message, type="Error", first=None):
    return ("error", error(message, type, first))


def init_failed(message, type="Error", first=None):
    return ("init_error", error(message, type, first))


def plain_error(type, message):
    return ("error", {"errorType": type, "errorMessage": message, "trace": []})


def error_log(label, message, type="Error", id="ID0", extra="", first=None):
    return 'TIME\t%s\tERROR\t%s \t{"errorType":"%s","errorMessage":"%s"%s,"stack":["%s"]}\n' % (
        id, label, type, message, extra, first or "%s: %s" % (type, message),
    )  # fmt: skip


def invoke_error(message, type="Error", **more):
    return error_log("Invoke Error", message, type, **more)


UNSETTLED = (
    "The Lambda runtime client detected an unexpected Node.js exit code. This is most commonly caused by "
    "a Promise that was never settled. For more information, see "
    "https://nodejs.org/docs/latest/api/process.html#exit-codes"
)
OLDER_CLIENT = "the published client is older than the managed runtimes"

HANDLERS = [
    Row("callback", "exports.handler = (e, c, cb) => cb(null, e);", [("response", {"a": 1})], [{"a": 1}], logs=[]),
    Row("async", "exports.handler = async (e) => ({ got: e });", [("response", {"got": 5})], [5], logs=[]),
    Row("promise", "exports.handler = (e) => Promise.resolve('é' + e);", [("response", "éx")], ["x"]),
    Row("thenable", "exports.handler = () => ({ then: (ok) => ok(7) });", [("response", 7)]),
    Row("sync_value_is_ignored", "exports.handler = () => 'lost';", [("response", None)], logs=[]),
    Row("undefined_is_null", "exports.handler = async () => {};", [("response", None)]),
    Row("invocations_in_a_row",
        "let n = 0; exports.handler = async () => ++n;", [("response", 1), ("response", 2), ("response", 3)], [0, 0, 0]),
    Row("context_done", "exports.handler = (e, c) => c.done(null, 'd');", [("response", "d")]),
    Row("context_succeed", "exports.handler = (e, c) => c.succeed('s');", [("response", "s")]),
    Row("context_fail", "exports.handler = (e, c) => c.fail(new Error('f'));", [failed("f")], logs=[invoke_error("f")]),
    Row("context_fail_nothing", "exports.handler = (e, c) => c.fail();", [plain_error("string", "handled")],
        logs=[invoke_error("handled")]),
    Row("first_answer_wins", "exports.handler = (e, c, cb) => { cb(null, 1); cb(null, 2); c.fail('x'); };",
        [("response", 1)], logs=[]),
    Row("large_event_and_response",
        "exports.handler = async (e) => ({ length: e.length, back: e });",
        [("response", {"length": 5000000, "back": "é" * 5000000}), ("response", {"length": 1, "back": "b"})],
        ["é" * 5000000, "b"]),
    Row("event_is_not_json", "exports.handler = async () => 1;",
        [("error", {"errorType": "SyntaxError"})], [b"nonsense"], status=0),
]

EVENT_LOOP = [
    Row("callback_waits_for_timers",
        "exports.handler = (e, c, cb) => { setTimeout(() => console.log('late'), 30); cb(null, 1); };",
        [("response", 1)], logs=["TIME\tID0\tINFO\tlate\n"]),
    Row("callback_does_not_wait",
        """
        let fired = 0;
        exports.handler = (e, c, cb) => {
          c.callbackWaitsForEmptyEventLoop = false;
          if (e === 1) { setTimeout(() => { fired += 1; }, 50); return cb(null, fired); }
          setTimeout(() => cb(null, fired), 200);
        };
        """,
        [("response", 0), ("response", 1)], [1, 2]),
    Row("timer_fires_between_if_not_frozen",
        """
        exports.handler = (e, c, cb) => {
          c.callbackWaitsForEmptyEventLoop = false;
          setTimeout(() => console.log('fired'), 20);
          cb(null, 1);
        };
        """,
        [("response", 1)], logs=["TIME\tID0\tINFO\tfired\n"], pause_s=0.3),
    Row("async_does_not_wait_for_timers",
        "exports.handler = async () => { setTimeout(() => {}, 60000); return 1; };", [("response", 1)]),
    Row("nothing_called", "exports.handler = (e, c, cb) => { setTimeout(() => {}, 5); };",
        [("response", None), ("response", None)], [1, 2], logs=[]),
    Row("nothing_called_then_late_callback",
        """
        let saved;
        exports.handler = (e, c, cb) => {
          if (e === 1) { saved = cb; return; }
          saved(null, 'late');
          setImmediate(() => cb(null, 'now'));
        };
        """,
        [("response", None), ("response", "now")], [1, 2]),
    Row("promise_never_settles", "exports.handler = async () => new Promise(() => {});",
        [failed(UNSETTLED, "Runtime.NodeJsExit")], logs=[invoke_error(UNSETTLED, "Runtime.NodeJsExit")], env=LEGACY,
        aws_differs=OLDER_CLIENT),
    Row("promise_never_settles_old", "exports.handler = async () => new Promise(() => {});",
        [("response", None)], env=OLD),
    Row("plain_promise_never_settles", "exports.handler = () => new Promise(() => {});", [("response", None)]),
    Row("beforeexit_of_user_code_runs",
        """
        let n = 0;
        process.on('beforeExit', () => { n += 1; });
        exports.handler = (e, c, cb) => cb(null, n);
        """, [("response", 0), ("response", 1)], [0, 0]),
]

CONTEXT = [
    Row("context_fields",
        """
        exports.handler = async (e, c) => {
          const left = c.getRemainingTimeInMillis();
          return Object.assign({ keys: Object.keys(c), leftOk: left > 1000 && left <= 3000 }, c);
        };
        """,
        [("response", {
            "keys": ["callbackWaitsForEmptyEventLoop", "succeed", "fail", "done", "functionVersion", "functionName",
                     "memoryLimitInMB", "logGroupName", "logStreamName", "clientContext", "identity",
                     "invokedFunctionArn", "awsRequestId", "tenantId", "getRemainingTimeInMillis"],
            "leftOk": True, "callbackWaitsForEmptyEventLoop": True,
            "functionVersion": "$LATEST", "functionName": "probe", "memoryLimitInMB": "128",
            "logGroupName": "/aws/lambda/probe", "logStreamName": "2024/01/01/[$LATEST]0",
            "clientContext": {"custom": {"k": "v"}}, "identity": {"cognitoIdentityId": "i"},
            "invokedFunctionArn": "arn:aws:lambda:eu-central-1:000000000000:function:probe", "awsRequestId": "ID0",
        })],
        header={"clientContext": '{"custom":{"k":"v"}}', "cognitoIdentity": '{"cognitoIdentityId":"i"}'}),
    Row("client_context_is_not_json", "exports.handler = async () => 1;",
        [("error", {"errorType": "Error"})], header={"clientContext": "{"}),
    Row("trace_id_set", "exports.handler = async () => process.env._X_AMZN_TRACE_ID;",
        [("response", "Root=1-2-3")], header={"traceId": "Root=1-2-3"}),
    Row("trace_id_absent", "exports.handler = async () => '_X_AMZN_TRACE_ID' in process.env;", [("response", False)]),
    Row("telemetry_variable_is_gone", "exports.handler = async () => '_LAMBDA_TELEMETRY_LOG_FD' in process.env;",
        [("response", False)]),
    Row("task_root_is_the_directory", "exports.handler = async () => process.cwd();", [("response", "/var/task")]),
]

ERRORS = [
    Row("thrown", "exports.handler = () => { throw new TypeError('bad'); };",
        [failed("bad", "TypeError")], logs=[invoke_error("bad", "TypeError")]),
    Row("rejected", "exports.handler = async () => { throw new RangeError('far'); };",
        [failed("far", "RangeError")], logs=[invoke_error("far", "RangeError")]),
    Row("error_in_callback", "exports.handler = (e, c, cb) => cb(new Error('cb'));", [failed("cb")]),
    Row("works_after_error", "exports.handler = async (e) => { if (e) throw new Error('x'); return 'fine'; };",
        [failed("x"), ("response", "fine")], [1, 0]),
    Row("custom_error",
        """
        class Teapot extends Error { constructor(m) { super(m); this.name = 'Teapot'; this.code = 418; this.stack = 'S\\n  at x'; } }
        exports.handler = async () => { throw new Teapot('short'); };
        """,
        [failed("short", "Teapot", "S")],
        logs=['TIME\tID0\tERROR\tInvoke Error \t{"errorType":"Teapot","errorMessage":"short","code":418,"name":"Teapot",'
              '"stack":["S"]}\n']),
    Row("error_with_circular_field",
        "exports.handler = async () => { const e = new Error('c'); e.self = { e }; throw e; };",
        [failed("c")], logs=['TIME\tID0\tERROR\tInvoke Error \t{"errorType":"Error","errorMessage":"c","trace":["Error: c"]}\n']),
    Row("imitated_error", "exports.handler = async () => { throw { name: 'N', message: 'm', stack: 's1\\ns2' }; };",
        [("error", {"errorType": "N", "errorMessage": "m", "trace": ["s1"]})]),
    Row("string_in_callback", "exports.handler = (e, c, cb) => cb('text');", [plain_error("string", "text")],
        logs=[invoke_error("text")]),
    Row("object_in_callback", "exports.handler = (e, c, cb) => cb({ a: 1 });",
        [plain_error("object", "[object Object]")], logs=[invoke_error("[object Object]")]),
    Row("number_rejected", "exports.handler = async () => { throw 42; };", [plain_error("number", "42")]),
    Row("undefined_in_callback", "exports.handler = (e, c, cb) => cb(undefined, 'r');", [("response", "r")]),
    Row("undefined_rejected", "exports.handler = async () => { throw undefined; };", [plain_error("string", "handled")]),
    Row("undefined_thrown", "exports.handler = () => { throw undefined; };", [("response", None)]),
    Row("error_without_prototype", "exports.handler = (e, c, cb) => cb(Object.create(null));",
        [("error", {"errorType": "TypeError"})]),
    Row("delete_character", "exports.handler = async () => { throw new Error('a\\x7Fb'); };", [failed("a%7Fb")]),
    Row("circular_result", "exports.handler = async () => { const a = {}; a.a = a; return a; };",
        [failed("Unable to stringify response body")], logs=[invoke_error("Unable to stringify response body")]),
    Row("bigint_result", "exports.handler = async () => ({ n: BigInt(1) });", [failed("Unable to stringify response body")]),
    Row("circular_callback", "exports.handler = (e, c, cb) => { const a = {}; a.a = a; cb(null, a); };",
        [failed("Unable to stringify response body")], status=129,
        logs=[error_log("Uncaught Exception", "Unable to stringify response body")]),
    Row("function_result", "exports.handler = async () => () => 1;", [failed("Wrong arguments", "TypeError")]),
    Row("uncaught_exception",
        "exports.handler = (e, c, cb) => { setTimeout(() => { throw new Error('later'); }, 5); };",
        [failed("later")], status=129, logs=[error_log("Uncaught Exception", "later")]),
    Row("unhandled_rejection",
        "exports.handler = (e, c, cb) => { Promise.reject(new Error('nobody')); setTimeout(cb, 50); };",
        [failed("Error: nobody", "Runtime.UnhandledPromiseRejection")], status=128,
        logs=[error_log("Unhandled Promise Rejection", "Error: nobody", "Runtime.UnhandledPromiseRejection",
                        extra=',"reason":{"errorType":"Error","errorMessage":"nobody","stack":["Error: nobody"]},"promise":{}')]),
    Row("process_exit", "exports.handler = async () => process.exit(3);", [("gone",)], status=3, logs=[]),
    Row("process_exit_0", "exports.handler = async () => process.exit(0);", [("gone",)]),
]

LOADING = [
    Row("nested_path", {"src/lib/app.js": "exports.handler = async () => 1;"}, [("response", 1)],
        handler="src/lib/app.handler"),
    Row("nested_property", "exports.a = { b: { c: async () => 'abc' } };", [("response", "abc")], handler="index.a.b.c"),
    Row("mjs", {"index.mjs": "export const handler = async () => import.meta.url.slice(-9);"}, [("response", "index.mjs")]),
    Row("cjs", {"index.cjs": "exports.handler = async () => 'cjs';"}, [("response", "cjs")]),
    Row("type_module", {"package.json": '{"type":"module"}', "index.js": "export async function handler() { return 'esm'; }"},
        [("response", "esm")]),
    Row("type_module_of_parent",
        {"package.json": '{"type":"module"}', "src/index.js": "export async function handler() { return 'esm'; }"},
        [("response", "esm")], handler="src/index.handler"),
    Row("type_commonjs_in_module_package",
        {"package.json": '{"type":"module"}', "src/package.json": "{}", "src/index.js": "exports.handler = async () => 'cjs';"},
        [("response", "cjs")], handler="src/index.handler"),
    Row("js_before_mjs", {"index.js": "exports.handler = async () => 'js';", "index.mjs": "export const handler = async () => 'mjs';"},
        [("response", "js")]),
    Row("mjs_before_cjs", {"index.cjs": "exports.handler = async () => 'cjs';", "index.mjs": "export const handler = async () => 'mjs';"},
        [("response", "mjs")]),
    Row("directory", {"app/index.js": "exports.handler = async () => 'dir';"}, [("response", "dir")], handler="app.handler"),
    Row("package", {"node_modules/tool/index.js": "exports.run = async () => 'tool';"}, [("response", "tool")],
        handler="tool.run"),
    Row("broken_package_json",
        {"package.json": "{", "index.mjs": "export const handler = async () => 1;"}, [("response", 1)]),
    Row("top_level_await",
        {"index.mjs": "const v = await new Promise((r) => setTimeout(() => r(9), 20)); export const handler = async () => v;"},
        [("response", 9)], since=(14, 8)),
    Row("top_level_await_unsettled", {"index.mjs": "await new Promise(() => {}); export const handler = 1;"},
        [("gone",)], since=(14, 8), status=13,
        aws_differs="the tests' transport is the entry point, so the status is 0"),
    Row("missing_module", "exports.handler = 1;", [("init_error", {"errorType": "Runtime.ImportModuleError"})],
        handler="absent.handler", status=129),
    Row("missing_dependency", "require('absent-package');", [("init_error", {"errorType": "Runtime.ImportModuleError"})],
        status=129),
    Row("missing_handler", "exports.other = 1;",
        [init_failed("index.handler is undefined or not exported", "Runtime.HandlerNotFound")], status=129,
        logs=[error_log("Uncaught Exception", "index.handler is undefined or not exported", "Runtime.HandlerNotFound",
                        id="undefined")]),
    Row("handler_is_no_function", "exports.handler = 5;",
        [init_failed("index.handler is not a function", "Runtime.HandlerNotFound")], status=129),
    Row("malformed_handler", "", [init_failed("Bad handler", "Runtime.MalformedHandlerName")], handler="handler", status=129),
    Row("handler_leaves_directory", "",
        [init_failed("'../index.handler' is not a valid handler name. Use absolute paths when specifying root directories "
                     "in handler names.", "Runtime.MalformedHandlerName")], handler="../index.handler", status=129),
    Row("syntax_error", "exports.handler = ((;", [("init_error", {"errorType": "Runtime.UserCodeSyntaxError"})], status=129),
    Row("throws_at_load", "throw new ReferenceError('early');", [init_failed("early", "ReferenceError")], status=129,
        logs=[error_log("Uncaught Exception", "early", "ReferenceError", id="undefined")]),
    Row("throws_later_during_load",
        {"index.mjs": "setTimeout(() => { throw new Error('soon'); }, 5); await new Promise((r) => setTimeout(r, 500)); export const handler = 1;"},
        [init_failed("soon")], since=(14, 8), status=129),
    Row("default_export_before_24", {"index.mjs": "export default { handler: async () => 1 };"},
        [init_failed("index.handler is undefined or not exported", "Runtime.HandlerNotFound")], status=129, env=LEGACY),
    Row("default_export_since_24", {"index.mjs": "export default { handler: async () => 1 };"}, [("response", 1)], env=MODERN),
]

RELEASE_24 = [
    Row("sync_value_is_response", "exports.handler = () => 'kept';", [("response", "kept")]),
    Row("callback_is_refused", "exports.handler = (e, c, cb) => cb();",
        [("init_error", {"errorType": "Runtime.CallbackHandlerDeprecated"})], status=1),
    Row("throws_at_load_24", "throw new Error('early');", [init_failed("early")], status=1,
        logs=[error_log("Init Error", "early", id="-")]),
    Row("uncaught_exception_24", "exports.handler = async () => { setTimeout(() => { throw new Error('later'); }, 5); await new Promise(() => {}); };",
        [("gone",)], status=1, logs=[]),
    Row("unhandled_rejection_24",
        "exports.handler = async () => { Promise.reject(new Error('n')); await new Promise((r) => setTimeout(r, 50)); };",
        [("gone",)], status=1, logs=[], since=(16,)),
    Row("promise_never_settles_24", "exports.handler = async () => new Promise(() => {});", [("gone",)], status=0, logs=[]),
    Row("timer_left_over_24", "exports.handler = async (e) => { setTimeout(() => console.log('t'), 30); return e; };",
        [("response", 1), ("response", 2)], [1, 2], pause_s=0.2, logs=["TIME\tID0\tINFO\tt\n", "TIME\tID1\tINFO\tt\n"],
        aws_differs="keeps the request id in an AsyncLocalStorage, empty between invocations"),
    Row("context_has_no_callbacks", "exports.handler = async (e, c) => [typeof c.done, typeof c.callbackWaitsForEmptyEventLoop];",
        [("response", ["undefined", "undefined"])]),
    Row("circular_24", "exports.handler = async () => { const a = {}; a.a = a; return a; };",
        [failed("Unable to stringify response body", "Runtime.JSONStringifyError")]),
    Row("thrown_24", "exports.handler = async () => { throw new Error('x'); };", [failed("x")], logs=[invoke_error("x")]),
]
for row in RELEASE_24:
    row.env = MODERN

LOGS = [
    Row("levels",
        """
        exports.handler = async () => {
          console.log('log'); console.info('info'); console.warn('warn'); console.error('error');
          console.debug('debug'); console.trace('trace'); console.fatal('fatal');
        };
        """, [("response", None)],
        logs=["TIME\tID0\t%s\t%s\n" % (level, text) for level, text in [
            ("INFO", "log"), ("INFO", "info"), ("WARN", "warn"), ("ERROR", "error"), ("DEBUG", "debug"),
            ("TRACE", "trace"), ("FATAL", "fatal")]], stdout=""),
    Row("formats", "exports.handler = async () => { console.log('a %s %d', 'b', 5, { c: [1] }); console.log({ x: 1 }); console.log(); };",
        [("response", None)], logs=["TIME\tID0\tINFO\ta b 5 { c: [ 1 ] }\n", "TIME\tID0\tINFO\t{ x: 1 }\n", "TIME\tID0\tINFO\tundefined\n"]),
    Row("newlines_stay_in_one_event", "exports.handler = async () => console.log('a\\nb\\nc');", [("response", None)],
        logs=["TIME\tID0\tINFO\ta\nb\nc\n"]),
    Row("at_load", "console.log('loading'); exports.handler = async () => console.log('é');", [("response", None)],
        logs=["TIME\tundefined\tINFO\tloading\n", "TIME\tID0\tINFO\té\n"]),
    Row("raw_output", "exports.handler = async () => { process.stdout.write('raw\\n'); process.stderr.write('err\\n'); };",
        [("response", None)], logs=[], stdout="raw\nerr\n"),
    Row("level_filter",
        "exports.handler = async () => { for (const l of ['trace', 'debug', 'info', 'log', 'warn', 'error']) console[l](l); };",
        [("response", None)], env={"AWS_LAMBDA_LOG_LEVEL": "warn"}, logs=["TIME\tID0\tWARN\twarn\n", "TIME\tID0\tERROR\terror\n"]),
    Row("json",
        "exports.handler = async () => { console.log('hi'); console.warn({ a: 1 }); console.error('a %s', 'b'); console.log(); };",
        [("response", None)], env=JSON_LOG, logs=[
            '{"timestamp":"TIME","level":"INFO","requestId":"ID0","message":"hi"}',
            '{"timestamp":"TIME","level":"WARN","requestId":"ID0","message":{"a":1}}',
            '{"timestamp":"TIME","level":"ERROR","requestId":"ID0","message":"a b"}',
            '{"timestamp":"TIME","level":"INFO","requestId":"ID0"}']),
    Row("json_circular", "exports.handler = async () => { const a = {}; a.a = 1n; console.log(a); };", [("response", None)],
        env=JSON_LOG, logs=['{"timestamp":"TIME","level":"INFO","requestId":"ID0","message":"{ a: 1n }"}']),
    Row("json_error", "exports.handler = async () => { console.error(new TypeError('t')); };", [("response", None)],
        env=JSON_LOG, logs=['{"timestamp":"TIME","level":"ERROR","requestId":"ID0","message":{"errorType":"TypeError",'
                            '"errorMessage":"t","stackTrace":["TypeError: t"]}}']),
    Row("json_error_params",
        "exports.handler = async () => { const e = new TypeError('t'); e.stack = 's'; console.error('why', e); };",
        [("response", None)], env=JSON_LOG,
        logs=['{"timestamp":"TIME","level":"ERROR","requestId":"ID0","message":"why [s]","errorType":"TypeError",'
              '"errorMessage":"t","stackTrace":["s"]}']),
    Row("json_invoke_error", "exports.handler = async () => { throw new Error('j'); };", [failed("j")], env=JSON_LOG,
        logs=['{"timestamp":"TIME","level":"ERROR","requestId":"ID0","message":{"errorType":"Error","errorMessage":"j",'
              '"stackTrace":["Error: j"]}}']),
    Row("json_at_load", "console.log('l'); exports.handler = async () => {};", [("response", None)], env=JSON_LOG,
        logs=['{"timestamp":"TIME","level":"INFO","message":"l"}']),
]

STREAMS = [
    Row("stream",
        "exports.handler = awslambda.streamifyResponse(async (e, s, c) => { s.write('a'); s.write({ b: 1 }); s.end(); });",
        [("bytes", 'a{"b":1}')]),
    Row("stream_large", "exports.handler = awslambda.streamifyResponse(async (e, s) => { s.write('x'.repeat(200000)); s.end('y'); });",
        [("bytes", "x" * 200000 + "y")]),
    Row("stream_http",
        """
        exports.handler = awslambda.streamifyResponse(async (e, stream) => {
          const s = awslambda.HttpResponseStream.from(stream, { statusCode: 201 });
          s.write('body');
          s.end();
        });
        """, [("bytes", '{"statusCode":201}' + "\0" * 8 + "body")]),
    Row("stream_pipeline",
        """
        const { pipeline } = require('stream');
        const { promisify } = require('util');
        const { Readable } = require('stream');
        exports.handler = awslambda.streamifyResponse((e, s) => promisify(pipeline)(Readable.from(['1', '2']), s));
        """, [("response", 12)]),
    Row("stream_error", "exports.handler = awslambda.streamifyResponse(async (e, s) => { s.write('x'); throw new Error('mid'); });",
        [failed("mid")], logs=[invoke_error("mid")]),
    Row("stream_unfinished", "exports.handler = awslambda.streamifyResponse(async (e, s) => { s.write('x'); });",
        [plain_error("string", "Response stream is not finished.")]),
    Row("stream_not_async", "exports.handler = awslambda.streamifyResponse((e, s) => { s.end(); });",
        [plain_error("string", "Streaming does not support non-async handlers.")]),
    Row("stream_24", "exports.handler = awslambda.streamifyResponse(async (e, s) => { setTimeout(() => {}, 60000); s.write('a'); s.end(); });",
        [("bytes", "a"), ("bytes", "a")], [1, 2], env=MODERN),
    Row("stream_not_async_24", "exports.handler = awslambda.streamifyResponse((e, s) => { s.end(); });",
        [failed("Streaming does not support non-async handlers.")], env=MODERN),
    Row("stream_timers_are_waited_for",
        "exports.handler = awslambda.streamifyResponse(async (e, s) => { setTimeout(() => console.log('late'), 20); s.end('a'); });",
        [("bytes", "a")], logs=["TIME\tID0\tINFO\tlate\n"]),
    Row("no_global", "exports.handler = async () => typeof awslambda;", [("response", "undefined")],
        env={"AWS_LAMBDA_NODEJS_NO_GLOBAL_AWSLAMBDA": "1"}),
]
for row in STREAMS[:-1]:
    row.aws_differs = "streams over HTTP, which the tests' transport does not imitate"

ROWS = HANDLERS + EVENT_LOOP + CONTEXT + ERRORS + LOADING + RELEASE_24 + LOGS + STREAMS

PRINT_SELF = ["-p", "process.execPath + ' ' + process.versions.node"]
NODES = interpreters("node", "NILAS_TEST_NODES", PRINT_SELF)


def run_ours(node, row):
    # Rows that do not say otherwise are about a release with callbacks.
    return run_row([node, NODE_ENTRY], row, "index.js", "index.handler", dict(LEGACY))


class NodeFunctions(unittest.TestCase):
    maxDiff = None

    def test_node_is_installed(self):
        self.assertTrue(NODES)

    def test_closing_the_socket_ends_a_running_function(self):
        for node, _ in NODES:
            with started([node, NODE_ENTRY], "index.js", KEEPS_RUNNING) as process:
                process.invoke(0, {}, {})
                process.hang_up()
                self.assertEqual(0, process.wait())
                self.assertEqual("", process.stdout())

    def test_events_may_arrive_in_pieces(self):
        for node, _ in NODES:
            check_cut_frames(self, [node, NODE_ENTRY], "index.js", "exports.handler = async (e) => e.length;")

    def test_sigterm_runs_the_functions_handlers(self):
        for node, _ in NODES:
            with started([node, NODE_ENTRY], "index.js", HANDLES_SIGTERM) as process:
                os.kill(process.pid, signal.SIGTERM)
                self.assertEqual(6, process.wait())
                self.assertIn("stopping", process.logs()[0])

    def test_left_over_timer_fires_only_after_the_thaw(self):
        for node, _ in NODES:
            with started([node, NODE_ENTRY], "index.js", LEAVES_A_TIMER) as process:
                process.invoke(0, {}, {})
                self.assertEqual(b"0", process.receive()[2])
                os.kill(process.pid, signal.SIGSTOP)
                time.sleep(0.3)
                process.invoke(1, {}, {})
                os.kill(process.pid, signal.SIGCONT)
                self.assertEqual(b"1", process.receive()[2])


KEEPS_RUNNING = "exports.handler = () => { setInterval(() => {}, 1000); };"
HANDLES_SIGTERM = """
process.on('SIGTERM', () => { console.log('stopping'); process.exit(6); });
exports.handler = async () => 1;
"""
LEAVES_A_TIMER = """
let fired = 0;
exports.handler = (event, context, callback) => {
  context.callbackWaitsForEmptyEventLoop = false;
  if (context.awsRequestId.endsWith('0')) {
    setTimeout(() => { fired += 1; }, 100);
    callback(null, fired);
  } else {
    setImmediate(() => setImmediate(() => callback(null, fired)));
  }
};
"""


def ours(node):
    def test_of(row):
        def test(self):
            record = run_ours(node, row)
            check(self, row, record)

        return test

    return test_of


add_rows(
    NodeFunctions, ROWS, [("node %d.%d" % version, version, ours(node)) for node, version in NODES]
)

if __name__ == "__main__":
    unittest.main()
