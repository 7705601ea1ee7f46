// Serves invocations one after the other: context, callback, and when it is over.
'use strict';

const { setRequestId } = require('./nilas-node-console');
const {
  CallbackHandlerDeprecated,
  JSONStringifyError,
  NodeJsExit,
  toResponse,
} = require('./nilas-node-errors');
const { ResponseStream, highWaterMark, isStreaming } = require('./nilas-node-stream');

// What happens when the event loop has nothing left to do. AWS keeps it in this
// global, where tracing libraries look for it.
const IDLE = Symbol.for('aws.lambda.beforeExit');

const idle = {
  set: (listener) => (global[IDLE] = listener),
  reset: () => (global[IDLE] = () => {}),
  invoke: () => global[IDLE](),
};

class Runtime {
  constructor(channel, handler, environment, logError, traits, setTraceId) {
    this.channel = channel;
    this.handler = handler;
    this.logError = logError;
    this.traits = traits;
    this.setTraceId = setTraceId;
    this.current = null; // request id of the running invocation
    this.facts = {
      functionVersion: environment.AWS_LAMBDA_FUNCTION_VERSION,
      functionName: environment.AWS_LAMBDA_FUNCTION_NAME,
      memoryLimitInMB: environment.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
      logGroupName: environment.AWS_LAMBDA_LOG_GROUP_NAME,
      logStreamName: environment.AWS_LAMBDA_LOG_STREAM_NAME,
    };
    this.isAsync = Boolean(handler.constructor) && handler.constructor.name === 'AsyncFunction';
    this.invoke = this.chooseStyle();
  }

  start() {
    idle.reset();
    this.channel.start((header, event) => this.begin(header, event));
  }

  // The process is about to exit because of an error nobody caught.
  reportFatal(body) {
    if (this.current !== null) {
      this.channel.sendError(this.current, body);
      this.current = null;
    }
  }

  chooseStyle() {
    if (isStreaming(this.handler)) {
      return this.invokeStreaming;
    }
    if (!this.traits.promisesOnly) {
      return this.invokeWithCallback;
    }
    if (this.handler.length >= 3) {
      throw new CallbackHandlerDeprecated(
        'ERROR: AWS Lambda has removed support for callback-based function handlers starting with Node.js 24. ' +
          'You need to modify this function to use a supported handler signature to use Node.js 24 or later. ' +
          'For more information see https://docs.aws.amazon.com/lambda/latest/dg/nodejs-handler.html.',
      );
    }
    return this.invokePromise;
  }

  begin(header, event) {
    // From here on only the function's own work keeps the event loop alive.
    this.channel.unref();
    this.current = header.requestId;
    setRequestId(header.requestId);
    if (header.traceId) {
      this.setTraceId(header.traceId);
    } else {
      delete process.env._X_AMZN_TRACE_ID;
    }
    this.invoke(header, event);
  }

  // === the three styles of handlers ===

  invokeWithCallback(header, event) {
    const call = new CallbackCall(this, header.requestId);
    idle.set(() => this.endUnanswered(call, header.requestId));
    try {
      const context = Object.assign(call.context, this.facts, headerFacts(header));
      const result = this.handler(JSON.parse(event), context, call.callback);
      if (isPromise(result)) {
        // `succeed` throws for a result that is not JSON: that is the invocation's error.
        result.then(context.succeed, context.fail).catch(context.fail);
      }
    } catch (error) {
      call.callback(error);
    }
  }

  invokePromise(header, event) {
    const requestId = header.requestId;
    const succeed = (result) => this.succeed(requestId, stringify(result, JSONStringifyError));
    const fail = (error) => this.fail(requestId, error);
    try {
      const context = Object.assign(headerFacts(header), { xRayTraceId: header.traceId }, this.facts);
      const result = this.handler(JSON.parse(event), context);
      if (isPromise(result)) {
        result.then(succeed).catch(fail);
      } else {
        succeed(result);
      }
    } catch (error) {
      fail(error);
    }
  }

  invokeStreaming(header, event) {
    const requestId = header.requestId;
    const { promisesOnly } = this.traits;
    const stream = new ResponseStream(highWaterMark(this.handler), this.output(requestId));
    const waiting = promisesOnly ? {} : waitSwitch();
    const fail = (error) => this.fail(requestId, error);
    const misuse = (text) => fail(promisesOnly ? new Error(text) : text);
    const respond = () => this.succeed(requestId, '');
    const finish = () => (waiting.callbackWaitsForEmptyEventLoop ? idle.set(respond) : respond());
    idle.set(() => misuse('Response stream is not finished.'));
    try {
      const context = Object.assign(waiting, this.facts, headerFacts(header));
      const result = this.handler(JSON.parse(event), stream, context);
      if (!isPromise(result)) {
        misuse('Streaming does not support non-async handlers.');
        return;
      }
      result
        .then((value) => {
          if (value !== undefined) {
            console.warn('Streaming handlers ignore return values.');
          }
          if (stream.writableFinished) {
            finish();
          } else {
            stream.once('finish', finish);
          }
        })
        .catch(fail);
    } catch (error) {
      fail(error);
    }
  }

