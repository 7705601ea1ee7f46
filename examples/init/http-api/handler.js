const notes = [
  { id: '1', text: 'An HTTP API answers with whatever JSON a handler returns.' },
  { id: '2', text: 'Return statusCode and body to choose the status.' },
];

exports.list = async () => notes;

exports.show = async (event) => {
  const note = notes.find(({ id }) => id === event.pathParameters.id);
  return note ?? { statusCode: 404, body: JSON.stringify({ message: 'no such note' }) };
};
