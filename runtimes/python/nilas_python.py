"""Entry point of Python functions: boots, loads the handler, serves invocations.

`boot` touches neither the environment nor user code, so that a process that has
only booted can be forked for any function. Everything that belongs to one
function happens in `run`. Works on Python 3.6 and later.
"""

import decimal
import importlib
import io
import json
import logging
import os
import re
import site
import sys
import time
import traceback

CHANNEL_FD = 3
READ_BYTES = 64 * 1024

KIND_INVOKE = 1
KIND_READY = 1
KIND_RESPONSE = 2
KIND_ERROR = 3
KIND_INIT_ERROR = 4

# From this release on AWS writes non-ASCII characters as they are.
PLAIN_UNICODE_SINCE = (3, 12)

# AWS logs this before the error whenever a function fails to initialize.
INIT_FAILED_WARNING = (
    "LAMBDA_WARNING: Unhandled exception. "
    "The most likely cause is an issue in the function code. "
    "However, in rare cases, a Lambda runtime update can cause unexpected function behavior. "
    "For functions using managed runtimes, runtime updates can be triggered by a function change, or can be applied automatically. "
    "To determine if the runtime has been updated, check the runtime version in the INIT_START log entry. "
    "If this error correlates with a change in the runtime version, you may be able to mitigate this error by temporarily rolling back to the previous runtime version. "
    "For more information, see https://docs.aws.amazon.com/lambda/latest/dg/runtimes-update.html\r"
)


def main():
    channel = boot()
    if "NILAS_ZYGOTE" in os.environ:
        import nilas_python_zygote

        # Comes back once in each fork, as if that had been started.
        nilas_python_zygote.serve()
    run(channel, os.environ)


def boot():
    logging.Formatter.converter = time.gmtime
    return Channel(CHANNEL_FD)


def run(channel, environment):
    sys.stdout = Unbuffered(as_utf8(sys.stdout))
    sys.stderr = Unbuffered(as_utf8(sys.stderr))
    extend_path(environment)
    encoder = ResponseEncoder(environment)
    log = FunctionLog(environment, encoder)
    try:
        handler = load_handler(environment["_HANDLER"])
        if environment.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start":
            import nilas_python_snapshot

            # Comes back in each restored environment.
            nilas_python_snapshot.pass_through(channel)
    except Fault as fault:
        error = error_result(fault.message, fault.type, fault.trace)
    except Exception:
        error = exception_result(sys.exc_info())
    else:
        serve(channel, handler, environment, log, encoder)
        return
    logging.warning(INIT_FAILED_WARNING)
    log.error(error)
    channel.send(KIND_INIT_ERROR, b"", encoder.error(error))
    sys.exit(1)


def serve(channel, handler, environment, log, encoder):
    """Answers invocations until the platform closes the channel."""
    channel.ready()
    while True:
        frame = channel.receive()
        if frame is None:
            return
        header, event = parse_invoke(frame)
        request_id = header["requestId"]
        log.request_id = request_id
        set_trace_id(header.get("traceId"))
        try:
            context = LambdaContext(header, environment, log)
            body = encoder.response(handler(parse_event(event), context))
            kind = KIND_RESPONSE
        except Fault as fault:
            error = error_result(fault.message, fault.type, fault.trace, request_id)
            kind = KIND_ERROR
        except Exception:
            error = exception_result(sys.exc_info(), request_id)
            kind = KIND_ERROR
        if kind == KIND_ERROR:
            log.error(error)
            body = encoder.error(error)
        channel.send(kind, request_id.encode("ascii"), body)


class Fault(Exception):
    """An error the runtime itself reports, with AWS's name for it."""

    def __init__(self, type, message, trace=None):
        super().__init__(message)
        self.type = "Runtime." + type
        self.message = message
        self.trace = trace


# === the framed socket: u32 length (little-endian), u8 kind, payload ===


