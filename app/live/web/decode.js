// What the server sends over the socket, as `app/live/render.py` writes it.

/** @typedef {{key: number, error?: string, run?: string, [member: string]: unknown}} Message */

/**
 * One message and the subscription that it answers: JSON, or the bytes of a field behind the key in four bytes.
 * @param {string | ArrayBuffer} data
 * @returns {Message}
 */
export function decode(data) {
  if (typeof data === "string") return JSON.parse(data);
  return { key: new DataView(data).getUint32(0, true), field: new DataView(data, 4) };
}
