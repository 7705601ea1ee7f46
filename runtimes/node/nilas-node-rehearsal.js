// Runs one invocation of nothing before a zygote is forked, so that what every
// function goes through is compiled already, once for all of them.
'use strict';

const net = require('net');

const { Channel } = require('./nilas-node-channel');
const { installConsole } = require('./nilas-node-console');
const { loadHandler } = require('./nilas-node-loader');
const { Runtime, idle } = require('./nilas-node-invocation');

const HANDLER = 'nilas-node-rehearsal.handler';
const HEADER = { requestId: '00000000-0000-4000-8000-000000000000', deadlineMs: 0, invokedFunctionArn: '', traceId: '-' };

// Leaves no trace: neither in the console nor in the globals, modules, listeners
// or descriptors of this process. `pair()` makes two connected sockets. A fork
// that has no files yet cannot load the handler.
async function rehearse(traits, pair, setTraceId, { load }) {
  const methods = Object.assign({}, console);
  const environment = { ...process.env, _HANDLER: HANDLER, LAMBDA_TASK_ROOT: __dirname };
  const logError = installConsole(environment);
  Object.assign(console, methods);
  for (const name of Object.keys(console).filter((name) => !(name in methods))) {
    delete console[name];
  }
  const loaded = new Set(Object.keys(require.cache));
  const handler = load ? await loadHandler(environment, traits) : answer;
  const sockets = pair();
  const far = new net.Socket({ fd: sockets % 65536, readable: true, writable: true });
  const channel = new Channel(Math.floor(sockets / 65536));
  const runtime = new Runtime(channel, handler, environment, logError, traits, setTraceId);
  const answered = new Promise((resolve) => far.once('data', () => far.once('data', resolve)));
  runtime.start();
  channel.socket.removeAllListeners('close');
  far.write(invokeFrame());
  await answered;
  idle.reset();
  await Promise.all([closed(channel.socket), closed(far)]);
  delete global.awslambda;
  delete process.env._X_AMZN_TRACE_ID;
  Object.keys(require.cache).filter((file) => !loaded.has(file)).forEach((file) => delete require.cache[file]);
}

function closed(socket) {
  return new Promise((resolve) => socket.once('close', resolve).destroy());
}

function invokeFrame() {
  const header = Buffer.from(JSON.stringify(HEADER));
  const event = Buffer.from('{}');
  const frame = Buffer.alloc(9);
  frame.writeUInt32LE(5 + header.length + event.length, 0);
  frame[4] = 1;
  frame.writeUInt32LE(header.length, 5);
  return Buffer.concat([frame, header, event]);
}

async function answer() {
  return { message: 'ready' };
}

module.exports = { rehearse, handler: answer };