class Channel:
    def __init__(self, fd):
        self.fd = fd
        self.unread = b""

    def ready(self):
        # Programs that the function starts must not hold the socket.
        os.set_inheritable(self.fd, False)
        self.send(KIND_READY, b"", b"")

    def receive(self):
        """Returns the next frame after its length, or None at the end."""
        buffered = self.unread or os.read(self.fd, READ_BYTES)
        while len(buffered) < 4:
            more = os.read(self.fd, READ_BYTES)
            if not more:
                return None
            buffered += more
        end = 4 + int.from_bytes(buffered[:4], "little")
        if len(buffered) < end:
            pieces = [buffered]
            missing = end - len(buffered)
            while missing > 0:
                piece = os.read(self.fd, min(missing, 1024 * 1024))
                if not piece:
                    return None
                pieces.append(piece)
                missing -= len(piece)
            buffered = b"".join(pieces)
        self.unread = buffered[end:]
        return buffered[4:end]

    def send(self, kind, request_id, body):
        prefix = (1 + len(request_id) + len(body)).to_bytes(4, "little") + bytes((kind,))
        write_fully(self.fd, prefix + request_id + body)


def write_fully(fd, data):
    written = os.write(fd, data)
    if written < len(data):
        rest = memoryview(data)
        while written < len(data):
            written += os.write(fd, rest[written:])


def parse_invoke(frame):
    if frame[0] != KIND_INVOKE:
        raise ValueError("unknown frame kind {}".format(frame[0]))
    header_end = 5 + int.from_bytes(frame[1:5], "little")
    return json.loads(frame[5:header_end].decode("utf-8")), frame[header_end:]


# === loading the handler ===


def extend_path(environment):
    """Puts the function's code and its layers on sys.path, in AWS's order."""
    library = "/opt/python/lib/python{}.{}/site-packages".format(*sys.version_info[:2])
    layers = [library, "/opt/python"]
    for directory in layers:
        # At the end as well: this is what honours .pth files in layers.
        site.addsitedir(directory)
    runtime_dir = environment.get("LAMBDA_RUNTIME_DIR", "/var/runtime")
    if environment.setdefault("PYTHONPATH", runtime_dir) == runtime_dir:
        sys.path[0:0] = layers
    sys.path.insert(0, environment["LAMBDA_TASK_ROOT"])


def load_handler(name):
    try:
        module_name, function_name = name.rsplit(".", 1)
    except ValueError as error:
        raise Fault("MalformedHandlerName", "Bad handler '{}': {}".format(name, error))
    if module_name.split(".")[0] in sys.builtin_module_names:
        raise Fault(
            "BuiltInModuleConflict",
            "Cannot use built-in module {} as a handler module".format(module_name),
        )
    try:
        module = importlib.import_module(module_name.replace("/", "."))
    except ImportError as error:
        raise Fault(
            "ImportModuleError", "Unable to import module '{}': {}".format(module_name, error)
        )
    except SyntaxError as error:
        raise Fault(
            "UserCodeSyntaxError",
            "Syntax error in module '{}': {}".format(module_name, error),
            ['  File "%s" Line %s\n    %s' % (error.filename, error.lineno, error.text)],
        )
    try:
        return getattr(module, function_name)
    except AttributeError:
        raise Fault(
            "HandlerNotFound",
            "Handler '{}' missing on module '{}'".format(function_name, module_name),
        )


# === the context object ===


class LambdaContext(object):
    def __init__(self, header, environment, log):
        client_context = parse_context(header.get("clientContext"), "Client Context")
        identity = parse_context(header.get("cognitoIdentity"), "Cognito Identity")
        self.aws_request_id = header["requestId"]
        self.log_group_name = environment.get("AWS_LAMBDA_LOG_GROUP_NAME")
        self.log_stream_name = environment.get("AWS_LAMBDA_LOG_STREAM_NAME")
        self.function_name = environment.get("AWS_LAMBDA_FUNCTION_NAME")
        self.memory_limit_in_mb = environment.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
        self.function_version = environment.get("AWS_LAMBDA_FUNCTION_VERSION")
        self.invoked_function_arn = header.get("invokedFunctionArn")
        self.tenant_id = None
        self.client_context = None
        if client_context is not None:
            self.client_context = ClientContext(client_context)
        self.identity = CognitoIdentity(identity)
        self._deadline_ms = header["deadlineMs"]
        self._log = log

    def get_remaining_time_in_millis(self):
        return max(0, self._deadline_ms - int(time.time() * 1000))

    def log(self, msg):
        self._log.write(str(msg))

    def __repr__(self):
        return show(
            self,
            "aws_request_id",
            "log_group_name",
            "log_stream_name",
            "function_name",
            "memory_limit_in_mb",
            "function_version",
            "invoked_function_arn",
            "client_context",
            "identity",
            "tenant_id",
        )


