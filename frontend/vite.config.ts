import { defineConfig } from "vite";
import { viteSingleFile } from "vite-plugin-singlefile";

// One file with everything in it: it opens from disk, without a network. Python puts the data in place of DATA.
export default defineConfig({
  plugins: [viteSingleFile({ removeViteModuleLoader: true })],
  build: { outDir: "../spec_envs/pages/built", emptyOutDir: true, target: "es2022", modulePreload: false },
});
