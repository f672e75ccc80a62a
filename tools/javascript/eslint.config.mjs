// Rules for the JavaScript of the page, of the benchmarked servers and of the conformance kit.
import js from "@eslint/js";
import globals from "globals";

const rules = { ...js.configs.recommended.rules, eqeqeq: "error", "no-var": "error", "prefer-const": "error" };

export default [
  {
    // Scripts of the page share one global; dom.js defines it.
    files: ["services/**/*.js"],
    languageOptions: { sourceType: "script", globals: { ...globals.browser, gauge: "writable", Plotly: "readonly" } },
    rules: { ...rules, "no-redeclare": ["error", { builtinGlobals: false }] },
  },
  {
    files: ["{benchmarks,chaos,docs}/**/*.js"],
    languageOptions: { sourceType: "commonjs", globals: globals.node },
    rules,
  },
];
