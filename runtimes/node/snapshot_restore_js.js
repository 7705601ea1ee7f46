// Runtime hooks for SnapStart: what AWS's snapshot_restore_py is for Python.
'use strict';

const beforeSnapshot = [];
const afterRestore = [];

// Has `hook(...args)` called, and its promise waited for, before the snapshot: the one registered last first.
function registerBeforeSnapshot(hook, ...args) {
  beforeSnapshot.push({ hook, args });
  return hook;
}

// Likewise after each restore, in the order of registration.
function registerAfterRestore(hook, ...args) {
  afterRestore.push({ hook, args });
  return hook;
}

module.exports = {
  registerBeforeSnapshot,
  registerAfterRestore,
  getBeforeSnapshot: () => beforeSnapshot,
  getAfterRestore: () => afterRestore,
};
