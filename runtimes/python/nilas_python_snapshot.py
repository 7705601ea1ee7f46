"""SnapStart: what lies between the init of a function and its first invocation.

Where the process is a template, it is forked here, for each environment that is
restored. Where it is none, because forking is switched off or impossible, the
hooks run all the same, and the environment goes on as it is.
"""

import gc
import os
import sys
import threading
import time

KIND_TEMPLATE = 5
WORDS_BYTES_MAX = 1024
# More than a library starts for itself, such as numpy's for linear algebra. It ends them before a fork.
LIBRARY_THREADS_MAX = 256
LIBRARIES_WITH_THREADS = ("numpy",)


def pass_through(channel):
    """Returns in the environment that will be invoked. Raises what a hook raises."""
    from snapshot_restore_py import get_after_restore, get_before_snapshot

    hooks = get_before_snapshot()
    while hooks:
        func, args, kwargs = hooks.pop()
        func(*args, **kwargs)
    zygote = sys.modules.get("nilas_python_zygote")
    if zygote is not None and zygote.is_template():
        be_forked(channel, zygote)
    for func, args, kwargs in get_after_restore():
        func(*args, **kwargs)


def be_forked(channel, zygote):
    """Returns once in each fork."""
    obstacle = find_obstacle(zygote)
    channel.send(KIND_TEMPLATE, b"", obstacle.encode("utf-8"))
    if obstacle:
        # The platform starts this function's environments plainly, and has no use for this one.
        os._exit(0)
    gc.collect()
    gc.freeze()
    zygote.serve_as_template()
    make_unique()


def find_obstacle(zygote):
    """Why this process cannot be forked; an empty string if it can."""
    threads = threading.active_count() - 1
    if threads > 0:
        return "it has started {} threads".format(threads)
    native = any(name in sys.modules for name in LIBRARIES_WITH_THREADS)
    return zygote.obstacle(LIBRARY_THREADS_MAX if native else 0)


def make_unique():
    """Whatever draws random numbers or names draws its own from here on; see "Handling uniqueness with Lambda SnapStart".

    `random` sees to itself at each fork.
    """
    uuid = sys.modules.get("uuid")
    if uuid is not None:
        uuid._last_timestamp = None
    tempfile = sys.modules.get("tempfile")
    if tempfile is not None:
        tempfile._name_sequence = None
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()
    time.tzset()
