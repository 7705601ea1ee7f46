// Finds and loads the handler named by _HANDLER, in AWS's order.
'use strict';

const fs = require('fs');
const path = require('path');
const { pathToFileURL } = require('url');

const {
  HandlerNotFound,
  ImportModuleError,
  MalformedHandlerName,
  UserCodeSyntaxError,
} = require('./nilas-node-errors');
const { HttpResponseStream, streamifyResponse } = require('./nilas-node-stream');

// `dir/module.a.b`: the file name ends at its first dot, the rest is a property path.
const FILE_AND_PROPERTY = /^([^.]*)\.(.*)$/;

async function loadHandler(environment, traits) {
  const handlerName = environment._HANDLER;
  if (handlerName.includes('..')) {
    throw new MalformedHandlerName(
      `'${handlerName}' is not a valid handler name. Use absolute paths when specifying root directories in handler names.`,
    );
  }
  const base = path.basename(handlerName);
  const match = FILE_AND_PROPERTY.exec(base);
  if (match === null) {
    throw new MalformedHandlerName('Bad handler');
  }
  const [, moduleName, property] = match;
  const directory = handlerName.substring(0, handlerName.indexOf(base));

  installGlobal(environment);
  const app = await loadModule(environment.LAMBDA_TASK_ROOT, directory, moduleName);
  const handler =
    lookUp(app, property) || (traits.promisesOnly && lookUp(app, `default.${property}`));
  if (!handler) {
    throw new HandlerNotFound(`${handlerName} is undefined or not exported`);
  }
  if (typeof handler !== 'function') {
    throw new HandlerNotFound(`${handlerName} is not a function`);
  }
  return handler;
}

function installGlobal(environment) {
  if (!/^(1|true)$/.test(environment.AWS_LAMBDA_NODEJS_NO_GLOBAL_AWSLAMBDA || '')) {
    global.awslambda = { streamifyResponse, HttpResponseStream };
  }
}

function lookUp(root, property) {
  return property.split('.').reduce((value, key) => value && value[key], root);
}

async function loadModule(taskRoot, directory, moduleName) {
  try {
    return await findModule(taskRoot, directory, moduleName);
  } catch (error) {
    if (error instanceof SyntaxError) {
      throw new UserCodeSyntaxError(error);
    }
    if (error && error.code === 'MODULE_NOT_FOUND') {
      throw new ImportModuleError(error);
    }
    throw error;
  }
}

async function findModule(taskRoot, directory, moduleName) {
  const stem = path.resolve(taskRoot, directory, moduleName);
  const isEsm = inEsmPackage(path.dirname(stem));
  const found =
    requireIfPresent(stem) ||
    (!isEsm && requireIfPresent(stem + '.js')) ||
    (isEsm && (await importIfPresent(stem + '.js'))) ||
    (await importIfPresent(stem + '.mjs')) ||
    requireIfPresent(stem + '.cjs');
  if (found) {
    return found;
  }
  // Perhaps a package: resolve as code of the function would, not relative to this file.
  return require(require.resolve(moduleName, { paths: [taskRoot, directory] }));
}

function requireIfPresent(file) {
  return fs.existsSync(file) ? require(file) : undefined;
}

async function importIfPresent(file) {
  return fs.existsSync(file) ? import(pathToFileURL(file).href) : undefined;
}

// Whether the nearest package.json says `"type": "module"`; node_modules ends the search.
function inEsmPackage(directory) {
  if (directory.endsWith('/node_modules')) {
    return false;
  }
  const file = path.join(directory, 'package.json');
  if (fs.existsSync(file)) {
    try {
      const description = JSON.parse(fs.readFileSync(file, 'utf8'));
      if (description) {
        return description.type === 'module';
      }
    } catch (error) {
      console.warn(`${file} cannot be read, it will be ignored for ES module detection purposes.`, error);
      return false;
    }
  }
  return directory === '/' ? false : inEsmPackage(path.dirname(directory));
}

module.exports = { loadHandler };
