// Replaces console.* by AWS's log lines: one telemetry frame per call.
//
// Frame: u32 type, u32 message length, u64 microseconds since the epoch (all
// big-endian), message. process.stdout and process.stderr stay as they are.
'use strict';

const util = require('util');

const { writeFully } = require('./nilas-node-channel');
const { toError, toLogText } = require('./nilas-node-errors');

const FRAME_HEADER_BYTES = 16;
const FRAME_TYPE_JSON = 0xa55a0002;
const FRAME_TYPE_TEXT = 0xa55a0003;
const UINT32_RANGE = 0x100000000;

const LEVELS = ['TRACE', 'DEBUG', 'INFO', 'WARN', 'ERROR', 'FATAL'].map((name, index) => ({
  name,
  frameBits: (index + 1) << 2,
}));

// Libraries (AWS's Powertools among them) read the request id from this global.
const REQUEST_ID = Symbol.for('aws.lambda.runtime.requestId');

function setRequestId(requestId) {
  global[REQUEST_ID] = requestId;
}

// Returns `logError(label, error)`, which logs an error as the runtime does.
function installConsole(environment) {
  const json = upper(environment.AWS_LAMBDA_LOG_FORMAT) === 'JSON';
  const fd = environment._LAMBDA_TELEMETRY_LOG_FD;
  delete environment._LAMBDA_TELEMETRY_LOG_FD;
  const format = json ? formatJson : formatText;
  const emit = fd === undefined ? emitToStdout : frameWriter(Number(fd), json);

  const threshold = LEVELS.findIndex((level) => level.name === upper(environment.AWS_LAMBDA_LOG_LEVEL));
  LEVELS.forEach((level, index) => {
    // console.fatal is AWS's addition and cannot be filtered.
    const passes = index >= threshold || level.name === 'FATAL';
    console[level.name.toLowerCase()] = passes
      ? (message, ...params) => {
          const now = new Date();
          emit(level, now, format(level, now.toISOString(), message, params));
        }
      : () => {};
  });
  console.log = console.info;

  return json
    ? (_label, error) => console.error(toError(error))
    : (label, error) => console.error(label, toLogText(toError(error)));
}

function formatText(level, timestamp, message, params) {
  return `${timestamp}\t${global[REQUEST_ID]}\t${level.name}\t${util.format(message, ...params)}\n`;
}

function formatJson(level, timestamp, message, params) {
  const line = { timestamp, level: level.name, requestId: global[REQUEST_ID] };
  if (params.length === 0) {
    line.message = message;
    try {
      return JSON.stringify(line, (_key, value) => (value instanceof Error ? errorFields(value) : value));
    } catch (_) {
      // Circular or otherwise not JSON: show it as text.
      line.message = util.format(message);
      return JSON.stringify(line);
    }
  }
  line.message = util.format(message, ...params);
  const error = [message, ...params].find((param) => param instanceof Error);
  if (error !== undefined) {
    line.errorType = typeName(error);
    line.errorMessage = error.message;
    line.stackTrace = typeof error.stack === 'string' ? error.stack.split('\n') : [];
  }
  return JSON.stringify(line);
}

function errorFields(error) {
  const stackTrace = typeof error.stack === 'string' ? error.stack.split('\n') : error.stack;
  return Object.assign({ errorType: typeName(error), errorMessage: error.message, stackTrace }, error);
}

function typeName(error) {
  const type = error.constructor;
  return type !== undefined && type !== null && type.name !== undefined ? type.name : 'UnknownError';
}

function frameWriter(fd, json) {
  const type = json ? FRAME_TYPE_JSON : FRAME_TYPE_TEXT;
  return (level, now, text) => {
    const length = Buffer.byteLength(text);
    const frame = Buffer.allocUnsafe(FRAME_HEADER_BYTES + length);
    const micros = now.getTime() * 1000;
    frame.writeUInt32BE((type | level.frameBits) >>> 0, 0);
    frame.writeUInt32BE(length, 4);
    frame.writeUInt32BE(Math.floor(micros / UINT32_RANGE), 8);
    frame.writeUInt32BE(micros % UINT32_RANGE, 12);
    frame.utf8Write(text, FRAME_HEADER_BYTES);
    writeFully(fd, frame, frame.length);
  };
}

// Without a telemetry descriptor one event must be one line.
function emitToStdout(_level, _now, text) {
  process.stdout.write(text.replace(/\n$/, '').replace(/\n/g, '\r') + '\n');
}

function upper(text) {
  return text === undefined ? undefined : text.toUpperCase();
}

module.exports = { installConsole, setRequestId };
