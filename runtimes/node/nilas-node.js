// Entry point of Node functions: boots, loads the handler, serves invocations.
//
// `boot` touches neither the environment nor user code, so that a process that
// has only booted can be forked for any function. Everything that belongs to
// one function happens in `run`.
'use strict';

const { Channel } = require('./nilas-node-channel');
const { installConsole } = require('./nilas-node-console');
const { UnhandledPromiseRejection, toResponse } = require('./nilas-node-errors');
const { loadHandler } = require('./nilas-node-loader');
const { Runtime, idle } = require('./nilas-node-invocation');

const CHANNEL_FD = 3;

// Exit statuses of AWS's runtime; 13 is Node's own "unsettled top-level await".
const EXIT_UNHANDLED_REJECTION = 128;
const EXIT_UNCAUGHT_EXCEPTION = 129;
const EXIT_UNSETTLED_AWAIT = 13;

function boot() {
  return new Channel(CHANNEL_FD);
}

async function run(channel, environment) {
  const logError = installConsole(environment);
  let runtime = null;

  function die(label, error, exitStatus) {
    logError(label, error);
    const body = JSON.stringify(toResponse(error));
    if (runtime === null) {
      channel.sendInitError(body);
    } else {
      runtime.reportFatal(body);
    }
    process.exit(exitStatus);
  }

  process.on('uncaughtException', (error) => {
    die('Uncaught Exception', error, EXIT_UNCAUGHT_EXCEPTION);
  });
  process.on('unhandledRejection', (reason, promise) => {
    const error = new UnhandledPromiseRejection(reason, promise);
    die('Unhandled Promise Rejection', error, EXIT_UNHANDLED_REJECTION);
  });
  process.on('beforeExit', idle.invoke);
  idle.set(() => process.exit(EXIT_UNSETTLED_AWAIT));

  try {
    const release = nodeRelease(environment);
    const handler = await loadHandler(environment, release);
    runtime = new Runtime(channel, handler, environment, logError, release);
  } catch (error) {
    die('Uncaught Exception', error, EXIT_UNCAUGHT_EXCEPTION);
  }
  runtime.start();
}

// The release the function asked for, whichever Node serves it: `AWS_Lambda_nodejs20.x` is 20.
function nodeRelease(environment) {
  const match = /^AWS_Lambda_nodejs(\d+)/.exec(environment.AWS_EXECUTION_ENV || '');
  return parseInt(match === null ? process.versions.node : match[1], 10);
}

if (require.main === module) {
  run(boot(), process.env);
}

module.exports = { boot, run };
