const { MongoClient } = require('mongodb');

// Outside of the handler: an environment keeps it from one event to the next.
let connecting;

exports.status = async () => {
  connecting ??= new MongoClient(process.env.MONGODB_URI, { maxPoolSize: 1 }).connect();
  const client = await connecting;
  const { connections } = await client.db('admin').admin().serverStatus();
  return { statusCode: 200, body: JSON.stringify({ connections }) };
};
