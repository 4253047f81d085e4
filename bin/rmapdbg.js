#!/usr/bin/env node
// Starts the built program; says clearly what is missing instead of failing inside a dependency.
import { existsSync } from 'node:fs';

const [major = 0] = process.versions.node.split('.').map(Number);
const built = new URL('../dist/cli.js', import.meta.url);

if (major < 22) {
  process.stderr.write(
    `rmapdbg needs Node 22 or later; this is Node ${process.versions.node}.\n` +
      'In a clone, `npm start -- ARGS` runs it with the Node that package.json pins.\n',
  );
  process.exitCode = 2;
} else if (existsSync(built)) {
  // React reads this once, when it loads: its development build is slower.
  process.env.NODE_ENV ??= 'production';
  await import(built.href);
} else {
  process.stderr.write('rmapdbg is not built yet: run `npm run build` once, or use `npm start`.\n');
  process.exitCode = 2;
}
