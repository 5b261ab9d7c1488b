const test = require('node:test');
const assert = require('node:assert');
const { router } = require('../src/server.js');

test('finds the route', () => assert.equal(router.find('GET', '/wait/2h').params.text, '2h'));
