module.exports.hello = (event, context, callback) => {
  callback(null, "Hello World");
};
