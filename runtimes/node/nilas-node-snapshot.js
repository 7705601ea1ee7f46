// SnapStart: what lies between the init of a function and its first invocation.
//
// Where the process is a template, it is forked here, for each environment that
// is restored. Where it is none, because forking is switched off or impossible,
// the hooks run all the same, and the environment goes on as it is.
'use strict';

const crypto = require('crypto');

const zygote = require('./nilas-node-zygote');
const { getAfterRestore, getBeforeSnapshot } = require('./snapshot_restore_js');

// How long work under way in threads of Node's own may take to end.
const QUIET_MS_MAX = 1000;
const QUIET_LOOK_MS = 5;
const POOL_THREADS = 4;
// Numbers and ids that Node and libraries draw ahead, at most.
const RANDOM_INTS_AHEAD = 1024;
const UUIDS_AHEAD = 128;

// Returns in the environment that will be invoked. Throws what a hook throws.
async function passThrough(channel) {
  const hooks = getBeforeSnapshot();
  while (hooks.length > 0) {
    const { hook, args } = hooks.pop();
    await hook(...args);
  }
  if (zygote.isTemplate()) {
    await beForked(channel);
  }
  for (const { hook, args } of getAfterRestore()) {
    await hook(...args);
  }
}

// Returns once in each fork.
async function beForked(channel) {
  const obstacle = await findObstacle();
  channel.sendTemplate(obstacle);
  if (obstacle !== '') {
    // The platform starts this function's environments plainly, and has no use for this one.
    process.exit(0);
  }
  zygote.serveAsTemplate();
  makeUnique();
}

// Why this process cannot be forked; an empty string if it can.
async function findObstacle() {
  const deadline = Date.now() + QUIET_MS_MAX;
  while (process._getActiveRequests().length > 0 && Date.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, QUIET_LOOK_MS));
  }
  const underWay = process._getActiveRequests().length;
  if (underWay > 0) {
    return `it has ${underWay} requests under way`;
  }
  // A fork starts the threads of the pool anew when they are needed.
  return zygote.obstacle(Number(process.env.UV_THREADPOOL_SIZE) || POOL_THREADS);
}

// Whatever has been drawn ahead is used up, so that the next is drawn from
// entropy of this fork's own; see "Handling uniqueness with Lambda SnapStart".
function makeUnique() {
  for (let count = 0; count < RANDOM_INTS_AHEAD; count += 1) {
    crypto.randomInt(2);
  }
  for (let count = 0; count < UUIDS_AHEAD; count += 1) {
    crypto.randomUUID();
  }
  for (const [file, loaded] of Object.entries(require.cache)) {
    if (/[\\/]uuid[\\/].*[\\/]rng\.js$/.test(file)) {
      useUp(loaded.exports.default || loaded.exports);
    } else if (/[\\/]nanoid[\\/](?!non-secure)[^\\/]*\.c?js$/.test(file)) {
      useUp(loaded.exports.nanoid);
    }
  }
}

function useUp(draw) {
  for (let count = 0; typeof draw === 'function' && count <= UUIDS_AHEAD; count += 1) {
    draw();
  }
}

module.exports = { passThrough };
