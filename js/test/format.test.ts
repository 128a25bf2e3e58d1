import assert from "node:assert/strict";
import { test } from "vitest";

import { clip, duration, elapsed, phrase } from "../src/format";
import { isDark } from "../src/theme";
import table from "./durations.json";

test("a length of time reads the same as in Python", () => {
  for (const [seconds, words] of table as [number, string][]) assert.equal(duration(seconds), words);
});

test("what has not begun has no length, and no clock makes one negative", () => {
  assert.equal(elapsed(null, null, 100), "");
  assert.equal(elapsed(100, null, 99), "0 ms");
  assert.equal(elapsed(100, 142, 1000), "42 s");
});

test("a phrase without a time is just its word", () => {
  assert.equal(phrase("Failed after {}", "Failed", "9.1 s"), "Failed after 9.1 s");
  assert.equal(phrase("Failed after {}", "Failed", ""), "Failed");
  assert.equal(phrase("Pending", "Pending", "3 s"), "Pending");
});

test("a text is cut with an ellipsis", () => {
  assert.equal(clip("train_forest", 8), "train_f…");
  assert.equal(clip("load", 8), "load");
});

test("paper tells whether a theme is dark", () => {
  const table: [string, boolean | null][] = [
    ["rgb(255, 255, 255)", false],
    ["rgb(17, 17, 17)", true],
    ["rgba(0, 0, 0, 0)", null],
    ["rgba(20, 20, 20, 0.9)", true],
    ["", null],
    ["color(srgb 0 0 0)", null],
  ];
  for (const [colour, dark] of table) assert.equal(isDark(colour), dark, colour);
});
