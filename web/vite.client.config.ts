import { defineConfig } from "vite";

// The client as one file for other pages, /client.js (src/client/README.md). It comes after the application, into the same folder.
export default defineConfig({
  publicDir: false,
  build: {
    target: "es2022",
    emptyOutDir: false,
    reportCompressedSize: false,
    minify: "esbuild",
    lib: { entry: "src/client/index.ts", formats: ["es"], fileName: () => "client.js" },
  },
});
