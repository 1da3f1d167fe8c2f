import { fileURLToPath } from "node:url";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";
import { precompressed } from "./scripts/precompress.js";

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const hub = process.env["PLANCAST_HUB"] ?? "http://127.0.0.1:8000";

/** The page that a hub serves. `npm run dev` serves it from source, with a running hub (PLANCAST_HUB) as its backend. */
export default defineConfig({
  plugins: [react(), precompressed()],
  build: {
    target: "es2022",
    outDir: process.env["PLANCAST_PAGE_OUT"] ?? at("../hub/page/built"),
    emptyOutDir: true,
    sourcemap: false,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // scripts/check-page-size.js reports the size and enforces its limit.
    reportCompressedSize: false,
    chunkSizeWarningLimit: 700,
  },
  server: {
    port: 5173,
    proxy: {
      "/api": { target: hub },
      "/healthz": { target: hub },
      "/ws": { target: hub, ws: true },
    },
  },
});
