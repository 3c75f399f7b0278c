import { defineConfig } from "vite";

// A Milo to develop against: `npm run dev` passes the API on to it.
const milo = process.env.MILO ?? "http://127.0.0.1:8000";
const passed = ["/api", "/v1", "/metrics", "/openapi.json", "/docs", "/redoc"];

export default defineConfig({
  server: { proxy: Object.fromEntries(passed.map((path) => [path, { target: milo, ws: path === "/api" }])) },
  build: {
    target: "es2022",
    // The policy of the pages lets nothing be embedded in them.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    // Only what says "use client" to frameworks that have servers.
    rollupOptions: {
      onwarn: (warning, warn) => {
        if (warning.code !== "MODULE_LEVEL_DIRECTIVE") warn(warning);
      },
    },
  },
});
