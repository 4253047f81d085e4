import path from 'node:path';
import { defineConfig } from 'vite';
import { kernelSteps } from '../../src/sim/steps/plugin.ts';

/** `npm run bench`: one file for plain Node, built by the same transform as the product. */
export default defineConfig({
  plugins: [kernelSteps({ extra: ['test/sim/kernel'] })],
  build: {
    ssr: path.resolve(import.meta.dirname, 'bench.ts'),
    outDir: path.resolve(import.meta.dirname, '../../dist/bench'),
    target: 'es2024',
    minify: false,
    rollupOptions: { output: { entryFileNames: 'bench.js' } },
  },
  ssr: { noExternal: true },
});
