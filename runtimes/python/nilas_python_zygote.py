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

# What most functions import, AWS's SDK among it. Loaded once, their memory is shared by all forks.
COMMON_MODULES = (
    "argparse ast base64 binascii calendar collections.abc concurrent.futures configparser contextlib copy csv "
    "dataclasses datetime email.message email.parser enum functools getpass gzip hashlib hmac html http.client "
    "http.cookies inspect ipaddress itertools mimetypes numbers operator pathlib platform queue random secrets select "
    "shlex shutil signal socket socketserver ssl statistics string struct subprocess tempfile textwrap threading "
    "typing unicodedata urllib.error urllib.parse urllib.request uuid warnings weakref xml.etree.ElementTree zipfile zlib"
).split()


def serve():
    """Returns once in each fork."""
    before = set(sys.modules)
    import ctypes

    library = ctypes.PyDLL(LIBRARY)
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
    environment = ctypes.create_string_buffer(ENVIRONMENT_BYTES_MAX)
    # What is here now is never collected: its pages stay shared.
    gc.collect()
    gc.freeze()
    python.PyOS_BeforeFork()
    library.nilas_fork_serve()
    # In a fork, which does not know yet what for.
    python.PyOS_AfterFork_Child()
    ssl.RAND_add(os.urandom(32), 32.0)
    length = library.nilas_fork_go(environment, ctypes.c_size_t(ENVIRONMENT_BYTES_MAX))
    take_environment(environment.raw[:length])
    forget_shadowed(preloaded)


def take_environment(variables):
    """`NAME=VALUE`, each with a zero byte after it."""
    os.environ.clear()
    for variable in variables.split(b"\0"):
        name, equals, value = variable.partition(b"=")
        if equals:
            os.environb[name] = value
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
