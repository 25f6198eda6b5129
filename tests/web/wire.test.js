// Messages from the server, and the bytes of a decision field; tests/panels/test_field.py writes the same bytes.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { decode } from "../../app/live/web/decode.js";
import { parse } from "../../app/live/web/plane.js";

const vectors = JSON.parse(readFileSync(new URL("field.json", import.meta.url)));

/** The bytes behind a subscription's key, as the socket brings them. */
function sent(key, base64) {
  const field = Buffer.from(base64, "base64");
  const data = new ArrayBuffer(4 + field.length);
  new DataView(data).setUint32(0, key, true);
  new Uint8Array(data).set(field, 4);
  return data;
}

test("text is one JSON message", () => {
  assert.deepEqual(decode('{"key":3,"run":"a1","figure":{"data":[]}}'), { key: 3, run: "a1", figure: { data: [] } });
});

test("bytes begin with the key of their subscription", () => {
  const { key, field } = decode(sent(70000, vectors.fields[0].bytes));
  assert.equal(key, 70000);
  assert.equal(field.byteOffset, 4);
});

for (const { name, bytes, info, cells } of vectors.fields) {
  test(`${name}: the header and what the planes say at points`, () => {
    const plane = parse(decode(sent(1, bytes)).field);
    assert.deepEqual(plane.info, info);
    for (const { x, y, ...cell } of cells) {
      const found = JSON.parse(JSON.stringify(plane.at(x, y))); // what is absent there is left out
      assert.deepEqual(found, cell, `at ${x}, ${y}`);
    }
  });
}

test("other bytes are refused in a sentence", () => {
  assert.throws(() => parse(new DataView(new ArrayBuffer(16))), /reload the page/);
});
