exports.tick = async (event) => {
  console.log('it is', event.time);
};
