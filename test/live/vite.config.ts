import path from 'node:path';
import { defineConfig } from 'vite';
import { kernelSteps } from '../../src/sim/steps/plugin.ts';

/** `npm run conform:live`: one file for plain Node, built by the same transform as the product. */
export default defineConfig({
  plugins: [kernelSteps()],
  build: {
    ssr: path.resolve(import.meta.dirname, 'live.ts'),
    outDir: path.resolve(import.meta.dirname, '../../dist/live'),
    target: 'es2024',
    minify: false,
    rollupOptions: { output: { entryFileNames: 'live.js' } },
  },
  ssr: { noExternal: true },
});