  // What is written after the invocation's end goes nowhere.
  output(requestId) {
    return {
      begin: (contentType) => {
        if (this.current === requestId) {
          this.channel.sendStream(requestId, contentType);
        }
      },
      write: (bytes, done) => {
        if (this.current === requestId) {
          this.channel.sendChunk(requestId, bytes, done);
        } else {
          done();
        }
      },
    };
  }

  // === how an invocation ends ===

  // The event loop is empty and the handler has not answered.
  endUnanswered(call, requestId) {
    call.completed = true;
    if (this.isAsync && this.traits.unsettledIsError) {
      this.fail(requestId, new NodeJsExit());
    } else {
      this.succeed(requestId, 'null');
    }
  }

  succeed(requestId, body) {
    if (this.end(requestId)) {
      this.channel.sendResponse(requestId, body);
    }
  }

  fail(requestId, error) {
    this.logError('Invoke Error', error);
    if (this.end(requestId)) {
      this.channel.sendError(requestId, JSON.stringify(toResponse(error)));
    }
  }

  // Whether `requestId` is still to be answered; late answers are dropped.
  end(requestId) {
    if (this.current !== requestId) {
      return false;
    }
    idle.reset();
    this.current = null;
    this.channel.ref();
    return true;
  }
}

// Callback and context functions of one invocation: the first call decides.
class CallbackCall {
  constructor(runtime, requestId) {
    this.runtime = runtime;
    this.requestId = requestId;
    this.completed = false; // a result has been sent, or the loop ran empty
    this.decided = false;
    const done = this.once((error, result) => this.done(error, result));
    const waiting = waitSwitch();
    this.callback = this.once((error, result) => {
      if (isNothing(error) && waiting.callbackWaitsForEmptyEventLoop) {
        // One more turn, for what other beforeExit listeners start.
        idle.set(() => setImmediate(() => this.complete(result)));
      } else {
        this.done(error, result);
      }
    });
    waiting.succeed = (result) => done(null, result);
    waiting.fail = (error) => done(isNothing(error) ? 'handled' : error);
    waiting.done = done;
    this.context = waiting;
  }

  once(action) {
    return (error, result) => {
      if (!this.decided) {
        idle.reset();
        action(error, result);
        // Not before: a result that is not JSON throws here, and may be followed by `fail`.
        this.decided = true;
      }
    };
  }

  done(error, result) {
    if (isNothing(error)) {
      this.complete(result);
    } else {
      this.runtime.fail(this.requestId, error);
    }
  }

  complete(result) {
    if (this.completed) {
      console.error(
        'Invocation has already been reported as done. Cannot call complete more than once per invocation.',
      );
      return;
    }
    this.completed = true;
    this.runtime.succeed(this.requestId, stringify(result, Error));
  }
}

// An accessor on AWS too: copies of the context do not switch the original. All
// contexts share one pair of functions, since V8 makes an object with a pair of
// its own a dictionary, which costs a microsecond. So what is switched is kept
// in a private field of the context, which nothing shows.
const WAIT_SWITCH = {
  configurable: true,
  enumerable: true,
  get: function callbackWaitsForEmptyEventLoop() {
    return waitsOf(this).value;
  },
  set: function callbackWaitsForEmptyEventLoop(value) {
    waitsOf(this).value = value;
  },
};

class Given {
  constructor(object) {
    return object;
  }
}

class Waits extends Given {
  #waits = { value: true };

  static of(object) {
    return object.#waits;
  }
}

let latestWaits = null;

function waitSwitch() {
  const context = {};
  new Waits(context);
  latestWaits = Waits.of(context);
  return Object.defineProperty(context, 'callbackWaitsForEmptyEventLoop', WAIT_SWITCH);
}

// Of the context that `object` is or inherits from; else, as with a proxy, of the newest.
function waitsOf(object) {
  for (let next = object; next !== null && next !== undefined; next = Object.getPrototypeOf(next)) {
    try {
      return Waits.of(next);
    } catch (_) {
      // It has no such field.
    }
  }
  return latestWaits;
}

function headerFacts(header) {
  const deadlineMs = header.deadlineMs;
  return {
    clientContext: parseHeader(header.clientContext, 'ClientContext'),
    identity: parseHeader(header.cognitoIdentity, 'CognitoIdentity'),
    invokedFunctionArn: header.invokedFunctionArn,
    awsRequestId: header.requestId,
    tenantId: undefined,
    getRemainingTimeInMillis() {
      return deadlineMs - Date.now();
    },
  };
}

function parseHeader(text, name) {
  if (text === undefined || text === null) {
    return undefined;
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`Cannot parse ${name} as json: ${error.toString()}`);
  }
}

function stringify(result, ErrorType) {
  let body;
  try {
    body = JSON.stringify(result === undefined ? null : result);
  } catch (_) {
    throw new ErrorType('Unable to stringify response body');
  }
  if (body === undefined) {
    // A function or a symbol; what AWS's native client says to it.
    throw new TypeError('Wrong arguments');
  }
  return body;
}

function isPromise(value) {
  return Boolean(value) && typeof value.then === 'function';
}

function isNothing(value) {
  return value === undefined || value === null;
}

module.exports = { Runtime, idle };
