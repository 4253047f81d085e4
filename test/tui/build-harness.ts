import { build } from 'vite';

/**
 * Bundles the harness for plain Node: `build-harness.ts OUT`, then `node OUT/harness.js`.
 * Also used by the pty tests.
 */
export async function buildHarness(outDir: string): Promise<string> {
  const root = new URL('../..', import.meta.url).pathname;
  await build({
    root,
    configFile: false,
    logLevel: 'error',
    define: { 'process.env.NODE_ENV': '"production"' },
    build: {
      ssr: `${root}test/tui/harness.tsx`,
      outDir,
      emptyOutDir: false,
      target: 'node22',
      rollupOptions: { output: { entryFileNames: 'harness.js', format: 'es' } },
    },
    ssr: { noExternal: true, external: ['react-devtools-core'] },
  });
  return `${outDir}/harness.js`;
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  await buildHarness(process.argv[2] ?? '/tmp/rmapdbg-harness');
}
