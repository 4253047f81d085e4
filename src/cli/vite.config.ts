/** Bundles the program into dist/cli.js. Dependencies stay outside. */
import { readFileSync } from 'node:fs';
import { defineConfig } from 'vite';
import { kernelSteps } from '../sim/steps/plugin.ts';

const { version } = JSON.parse(
  readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
) as { version: string };

export default defineConfig({
  plugins: [kernelSteps()],
  define: { VERSION: JSON.stringify(version) },
  build: {
    ssr: 'src/cli/main.ts',
    outDir: 'dist',
    emptyOutDir: false,
    target: 'node22',
    minify: false,
    sourcemap: true,
    rolldownOptions: {
      checks: { pluginTimings: false },
      output: { entryFileNames: 'cli.js', chunkFileNames: 'cli-[name].js' },
    },
  },
});
