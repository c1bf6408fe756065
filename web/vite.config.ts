import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vitest/config";

const RECORDER = process.env["KHUPHO_RECORDER"] ?? "http://127.0.0.1:8899";

export default defineConfig({
  plugins: [svelte()],
  base: "./",
  build: {
    target: "es2022",
    assetsInlineLimit: 0, // the policy allows no data: addresses
    modulePreload: { polyfill: false },
    sourcemap: false,
  },
  server: { proxy: { "/api": { target: RECORDER, ws: true } } },
  test: { environment: "node", include: ["src/**/*.test.ts"] },
});
