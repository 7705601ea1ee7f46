// Response streaming: the `awslambda` global and the stream a handler writes to.
//
// What is written goes to the platform at once; whether the caller gets it at once
// or as a whole is the platform's business.
'use strict';

const { Writable } = require('stream');

const { InvalidStreamingOperation, MalformedStreamingHandler } = require('./nilas-node-errors');

const STREAMING = Symbol.for('aws.lambda.runtime.handler.streaming');
const HIGH_WATER_MARK = Symbol.for('aws.lambda.runtime.handler.streaming.highWaterMark');
const STREAM_RESPONSE = 'response';

const HTTP_INTEGRATION_TYPE = 'application/vnd.awslambda.http-integration-response';
const PRELUDE_END = Buffer.alloc(8);

class ResponseStream extends Writable {
  // `output.begin(contentType)` comes before each `output.write(bytes, done)`.
  constructor(highWaterMark, output) {
    super(highWaterMark === undefined ? {} : { highWaterMark });
    this.output = output;
    this.announced = false;
    this.contentType = 'application/octet-stream';
    this.started = false;
  }

  setContentType(contentType) {
    if (this.started) {
      throw new InvalidStreamingOperation('Cannot set content-type, too late.');
    }
    this.contentType = contentType;
  }

  write(chunk, encoding, callback) {
    const isBytes = Buffer.isBuffer(chunk) || (chunk && chunk.constructor === Uint8Array);
    const data = typeof chunk === 'string' || isBytes ? chunk : JSON.stringify(chunk);
    if (!this.started) {
      this.started = true;
      if (typeof this._onBeforeFirstWrite === 'function') {
        this._onBeforeFirstWrite((first) => super.write(first));
      }
    }
    return super.write(data, encoding, callback);
  }

  _write(chunk, _encoding, callback) {
    if (!this.announced) {
      this.announced = true;
      this.output.begin(this.contentType);
    }
    if (chunk.length === 0) {
      callback();
      return;
    }
    this.output.write(chunk, callback);
  }
}

class HttpResponseStream {
  // Puts status and headers in front of the body, ended by eight NUL bytes.
  static from(stream, prelude) {
    stream.setContentType(HTTP_INTEGRATION_TYPE);
    const text = JSON.stringify(prelude);
    stream._onBeforeFirstWrite = (write) => {
      write(text);
      write(PRELUDE_END);
    };
    return stream;
  }
}

function streamifyResponse(handler, options) {
  handler[STREAMING] = STREAM_RESPONSE;
  if (options && typeof options.highWaterMark === 'number') {
    handler[HIGH_WATER_MARK] = parseInt(options.highWaterMark, 10);
  }
  return handler;
}

function isStreaming(handler) {
  const mode = handler[STREAMING];
  if (mode === undefined || mode === null || mode === false) {
    return false;
  }
  if (mode !== STREAM_RESPONSE) {
    throw new MalformedStreamingHandler('Only response streaming is supported.');
  }
  return true;
}

function highWaterMark(handler) {
  const mark = parseInt(handler[HIGH_WATER_MARK], 10);
  return Number.isNaN(mark) ? undefined : mark;
}

module.exports = { HttpResponseStream, ResponseStream, highWaterMark, isStreaming, streamifyResponse };
