// Numbers and sentences for reading.

import assert from "node:assert/strict";
import { test } from "node:test";

import { duration, messageOf, percent, pointsApart, roleOf, short, spoken } from "../../app/live/web/dom.js";

test("shares are percentages, and what is absent is a dash", () => {
  assert.deepEqual([percent(0.9345), percent(0.5, 0), percent(null)], ["93.5 %", "50 %", "–"]);
});

test("a difference is that of the numbers on show", () => {
  assert.equal(pointsApart(0.9044, 0.9056), "\u22120.2"); // 90.4 % and 90.6 %, which are 0.12 points apart
});

test("numbers have three significant digits", () => {
  assert.deepEqual([0.012345, 12.345, 1234.5, null].map(short), ["0.0123", "12.3", "1235", "–"]);
});

test("seconds are read as a clock", () => {
  assert.deepEqual([41.6, 185, 7800, null].map(duration), ["42 s", "3:05 min", "2:10 h", "–"]);
});

test("a caption speaks of the network that learns", () => {
  const caption = "The student's scores; the teacher's beside them. Rows are samples.";
  assert.equal(spoken(caption, "student"), caption);
  assert.equal(spoken("The student's scores.", "mentor"), "The mentor's scores.");
  assert.equal(spoken(caption, "mentor"), `The mentor trains first. Then: ${caption}`);
  assert.equal(spoken(caption, "network"), "The network's scores. Rows are samples.");
});

test("networks have the colour of their role", () => {
  assert.deepEqual(["student", "network", "teacher", "mentor"].map(roleOf), ["student", "student", "teacher", "mentor"]);
});

test("an error says its message, whatever was thrown", () => {
  assert.deepEqual([messageOf(new Error("late")), messageOf("torn")], ["late", "torn"]);
});