class CognitoIdentity(object):
    __slots__ = ["cognito_identity_id", "cognito_identity_pool_id"]

    def __init__(self, identity):
        fields = identity or {}
        self.cognito_identity_id = fields.get("cognitoIdentityId")
        self.cognito_identity_pool_id = fields.get("cognitoIdentityPoolId")

    def __repr__(self):
        return show(self, *self.__slots__)


class ClientContext(object):
    __slots__ = ["custom", "env", "client"]

    def __init__(self, fields):
        client = fields.get("client")
        self.custom = fields.get("custom")
        self.env = fields.get("env")
        self.client = None if client is None else Client(client)

    def __repr__(self):
        return show(self, *self.__slots__)


class Client(object):
    __slots__ = [
        "installation_id",
        "app_title",
        "app_version_name",
        "app_version_code",
        "app_package_name",
    ]

    def __init__(self, fields):
        for name in self.__slots__:
            setattr(self, name, fields.get(name))

    def __repr__(self):
        return show(self, *self.__slots__)


def show(value, *names):
    fields = ",".join("{}={}".format(name, getattr(value, name)) for name in names)
    return "{}([{}])".format(type(value).__name__, fields)


def parse_context(text, name):
    if not text:
        return None
    try:
        return json.loads(text)
    except Exception as error:
        raise Fault(
            "LambdaContextUnmarshalError", "Unable to parse {} JSON: {}".format(name, error)
        )


def set_trace_id(trace_id):
    if trace_id is not None:
        os.environ["_X_AMZN_TRACE_ID"] = trace_id
    else:
        os.environ.pop("_X_AMZN_TRACE_ID", None)


# === events and responses ===


def parse_event(event):
    try:
        return json.loads(event.decode("utf-8"))
    except Exception as error:
        raise Fault("UnmarshalError", "Unable to unmarshal input: {}".format(error))


class NeedsOwnEncoding(Exception):
    """The value holds something that only `encode_value` can write."""


class ResponseEncoder:
    """Writes JSON as AWS does, which uses the simplejson package.

    simplejson writes decimals as numbers, named tuples as objects and bytes as
    text. The standard encoder is much faster than Python code, so it writes
    everything that holds none of these.
    """

    def __init__(self, environment):
        match = re.match(r"AWS_Lambda_python(\d+)\.(\d+)", environment.get("AWS_EXECUTION_ENV", ""))
        release = tuple(map(int, match.groups())) if match else sys.version_info[:2]
        self.ascii = release < PLAIN_UNICODE_SINCE
        self.standard = json.JSONEncoder(ensure_ascii=self.ascii, default=self.refuse)
        self.text = json.JSONEncoder(ensure_ascii=self.ascii).encode

    def response(self, value):
        """Returns the response's bytes; bytes of a handler are sent as they are."""
        if isinstance(value, bytes):
            return value
        try:
            return self.encode(value).encode("utf-8")
        except Exception as error:
            raise Fault("MarshalError", "Unable to marshal response: {}".format(error))

    def error(self, error):
        # Text of a function may hold surrogates that no encoding takes.
        return self.encode(error).encode("utf-8", "replace")

    def encode(self, value):
        try:
            if not holds_named_tuple(value):
                return self.standard.encode(value)
        except (NeedsOwnEncoding, TypeError, RecursionError):
            # A TypeError may be about a key that simplejson takes, and endless
            # recursion about a cycle, which `write` reports as one.
            pass
        pieces = []
        self.write(value, pieces.append, set())
        return "".join(pieces)

    @staticmethod
    def refuse(value):
        raise NeedsOwnEncoding()

    def write(self, value, put, parents):
        if isinstance(value, bytes):
            value = value.decode("utf-8")
        if value is None or isinstance(value, (str, int, float)):
            put(self.text(value))
            return
        if isinstance(value, decimal.Decimal):
            put("NaN" if value.is_nan() else str(value))
            return
        if id(value) in parents:
            raise ValueError("Circular reference detected")
        parents.add(id(value))
        as_dict = getattr(value, "_asdict", None)
        if isinstance(value, list):
            self.write_list(value, put, parents)
        elif callable(as_dict):
            self.write_dict(as_dict(), put, parents)
        elif isinstance(value, tuple):
            self.write_list(value, put, parents)
        elif isinstance(value, dict):
            self.write_dict(value, put, parents)
        else:
            raise TypeError(
                "Object of type {} is not JSON serializable".format(type(value).__name__)
            )
        parents.discard(id(value))

    def write_list(self, values, put, parents):
        separator = "["
        for value in values:
            put(separator)
            separator = ", "
            self.write(value, put, parents)
        put("]" if separator == ", " else "[]")

    def write_dict(self, values, put, parents):
        separator = "{"
        for key, value in values.items():
            put(separator)
            separator = ", "
            put(self.text(self.key(key)))
            put(": ")
            self.write(value, put, parents)
        put("}" if separator == ", " else "{}")

    def key(self, key):
        if isinstance(key, str):
            return key
        if isinstance(key, bytes):
            return key.decode("utf-8")
        if key is None or isinstance(key, (int, float)):
            return self.text(key)
        raise TypeError(
            "keys must be str, int, float, bool or None, not {}".format(type(key).__name__)
        )


