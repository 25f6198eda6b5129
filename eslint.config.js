// The rules of the pages' scripts; `make check` runs them where Node.js is.

import js from "@eslint/js";
import globals from "globals";

export default [
  { ignores: ["assets/", "docs/", "build/", "dist/", ".venv*/"] },
  js.configs.recommended,
  {
    files: ["app/**/*.js", "tests/**/*.js"],
    linterOptions: { reportUnusedDisableDirectives: "error" },
    languageOptions: { ecmaVersion: 2025, sourceType: "module", globals: { ...globals.browser, walk: "writable" } },
    rules: {
      eqeqeq: ["error", "always", { null: "ignore" }],
      "no-unused-vars": ["error", { argsIgnorePattern: "^_", varsIgnorePattern: "^_" }],
      "no-var": "error",
      "prefer-const": "error",
      "no-shadow": "error",
      "max-lines": ["error", 400],
    },
  },
  { files: ["app/forms/draw_points.js"], languageOptions: { globals: { shade: "readonly" } } },
  { files: ["tests/web/*.js"], languageOptions: { globals: globals.node } },
];
