// Runs AWS's Node.js client (npm `aws-lambda-ric`) over our socket instead of
// HTTP: node aws_transport.js CLIENT_FILE. Used by test_against_aws.py only.
'use strict';

const fs = require('fs');
const http = require('http');
const { EventEmitter } = require('events');
const Module = require('module');
const { pathToFileURL } = require('url');

const SOCKET = 3;
let announced = false;

function send(kind, id, body) {
  const payload = Buffer.from(id + body);
  const head = Buffer.alloc(5);
  head.writeUInt32LE(payload.length + 1, 0);
  head[4] = kind;
  const frame = Buffer.concat([head, payload]);
  for (let offset = 0; offset < frame.length; ) {
    offset += fs.writeSync(SOCKET, frame, offset);
  }
}

async function read(length) {
  const data = Buffer.alloc(length);
  for (let filled = 0; filled < length; ) {
    const { bytesRead } = await new Promise((resolve, reject) => {
      fs.read(SOCKET, data, filled, length - filled, null, (error, bytesRead) =>
        error ? reject(error) : resolve({ bytesRead }),
      );
    });
    if (bytesRead === 0) {
      process.exit(0);
    }
    filled += bytesRead;
  }
  return data;
}

const nativeClient = {
  async next() {
    if (!announced) {
      announced = true;
      send(1, '', '');
    }
    const frame = await read((await read(4)).readUInt32LE(0));
    const headerEnd = 5 + frame.readUInt32LE(1);
    const header = JSON.parse(frame.toString('utf8', 5, headerEnd));
    const headers = {
      'lambda-runtime-aws-request-id': header.requestId,
      'lambda-runtime-deadline-ms': String(header.deadlineMs),
      'lambda-runtime-invoked-function-arn': header.invokedFunctionArn,
    };
    const optional = {
      'lambda-runtime-trace-id': header.traceId,
      'lambda-runtime-client-context': header.clientContext,
      'lambda-runtime-cognito-identity': header.cognitoIdentity,
    };
    for (const name of Object.keys(optional)) {
      if (optional[name] !== undefined) {
        headers[name] = optional[name];
      }
    }
    return { bodyJson: frame.toString('utf8', headerEnd), headers };
  },
  done(id, body) {
    if (typeof body !== 'string') {
      throw new TypeError('Wrong arguments');
    }
    send(2, id, body);
  },
  error(id, body) {
    send(3, id, body);
  },
};

// The only request the client makes itself is the one for initialization errors.
http.request = (_options, onResponse) => {
  const request = new EventEmitter();
  request.end = (body) => {
    send(4, '', body);
    const response = new EventEmitter();
    onResponse(response);
    setImmediate(() => response.emit('end'));
  };
  return request;
};

const load = Module._load;
Module._load = function (request) {
  return request.endsWith('rapid-client.node') ? nativeClient : load.apply(this, arguments);
};

process.env.AWS_LAMBDA_RUNTIME_API = '127.0.0.1:9';
import(pathToFileURL(process.argv[2]).href).then((client) => {
  if (client.run) {
    // As the managed runtime's entry point does; a failure is an uncaught exception.
    client.run(process.env.LAMBDA_TASK_ROOT, process.env._HANDLER).catch((error) => {
      process.nextTick(() => {
        throw error;
      });
    });
  }
});