def holds_named_tuple(value):
    kind = type(value)
    if kind is dict:
        values = value.values()
    elif kind is list or kind is tuple:
        values = value
    else:
        return hasattr(kind, "_asdict")
    for item in values:
        if type(item) not in PLAIN_TYPES and holds_named_tuple(item):
            return True
    return False


PLAIN_TYPES = frozenset((str, int, float, bool, type(None)))


# === errors ===


def error_result(message, error_type, trace, request_id=""):
    return {
        "errorMessage": message or "",
        "errorType": error_type or "",
        "requestId": request_id,
        "stackTrace": trace or [],
    }


def exception_result(exc_info, request_id=""):
    error_type, value, tb = exc_info
    # Plain tuples: without the column marks that newer Pythons add.
    frames = [(f.filename, f.lineno, f.name, f.line) for f in traceback.extract_tb(tb)]
    while len(frames) > 1 and frames[0][0] == __file__:
        frames.pop(0)
    return error_result(str(value), error_type.__name__, traceback.format_list(frames), request_id)


# === logging ===

FRAME_TEXT = 0xA55A0003
FRAME_JSON = 0xA55A0002
NO_BREAK_SPACE = "\u00a0"

JSON_TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
TEXT_TIME_FORMAT = "%Y-%m-%dT%H:%M:%S"
TEXT_FORMAT = "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s\n"

# What every record has; anything else came in through `extra` and is logged.
# (AWS's client does not know `taskName`, so inside a task it is logged.)
RECORD_FIELDS = frozenset(vars(logging.makeLogRecord({}))) - {"taskName"} | {"aws_request_id"}


