// The selection grammar as the pages read it; tests/cases/test_choosing.py reads the same file.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { parse, picked, toggled } from "../../app/live/web/choose.js";

const vectors = JSON.parse(readFileSync(new URL("selection.json", import.meta.url)));

for (const { text, terms } of vectors.read) {
  test(`"${text}" is read`, () => assert.deepEqual(parse(text), terms));
}

for (const text of vectors.refused) {
  test(`"${text}" is refused`, () => assert.equal(parse(text), null));
}

test("a selection has at most so many characters", () => {
  const full = "a=".padEnd(vectors.longest, "é");
  assert.equal(parse(full)?.length, 1);
  assert.equal(parse(`${full}1`), null);
});

for (const { before, clicked, after } of vectors.clicks) {
  test(`a click on "${clicked}" turns "${before}" into "${after}"`, () => assert.equal(toggled(before, clicked), after));
}

for (const { point, meaning } of vectors.points) {
  test(`a click on ${JSON.stringify(point)}`, () => assert.deepEqual(picked(point, ""), meaning));
}
