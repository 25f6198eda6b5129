// Where the server's addresses begin; behind a proxy that is not always the root.

const BASE = new URL("../../../", import.meta.url); // of /vendor/live/<version>/base.js

/**
 * An address of this server.
 * @param {string} path such as "api/live"
 */
export const address = (path) => new URL(path, BASE).href;
