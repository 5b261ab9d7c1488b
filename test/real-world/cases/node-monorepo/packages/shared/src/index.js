const mri = require('mri');

exports.price = (argv) => {
  const { amount = 1, cents = 250 } = mri(argv);
  return `${amount} x ${(cents / 100).toFixed(2)} = ${((amount * cents) / 100).toFixed(2)}`;
};
