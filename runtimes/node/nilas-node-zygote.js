// A zygote: a booted Node that is forked for each function, and what a fork has
// to put right to be like a Node that was started for it.
'use strict';

const crypto = require('crypto');
const Module = require('module');
const path = require('path');
const v8 = require('v8');
const vm = require('vm');

const { rehearse } = require('./nilas-node-rehearsal');

const LIBRARY = path.join(__dirname, 'nilas-fork.node');

// What most functions load. Built into Node, so no function can mean another
// module by these names; loaded once, their memory is shared by all forks.
const COMMON_MODULES = [
  'assert', 'async_hooks', 'buffer', 'child_process', 'diagnostics_channel', 'dns', 'events', 'fs/promises',
  'http', 'http2', 'https', 'net', 'os', 'perf_hooks', 'process', 'querystring', 'stream', 'stream/promises',
  'string_decoder', 'timers', 'timers/promises', 'tls', 'tty', 'url', 'util', 'worker_threads', 'zlib',
];

// Returns once in each fork, with what sets the trace id of an invocation.
async function serve(traits) {
  for (const name of COMMON_MODULES) {
    try {
      require(name);
    } catch (_) {
      // This version of Node has none of that name.
    }
  }
  const library = { exports: {} };
  process.dlopen(library, LIBRARY);
  const { serve, go, pair, trace, exiting, exit } = library.exports;
  // `setenv` would keep the id of every invocation for as long as the process lives.
  const setTraceId = (traceId) => {
    if (!trace(traceId)) {
      process.env._X_AMZN_TRACE_ID = traceId;
    }
  };
  // Finds the time zone.
  new Date().getTimezoneOffset();
  takeEnvironment(environmentText());
  freshRandom();
  await rehearse(traits, pair, setTraceId, { load: true });
  collectGarbage();

  serve();
  // In a fork, which does not know yet what for. What it writes to now, it need not copy when it is waited for.
  takeIdentity();
  Math.random = freshRandom();
  leaveBy(exiting, exit);
  await rehearse(traits, pair, setTraceId, { load: false });

  takeEnvironment(go());
  restartUptime();
  // Both were found out when the zygote booted.
  process.chdir(process.env.LAMBDA_TASK_ROOT);
  Module._initPaths();
  return setTraceId;
}

function environmentText() {
  return Object.entries(process.env).map(([name, value]) => `${name}=${value}\0`).join('');
}

// The less there is on the heap, the less each fork has to copy when it writes.
function collectGarbage() {
  v8.setFlagsFromString('--expose-gc');
  vm.runInNewContext('gc')();
  v8.setFlagsFromString('--no-expose-gc');
}

// `NAME=VALUE`, each with a zero byte after it. What is the same already is left
// alone: at every word about TZ, Node looks for its time zone anew, in hundreds of files.
function takeEnvironment(text) {
  const wanted = new Map();
  for (const variable of text.split('\0')) {
    const at = variable.indexOf('=');
    if (at > 0) {
      wanted.set(variable.slice(0, at), variable.slice(at + 1));
    }
  }
  for (const [name, value] of Object.entries(process.env)) {
    if (!wanted.has(name)) {
      delete process.env[name];
    } else if (wanted.get(name) === value) {
      wanted.delete(name);
    }
  }
  for (const [name, value] of wanted) {
    process.env[name] = value;
  }
}

function takeIdentity() {
  const pid = Number(require('fs').readlinkSync('/proc/self'));
  Object.defineProperty(process, 'pid', { ...Object.getOwnPropertyDescriptor(process, 'pid'), value: pid });
  process.execArgv = [];
}

// A fork has none of the threads that Node waits for when it exits.
function leaveBy(exiting, exit) {
  process.reallyExit = (code) => exit(Number(code) || 0);
  process.on('exit', (code) => exiting(Number(code) || 0));
}

function restartUptime() {
  const uptime = process.uptime;
  const bornAt = uptime();
  process.uptime = function () {
    return uptime() - bornAt;
  };
}

// V8 has seeded its generator before the fork, and offers no way to do it anew:
// forks would all draw the same numbers. This one is xoshiro128**.
function freshRandom() {
  const state = new Uint32Array(4);
  crypto.randomFillSync(state);
  let [a, b, c, d] = state;
  const next = () => {
    const product = Math.imul(b, 5);
    const result = Math.imul((product << 7) | (product >>> 25), 9);
    const shifted = b << 9;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= shifted;
    d = (d << 11) | (d >>> 21);
    return result >>> 0;
  };
  // 53 bits, as V8's own. Bound, since native functions show no source either.
  const random = () => ((next() >>> 5) * 0x4000000 + (next() >>> 6)) / 0x20000000000000;
  const bound = random.bind(Math);
  Object.defineProperty(bound, 'name', { value: 'random', configurable: true });
  return bound;
}

module.exports = { serve };
