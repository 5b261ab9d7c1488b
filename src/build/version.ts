/** Version of the package; `npm run build` checks it against package.json. */
export const VERSION = '0.1.0';

/** Part of every cache key: raised when the meaning of ops or the bytes of layers change. */
export const CACHE_SALT = 'ocibuild 1';