class FunctionLog:
    """Writes log events, one telemetry frame each, and configures `logging`."""

    def __init__(self, environment, encoder):
        self.encoder = encoder
        fd = environment.pop("_LAMBDA_TELEMETRY_LOG_FD", None)
        self.fd = None if fd is None else int(fd)
        if self.fd is not None:
            os.set_inheritable(self.fd, False)
        self.json = environment.get("AWS_LAMBDA_LOG_FORMAT", "").upper() == "JSON"
        self.request_id = ""
        level = environment.get("AWS_LAMBDA_LOG_LEVEL", "").upper()
        self.configure_logging("DEBUG" if level == "TRACE" else level)

    def configure_logging(self, level):
        handler = LambdaLoggerHandler(self, with_level=self.json or level != "")
        if self.json:
            handler.setFormatter(JsonFormatter())
        else:
            handler.setFormatter(logging.Formatter(TEXT_FORMAT, TEXT_TIME_FORMAT))
        root = logging.getLogger()
        if level in logging._nameToLevel:
            root.setLevel(level)
        root.addHandler(handler)

    def write(self, message, frame_type=FRAME_TEXT):
        if self.fd is None:
            sys.stdout.write(message)
            return
        text = message.encode("utf-8", "backslashreplace")
        header = (
            frame_type.to_bytes(4, "big")
            + len(text).to_bytes(4, "big")
            + int(time.time() * 1000000).to_bytes(8, "big")
        )
        write_fully(self.fd, header + text)

    def error(self, error):
        if self.json:
            timestamp = time.strftime(JSON_TIME_FORMAT, time.gmtime())
            line = dict({"timestamp": timestamp, "level": "ERROR"}, **error)
            self.write(self.encoder.encode(line), FRAME_JSON | level_bits(logging.ERROR))
        else:
            end = "\n" if self.fd is not None else "\r"
            text = end.join(error_lines(error)) + ("" if self.fd is not None else "\n")
            self.write(text, FRAME_TEXT | level_bits(logging.ERROR))


def error_lines(error):
    title = "[ERROR]"
    if error["errorType"]:
        title += " " + error["errorType"]
    if error["errorMessage"]:
        title += (":" if error["errorType"] else "") + " " + error["errorMessage"]
    yield title
    yield "Traceback (most recent call last):"
    for element in error["stackTrace"]:
        for line in element.splitlines() or [""]:
            # Log viewers drop leading blanks, but not this one.
            text = line.lstrip(" ")
            yield NO_BREAK_SPACE * (len(line) - len(text)) + text


def level_bits(level):
    return (min(50, max(0, level)) // 10 + 1) << 2 if level >= 10 else 0


class LambdaLoggerHandler(logging.Handler):
    def __init__(self, log, with_level):
        super().__init__()
        self.log = log
        self.log_sink = log
        self.with_level = with_level

    def emit(self, record):
        record.aws_request_id = self.log.request_id
        message = self.format(record)
        frame_type = FRAME_JSON if self.log.json else FRAME_TEXT
        self.log.write(message, frame_type | (level_bits(record.levelno) if self.with_level else 0))


class JsonFormatter(logging.Formatter):
    def __init__(self):
        super().__init__(datefmt=JSON_TIME_FORMAT)
        # A value that is not JSON is shown as text rather than losing the line.
        self.encode = json.JSONEncoder(ensure_ascii=False, default=str).encode

    def format(self, record):
        record.levelno = min(50, max(0, record.levelno)) // 10 * 10
        record.levelname = logging.getLevelName(record.levelno)
        plain = isinstance(record.msg, dict) and not record.args
        line = {
            "timestamp": self.formatTime(record, self.datefmt),
            "level": record.levelname,
            "message": record.msg if plain else record.getMessage(),
            "logger": record.name,
        }
        if record.exc_info:
            error_type, value, tb = record.exc_info
            line["stackTrace"] = traceback.format_tb(tb)
            line["errorType"] = error_type.__name__
            line["errorMessage"] = str(value)
        line["requestId"] = record.aws_request_id
        if record.exc_info:
            line["location"] = "{}:{}:{}".format(record.pathname, record.funcName, record.lineno)
        for key, value in vars(record).items():
            if key not in RECORD_FIELDS and key not in line:
                line[key] = value
        return self.encode({key: value for key, value in line.items() if value is not None}) + "\n"


def as_utf8(stream):
    """Python 3.6 believes the locale, which a minimal root file system lacks."""
    if stream.encoding.lower().replace("-", "") == "utf8":
        return stream
    return io.TextIOWrapper(stream.buffer, "utf-8", "backslashreplace")


class Unbuffered:
    """A stream whose output is there before the process can be frozen or killed."""

    def __init__(self, stream):
        self.stream = stream

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        pass

    def __getattr__(self, name):
        return getattr(self.stream, name)

    def write(self, text):
        written = self.stream.write(text)
        self.stream.flush()
        return written

    def writelines(self, lines):
        self.stream.writelines(lines)
        self.stream.flush()


if __name__ == "__main__":
    main()
