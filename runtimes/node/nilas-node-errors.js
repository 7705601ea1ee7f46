// Error types of the runtime and how errors are shown to the caller and in logs.
'use strict';

const util = require('util');

class RuntimeError extends Error {}

function defineRuntimeError(name) {
  const type = { [name]: class extends RuntimeError {} }[name];
  type.prototype.name = `Runtime.${name}`;
  return type;
}

const CallbackHandlerDeprecated = defineRuntimeError('CallbackHandlerDeprecated');
const HandlerNotFound = defineRuntimeError('HandlerNotFound');
const ImportModuleError = defineRuntimeError('ImportModuleError');
const InvalidStreamingOperation = defineRuntimeError('InvalidStreamingOperation');
const JSONStringifyError = defineRuntimeError('JSONStringifyError');
const MalformedHandlerName = defineRuntimeError('MalformedHandlerName');
const MalformedStreamingHandler = defineRuntimeError('MalformedStreamingHandler');
const UserCodeSyntaxError = defineRuntimeError('UserCodeSyntaxError');

class NodeJsExit extends RuntimeError {
  constructor() {
    super(
      'The Lambda runtime client detected an unexpected Node.js exit code. ' +
        'This is most commonly caused by a Promise that was never settled. For more information, ' +
        'see https://nodejs.org/docs/latest/api/process.html#exit-codes',
    );
  }
}
NodeJsExit.prototype.name = 'Runtime.NodeJsExit';

class UnhandledPromiseRejection extends RuntimeError {
  constructor(reason, promise) {
    super(reason);
    this.reason = reason;
    this.promise = promise;
  }
}
UnhandledPromiseRejection.prototype.name = 'Runtime.UnhandledPromiseRejection';

// The body the caller receives for `error`, which may be any value.
function toResponse(error) {
  try {
    if (util.types.isNativeError(error) || looksLikeError(error)) {
      return {
        errorType: escapeDelete(error.name),
        errorMessage: escapeDelete(error.message),
        trace: escapeDelete(error.stack).split('\n'),
      };
    }
    return { errorType: typeof error, errorMessage: error.toString(), trace: [] };
  } catch (_) {
    // A getter or `toString` of the function's own error threw.
    return {
      errorType: 'handled',
      errorMessage:
        'callback called with Error argument, but there was a problem while retrieving one or more ' +
        'of its message, name, and stack',
    };
  }
}

// The text of `error` in a log line; AWS puts a tab in front.
function toLogText(error) {
  try {
    return '\t' + JSON.stringify(error, (_key, value) => withHiddenFields(value));
  } catch (_) {
    return '\t' + JSON.stringify(toResponse(error));
  }
}

function toError(value) {
  return value instanceof Error ? value : new Error(value);
}

// Errors of another realm, or from a library that only imitates Error.
function looksLikeError(value) {
  return ['name', 'message', 'stack'].every(
    (field) => value && value[field] && typeof value[field] === 'string',
  );
}

// AWS's service refuses the DEL character in error fields and shows it as %7F.
function escapeDelete(text) {
  return typeof text === 'string' ? text.replace(/\x7F/g, '%7F') : text;
}

// Name, message, code and stack are not enumerable: JSON.stringify would drop them.
function withHiddenFields(value) {
  if (!(value instanceof Error)) {
    return value;
  }
  const fields = { errorType: value.name, errorMessage: value.message, code: value.code };
  Object.assign(fields, value);
  if (typeof value.stack === 'string') {
    fields.stack = value.stack.split('\n');
  }
  return fields;
}

module.exports = {
  CallbackHandlerDeprecated,
  HandlerNotFound,
  ImportModuleError,
  InvalidStreamingOperation,
  JSONStringifyError,
  MalformedHandlerName,
  MalformedStreamingHandler,
  NodeJsExit,
  UnhandledPromiseRejection,
  UserCodeSyntaxError,
  toError,
  toLogText,
  toResponse,
};
