import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/** The npm package: two modules, and their shared code in a third. */
export default defineConfig({
  build: {
    target: "es2022",
    outDir: "dist",
    emptyOutDir: true,
    minify: "oxc",
    sourcemap: true,
    lib: { entry: { index: at("src/client/index.ts"), react: at("src/react/index.ts") }, formats: ["es"] },
    rolldownOptions: {
      external: ["react", "react/jsx-runtime"],
      output: { minify: true, entryFileNames: "[name].js", chunkFileNames: "[name].js" },
    },
  },
});
