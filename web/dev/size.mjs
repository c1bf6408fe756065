// What the browser loads, compressed: at first, and when each page opens. Fails over the budget.

import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const BUDGET = 300_000;
const folder = fileURLToPath(new URL("../dist", import.meta.url));
const sizes = new Map(readdirSync(`${folder}/assets`).map((name) => [name, gzipSync(readFileSync(`${folder}/assets/${name}`)).length]));
const index = readFileSync(`${folder}/index.html`, "utf8");
const first = gzipSync(index).length + [...sizes].filter(([name]) => index.includes(name)).reduce((sum, [, size]) => sum + size, 0);
for (const [name, size] of [...sizes].sort((a, b) => b[1] - a[1])) console.log(String(size).padStart(8), name);
console.log(`first load: ${first} bytes of ${BUDGET}; everything: ${[...sizes.values()].reduce((a, b) => a + b, 0)}`);
process.exit(first > BUDGET ? 1 : 0);
