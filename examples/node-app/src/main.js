import ms from 'ms';
import { greeting } from './greeting.js';

console.log(greeting(process.argv[2] ?? 'world'));
console.log(`A day has ${ms('1 day') / ms('1 minute')} minutes.`);
