const { price } = require('@shop/shared');

console.log(`api: ${price(process.argv.slice(2))}`);
