// Entry point of Node functions: boots, loads the handler, serves invocations.
//
// `boot` touches neither the environment nor user code, so that a process that
// has only booted can be forked for any function. Everything that belongs to
// one function happens in `run`.
'use strict';

const { Channel } = require('./nilas-node-channel');
const { installConsole, setRequestId } = require('./nilas-node-console');
const { UnhandledPromiseRejection, toResponse } = require('./nilas-node-errors');
const { loadHandler } = require('./nilas-node-loader');
const { Runtime, idle } = require('./nilas-node-invocation');

const CHANNEL_FD = 3;

// Exit statuses of AWS's runtime; 13 is Node's own "unsettled top-level await".
const EXIT_FAILURE = 1;
const EXIT_UNHANDLED_REJECTION = 128;
const EXIT_UNCAUGHT_EXCEPTION = 129;
const EXIT_UNSETTLED_AWAIT = 13;

// From this release on there are no callbacks, a returned value is the response,
// a module's default export is searched for the handler, and an error nobody
// caught ends the process the way Node.js does by default.
const PROMISES_ONLY_SINCE = 24;
// From this release on a promise that never settles is an error, not null.
const UNSETTLED_IS_ERROR_SINCE = 18;

function boot() {
  return new Channel(CHANNEL_FD);
}

async function run(channel, environment, setTraceId) {
  const logError = installConsole(environment);
  const traits = releaseTraits(environment);
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

  if (traits.promisesOnly) {
    setRequestId('-');
  } else {
    process.on('uncaughtException', (error) => {
      die('Uncaught Exception', error, EXIT_UNCAUGHT_EXCEPTION);
    });
    process.on('unhandledRejection', (reason, promise) => {
      const error = new UnhandledPromiseRejection(reason, promise);
      die('Unhandled Promise Rejection', error, EXIT_UNHANDLED_REJECTION);
    });
    idle.set(() => process.exit(EXIT_UNSETTLED_AWAIT));
    process.on('beforeExit', idle.invoke);
  }

  try {
    const handler = await loadHandler(environment, traits);
    if (environment.AWS_LAMBDA_INITIALIZATION_TYPE === 'snap-start') {
      // Comes back in each restored environment.
      await require('./nilas-node-snapshot').passThrough(channel);
    }
    runtime = new Runtime(channel, handler, environment, logError, traits, setTraceId);
  } catch (error) {
    if (traits.promisesOnly) {
      die('Init Error', error, EXIT_FAILURE);
    }
    die('Uncaught Exception', error, EXIT_UNCAUGHT_EXCEPTION);
  }
  runtime.start();
}

// What to do as which release of AWS's runtime. The function's own choice counts
// (`AWS_Lambda_nodejs20.x` is 20), whichever version of Node.js serves it.
function releaseTraits(environment) {
  const match = /^AWS_Lambda_nodejs(\d+)/.exec(environment.AWS_EXECUTION_ENV || '');
  const release = parseInt(match === null ? process.versions.node : match[1], 10);
  return {
    promisesOnly: release >= PROMISES_ONLY_SINCE,
    unsettledIsError: release >= UNSETTLED_IS_ERROR_SINCE,
  };
}

async function main() {
  const channel = boot();
  let setTraceId = (traceId) => (process.env._X_AMZN_TRACE_ID = traceId);
  if (process.env.NILAS_ZYGOTE !== undefined) {
    // Comes back once in each fork, as if that had been started.
    setTraceId = await require('./nilas-node-zygote').serve(releaseTraits(process.env));
  }
  await run(channel, process.env, setTraceId);
}

if (require.main === module) {
  main();
}

module.exports = { boot, run };
