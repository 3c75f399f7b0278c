// No sentence is missing in a language, left in another, unused, or written into a page beside the texts.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { describe, expect, it } from "vitest";
import { GENERAL } from "../parts/own-words";
import { en, type Texts } from "./en";
import { fr } from "./fr";
import { mg } from "./mg";

const flat = (texts: Texts): Map<string, string> =>
  new Map(
    Object.entries(texts).flatMap(([section, of]) =>
      Object.entries(of).map(([name, text]) => [`${section}.${name}`, text as string] as const),
    ),
  );

/** Words that are the same there as in English: names, units, what both write alike. */
const ALIKE = {
  fr: [
    "talk.message",
    "talk.milo",
    "talk.transcript",
    "calls.csv",
    "call.said",
    "call.stt",
    "call.position",
    "call.right",
    "call.capture",
    "call.codec",
    "admin.webhooks",
    "admin.config",
    "admin.version",
    "admin.redis",
    "admin.model_stt",
    "admin.registrar",
    "admin.active",
    "speak.sample",
  ],
  mg: ["common.mg", "talk.milo", "calls.csv", "call.said", "call.right", "admin.redis", "admin.size", "speak.sample"],
};

const places = (text: string): string[] => [...text.matchAll(/\{\w+\}/g)].map(([place]) => place).sort();

const SOURCES = join(fileURLToPath(new URL(".", import.meta.url)), "..");
const sources = (): string[] =>
  (readdirSync(SOURCES, { recursive: true }) as string[])
    .filter((file) => /\.tsx?$/.test(file) && !/\.test\.tsx?$|\.d\.ts$|^texts/.test(file))
    .map((file) => join(SOURCES, file));

describe.each([
  ["fr", fr],
  ["mg", mg],
] as const)("%s", (language, texts) => {
  it("has every text, with the same places to fill", () => {
    const english = flat(en);
    expect([...flat(texts).keys()].sort()).toEqual([...english.keys()].sort());
    for (const [name, text] of flat(texts)) expect(places(text), name).toEqual(places(english.get(name) ?? ""));
  });

  it("is nowhere left in English", () => {
    const english = flat(en);
    const left = [...flat(texts)].filter(([name, text]) => text === english.get(name)).map(([name]) => name);
    expect(left).toEqual(ALIKE[language]);
    for (const text of flat(texts).values()) expect(text.trim()).not.toBe("");
  });
});

it("every text is used", () => {
  const code = sources()
    .map((file) => readFileSync(file, "utf8"))
    .join("\n");
  // `t.nav[name]` and the like use all of the names that they may stand for.
  const byName = new Set([
    "nav.light",
    "nav.dark",
    "nav.system",
    ...Object.keys(en.problem).map((code) => `problem.${code}`),
    ...["overview", "trunks", "plans", "keys", "webhooks", "bans", "config"].map((part) => `admin.${part}`),
  ]);
  const unused = [...flat(en).keys()].filter(
    (name) => !byName.has(name) && !new RegExp(`\\bt\\.${name.replace(".", "\\.")}\\b`).test(code),
  );
  expect(unused).toEqual([]);
});

it("every problem that the server knows by a name has a sentence", () => {
  const http = join(SOURCES, "../../src/http");
  const files = (readdirSync(http, { recursive: true }) as string[]).filter((file) => file.endsWith(".rs"));
  const code = files.map((file) => readFileSync(join(http, file), "utf8")).join("\n");
  const named = [...code.matchAll(/coded\(\s*"([a-z_]+)"|Refusal::\w+(?:\(_\))? => "([a-z_]+)"|let code = if .* "([a-z_]+)"/g)];
  const codes = new Set(named.map(([, ...names]) => names.find(Boolean) as string));
  // Those that are known by their status only.
  const usual = /fn usual\(.*?\n\}/s.exec(readFileSync(join(http, "problem.rs"), "utf8"))?.[0] ?? "";
  const general = [...usual.matchAll(/^\s+(?:\d{3}|_) => "([a-z_]+)",$/gm)].map(([, code]) => code as string);
  for (const code of general) codes.add(code);
  expect(general.sort()).toEqual([...GENERAL].sort());
  expect([...codes].sort()).toEqual(Object.keys(en.problem).sort());
});

/** Attributes that people read or hear. */
const READ = new Set(["aria-label", "aria-valuetext", "aria-description", "title", "alt", "placeholder", "label"]);
const WORDS = /\p{L}{3,}/u;
/** Names and units that no language translates, and a number to dial. */
const NAMES = new Set(["Milo", "MOS", "dBFS", "milo"]);

function written(file: string): string[] {
  const source = ts.createSourceFile(file, readFileSync(file, "utf8"), ts.ScriptTarget.Latest, true, ts.ScriptKind.TSX);
  const found: string[] = [];
  const take = (text: string, node: ts.Node) => {
    if (WORDS.test(text) && !NAMES.has(text.trim()))
      found.push(`${file}:${source.getLineAndCharacterOfPosition(node.pos).line + 1}: ${text.trim()}`);
  };
  const visit = (node: ts.Node): void => {
    if (ts.isJsxText(node)) take(node.text, node);
    if (ts.isJsxAttribute(node) && READ.has(node.name.getText()) && node.initializer && ts.isStringLiteral(node.initializer))
      take(node.initializer.text, node);
    if (ts.isJsxExpression(node) && node.expression && ts.isStringLiteralLike(node.expression) && !ts.isJsxAttribute(node.parent))
      take(node.expression.text, node);
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

it("no page holds a sentence of its own", () => {
  expect(
    sources()
      .filter((file) => file.endsWith("x"))
      .flatMap(written),
  ).toEqual([]);
});
