// The framed socket to the platform: u32 length (little-endian), u8 kind, payload.
'use strict';

const fs = require('fs');
const net = require('net');

const KIND_INVOKE = 1;
const KIND_READY = 1;
const KIND_RESPONSE = 2;
const KIND_ERROR = 3;
const KIND_INIT_ERROR = 4;
const KIND_TEMPLATE = 5;
const KIND_STREAM = 6;
const KIND_CHUNK = 7;

const LENGTH_BYTES = 4;
const PREFIX_BYTES = LENGTH_BYTES + 1;
const SCRATCH_BYTES = 64 * 1024;
const CHUNK_BYTES_MAX = 64 * 1024;
const NOTHING = Buffer.alloc(0);
const WRITE_RETRY_MS_MIN = 0.05;
const WRITE_RETRY_MS_MAX = 5;

class Channel {
  constructor(fd) {
    this.fd = fd;
    this.socket = null;
    this.onInvoke = null;
    this.partial = null; // { bytes, filled } of a frame that has not arrived completely
    this.scratch = Buffer.allocUnsafe(SCRATCH_BYTES);
  }

  // Reports READY and calls `onInvoke(header, eventText)` for each invocation.
  // The open socket keeps the event loop alive until `unref`.
  start(onInvoke) {
    this.onInvoke = onInvoke;
    this.socket = new net.Socket({
      fd: this.fd,
      readable: true,
      writable: true,
      // One fixed buffer: no allocation per read.
      onread: {
        buffer: Buffer.allocUnsafeSlow(SCRATCH_BYTES),
        callback: (length, buffer) => this.arrived(length, buffer),
      },
    });
    this.socket.on('error', () => {}); // 'close' follows
    this.socket.on('close', () => process.exit(0));
    this.send(KIND_READY, '', '');
  }

  ref() {
    this.socket.ref();
  }

  unref() {
    this.socket.unref();
  }

  // `body` is a string or bytes.
  sendResponse(requestId, body) {
    this.send(KIND_RESPONSE, requestId, body);
  }

  // Announces a response in chunks; `sendResponse` or `sendError` ends it.
  sendStream(requestId, contentType) {
    this.send(KIND_STREAM, requestId, contentType);
  }

  // Calls `done` once the platform has taken the bytes: a caller who is slow slows
  // the function, without stopping its event loop.
  sendChunk(requestId, bytes, done) {
    this.socket.cork();
    for (let start = 0; start < bytes.length; start += CHUNK_BYTES_MAX) {
      const piece = bytes.slice(start, start + CHUNK_BYTES_MAX);
      const head = Buffer.allocUnsafe(PREFIX_BYTES + requestId.length);
      head.writeUInt32LE(head.length + piece.length - LENGTH_BYTES, 0);
      head[LENGTH_BYTES] = KIND_CHUNK;
      head.latin1Write(requestId, PREFIX_BYTES);
      this.socket.write(head);
      this.socket.write(piece, start + CHUNK_BYTES_MAX < bytes.length ? undefined : done);
    }
    this.socket.uncork();
  }

  sendError(requestId, body) {
    this.send(KIND_ERROR, requestId, body);
  }

  sendInitError(body) {
    this.send(KIND_INIT_ERROR, '', body);
  }

  // The init is over, and forks can be ordered; or cannot, for the reason given.
  sendTemplate(obstacle) {
    this.send(KIND_TEMPLATE, '', obstacle);
  }

  send(kind, requestId, body) {
    const start = PREFIX_BYTES + requestId.length;
    const end = start + Buffer.byteLength(body);
    const frame = end <= SCRATCH_BYTES ? this.scratch : Buffer.allocUnsafe(end);
    frame.writeUInt32LE(end - LENGTH_BYTES, 0);
    frame[LENGTH_BYTES] = kind;
    frame.latin1Write(requestId, PREFIX_BYTES);
    if (typeof body === 'string') {
      frame.utf8Write(body, start);
    } else {
      frame.set(body, start);
    }
    if (this.socket !== null && this.socket.writableLength > 0) {
      // Behind the chunks that the platform has not taken yet.
      this.socket.write(Buffer.from(frame.slice(0, end)));
      return;
    }
    writeFully(this.fd, frame, end);
  }

  // Nearly always this is one whole frame, for which no view of the buffer is made.
  arrived(length, buffer) {
    if (this.partial === null && length >= LENGTH_BYTES && frameEnd(buffer) === length) {
      this.dispatch(buffer, LENGTH_BYTES, length);
    } else {
      this.receive(buffer.slice(0, length));
    }
  }

  receive(bytes) {
    let rest = this.partial === null ? bytes : this.fillPartial(bytes);
    while (rest.length >= LENGTH_BYTES && rest.length >= frameEnd(rest)) {
      const end = frameEnd(rest);
      const frame = rest;
      rest = rest.slice(end);
      this.dispatch(frame, LENGTH_BYTES, end);
    }
    if (rest.length > 0) {
      this.keepPartial(rest);
    }
  }

  // A frame larger than the read buffer is gathered in place: appending each
  // piece with Buffer.concat would copy a 6 MB event a hundred times.
  keepPartial(start) {
    const length = start.length >= LENGTH_BYTES ? frameEnd(start) : LENGTH_BYTES;
    this.partial = { bytes: Buffer.allocUnsafe(length), filled: start.length };
    start.copy(this.partial.bytes);
  }

  // Returns what follows the partial frame in `bytes`, once that is complete.
  fillPartial(bytes) {
    const partial = this.partial;
    const taken = bytes.copy(partial.bytes, partial.filled);
    partial.filled += taken;
    if (partial.filled < partial.bytes.length) {
      return NOTHING;
    }
    this.partial = null;
    const rest = bytes.slice(taken);
    if (partial.bytes.length === LENGTH_BYTES) {
      return Buffer.concat([partial.bytes, rest]); // only the length had been cut
    }
    this.dispatch(partial.bytes, LENGTH_BYTES, partial.bytes.length);
    return rest;
  }

  // The frame without its length, from `start` to `end`.
  dispatch(bytes, start, end) {
    if (bytes[start] !== KIND_INVOKE) {
      throw new Error(`unknown frame kind ${bytes[start]}`);
    }
    const headerStart = start + 1 + LENGTH_BYTES;
    const headerEnd = headerStart + bytes.readUInt32LE(start + 1);
    const header = JSON.parse(bytes.utf8Slice(headerStart, headerEnd));
    this.onInvoke(header, bytes.utf8Slice(headerEnd, end));
  }
}

function frameEnd(bytes) {
  return LENGTH_BYTES + bytes.readUInt32LE(0);
}

let sleepCell = null;

// Writes synchronously, as AWS's client does: a response is on its way before
// the handler's process can be frozen or exit. The descriptor may be
// non-blocking, so a full buffer is waited for.
function writeFully(fd, buffer, end) {
  let retryMs = WRITE_RETRY_MS_MIN;
  let offset = 0;
  while (offset < end) {
    try {
      offset += fs.writeSync(fd, buffer, offset, end - offset);
      retryMs = WRITE_RETRY_MS_MIN;
    } catch (error) {
      if (error.code !== 'EAGAIN') {
        throw error;
      }
      sleepCell = sleepCell || new Int32Array(new SharedArrayBuffer(4));
      Atomics.wait(sleepCell, 0, 0, retryMs);
      retryMs = Math.min(retryMs * 2, WRITE_RETRY_MS_MAX);
    }
  }
}

module.exports = { Channel, writeFully };
