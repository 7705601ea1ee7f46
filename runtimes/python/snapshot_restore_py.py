"""AWS's runtime hooks for SnapStart, by AWS's names.

See "Use code before or after Lambda function snapshots" in AWS's developer guide.
"""

_before_snapshot = []
_after_restore = []


def register_before_snapshot(func, *args, **kwargs):
    """Has `func(*args, **kwargs)` called before the snapshot, the one registered last first."""
    _before_snapshot.append((func, args, kwargs))
    return func


def register_after_restore(func, *args, **kwargs):
    """Has `func(*args, **kwargs)` called after each restore, in the order of registration."""
    _after_restore.append((func, args, kwargs))
    return func


def get_before_snapshot():
    return _before_snapshot


def get_after_restore():
    return _after_restore
