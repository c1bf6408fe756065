import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import english from "./en.json";
import vietnamese from "./vi.json";

const SOURCE = join(import.meta.dirname, "..");

function sources(folder: string): string[] {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    if (statSync(path).isDirectory()) return sources(path);
    return /\.(ts|svelte)$/.test(name) && !name.endsWith(".test.ts") ? [readFileSync(path, "utf8")] : [];
  });
}

const holes = (text: string): string[] => [...text.matchAll(/\{(\w+)\}/g)].map((match) => match[1] ?? "").sort();

describe("the catalogues", () => {
  const vi: Record<string, string> = vietnamese;
  const en: Record<string, string> = english;

  it("have the same words", () => {
    expect(Object.keys(en).sort()).toEqual(Object.keys(vi).sort());
  });

  it("say nothing empty, and leave the same places for values", () => {
    for (const key of Object.keys(vi)) {
      expect(vi[key], key).toBeTruthy();
      expect(en[key], key).toBeTruthy();
      expect(holes(en[key] ?? ""), key).toEqual(holes(vi[key] ?? ""));
    }
  });

  it("hold no word that is not used", () => {
    const text = sources(SOURCE).join("\n");
    // Words of problems are named by the recorder.
    const unused = Object.keys(vi).filter((key) => !key.startsWith("problem_") && !text.includes(`"${key}"`) && !text.includes(`'${key}'`));
    expect(unused).toEqual([]);
  });

  it("have a title for each problem that has advice", () => {
    for (const key of Object.keys(vi)) {
      if (key.startsWith("problem_") && key.endsWith("_advice")) expect(vi, key).toHaveProperty([key.replace(/_advice$/, "")]);
    }
  });
});
