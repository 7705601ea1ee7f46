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

// The native part; there once `serve` has been called.
let native = null;
// The environment that the platform gave, as text, as opposed to what the function has made of it.
let given = '';
const random = makeRandom();

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
  native = library.exports;
  // `setenv` would keep the id of every invocation for as long as the process lives.
  const setTraceId = (traceId) => {
    if (!native.trace(traceId)) {
      process.env._X_AMZN_TRACE_ID = traceId;
    }
  };
  // Finds the time zone.
  new Date().getTimezoneOffset();
  takeEnvironment(environmentText());
  random.seed();
  await rehearse(traits, native.pair, setTraceId, { load: true });
  collectGarbage();

  native.serve();
  // In a fork, which does not know yet what for. What it writes to now, it need not copy when it is waited for.
  takeIdentity();
  random.seed();
  Math.random = random.draw;
  leaveBy(native.exiting, native.exit);
  await rehearse(traits, native.pair, setTraceId, { load: false });

  given = native.go();
  takeEnvironment(given);
  restartUptime();
  // Both were found out when the zygote booted.
  process.chdir(process.env.LAMBDA_TASK_ROOT);
  Module._initPaths();
  return setTraceId;
}

// Whether this process is to be forked after its init.
function isTemplate() {
  return native !== null && native.isTemplate();
}

// Why it cannot be, although exactly as many threads may be lost; an empty string if it can.
function obstacle(threads) {
  return native.obstacle(threads);
}

// Returns once in each fork, whose environment is up to date.
function serveAsTemplate() {
  collectGarbage();
  native.serveAsTemplate();
  takeIdentity();
  random.seed();
  const before = parseEnvironment(given);
  given = native.go();
  // What the platform says anew, and nothing of what the function has set itself.
  for (const [name, value] of parseEnvironment(given)) {
    if (before.get(name) !== value) {
      process.env[name] = value;
    }
  }
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

// `NAME=VALUE`, each with a zero byte after it.
function parseEnvironment(text) {
  const variables = new Map();
  for (const variable of text.split('\0')) {
    const at = variable.indexOf('=');
    if (at > 0) {
      variables.set(variable.slice(0, at), variable.slice(at + 1));
    }
  }
  return variables;
}

// What is the same already is left alone: at every word about TZ, Node looks for
// its time zone anew, in hundreds of files.
function takeEnvironment(text) {
  const wanted = parseEnvironment(text);
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
function makeRandom() {
  let a, b, c, d;
  const seed = () => {
    [a, b, c, d] = crypto.randomFillSync(new Uint32Array(4));
  };
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
  const draw = random.bind(Math);
  Object.defineProperty(draw, 'name', { value: 'random', configurable: true });
  return { seed, draw };
}

module.exports = { serve, isTemplate, obstacle, serveAsTemplate };
