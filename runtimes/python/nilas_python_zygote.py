"""A zygote: a booted Python that is forked for each function, and what a fork has
to put right to be like a Python that was started for it.
"""

import gc
import importlib
import os
import sys
import time

LIBRARY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "nilas-fork.node")
ENVIRONMENT_BYTES_MAX = 128 * 1024
WORDS_BYTES_MAX = 1024

# What most functions import, AWS's SDK among it. Loaded once, their memory is shared by all forks.
COMMON_MODULES = (
    "argparse ast base64 binascii calendar collections.abc concurrent.futures configparser contextlib copy csv "
    "dataclasses datetime email.message email.parser enum functools getpass gzip hashlib hmac html http.client "
    "http.cookies inspect ipaddress itertools mimetypes numbers operator pathlib platform queue random secrets select "
    "shlex shutil signal socket socketserver ssl statistics string struct subprocess tempfile textwrap threading "
    "typing unicodedata urllib.error urllib.parse urllib.request uuid warnings weakref xml.etree.ElementTree zipfile zlib"
).split()


# Of the native part; there once `serve` has been called.
library = None
# The environment that the platform gave, as opposed to what the function has made of it.
given = {}


def serve():
    """Returns once in each fork."""
    global library
    before = set(sys.modules)
    import ctypes

    library = ctypes.PyDLL(LIBRARY)
    library.nilas_fork_is_template.restype = ctypes.c_bool
    python = ctypes.pythonapi
    for name in COMMON_MODULES:
        try:
            importlib.import_module(name)
        except ImportError:
            pass  # This version of Python has none of that name.
    preloaded = set(sys.modules) - before
    # Makes OpenSSL's generator, which takes milliseconds; each fork adds to it what makes it its own.
    ssl = sys.modules["ssl"]
    ssl.RAND_bytes(1)
    # What is here now is never collected: its pages stay shared.
    gc.collect()
    gc.freeze()
    python.PyOS_BeforeFork()
    library.nilas_fork_serve()
    # In a fork, which does not know yet what for.
    python.PyOS_AfterFork_Child()
    ssl.RAND_add(os.urandom(32), 32.0)
    os.environ.clear()
    take_environment()
    forget_shadowed(preloaded)


def is_template():
    """Whether this process is to be forked after its init."""
    return library is not None and library.nilas_fork_is_template()


def obstacle(threads):
    """Why it cannot be, although up to so many of its threads may be lost; an empty string if it can."""
    import ctypes

    words = ctypes.create_string_buffer(WORDS_BYTES_MAX)
    library.nilas_fork_obstacle.restype = ctypes.c_size_t
    size = ctypes.c_size_t
    length = library.nilas_fork_obstacle(size(threads), words, size(WORDS_BYTES_MAX))
    return words.raw[:length].decode("utf-8", "replace")


def serve_as_template():
    """Returns once in each fork, whose environment is up to date."""
    import ctypes

    python = ctypes.pythonapi
    python.PyOS_BeforeFork()
    library.nilas_fork_serve_as_template()
    python.PyOS_AfterFork_Child()
    ssl = sys.modules.get("ssl")
    if ssl is not None:
        ssl.RAND_add(os.urandom(32), 32.0)
    take_environment()


def take_environment():
    """What the platform says anew, and nothing of what the function has set itself."""
    import ctypes

    global given
    size = ctypes.c_size_t
    environment = ctypes.create_string_buffer(ENVIRONMENT_BYTES_MAX)
    length = library.nilas_fork_go(environment, size(ENVIRONMENT_BYTES_MAX))
    # `NAME=VALUE`, each with a zero byte after it.
    variables = (variable.partition(b"=") for variable in environment.raw[:length].split(b"\0"))
    wanted = {name: value for name, equals, value in variables if equals}
    for name, value in wanted.items():
        if given.get(name) != value:
            os.environb[name] = value
    given = wanted
    time.tzset()


def forget_shadowed(preloaded):
    """A function may have modules of its own by names of the standard library, which come before it."""
    task_root = os.environ["LAMBDA_TASK_ROOT"]
    own = set()
    for directory in (task_root, "/opt/python"):
        try:
            own.update(name.partition(".")[0] for name in os.listdir(directory))
        except OSError:
            pass
    for name in preloaded:
        if name.partition(".")[0] in own:
            sys.modules.pop(name, None)
