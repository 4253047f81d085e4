import { defineConfig } from 'vitest/config';
import { kernelSteps } from '../src/sim/steps/plugin.ts';
import { CountReporter } from './support/count-reporter.ts';

export default defineConfig({
  plugins: [kernelSteps({ extra: ['test/sim/kernel', 'docs/examples'] })],
  define: { VERSION: JSON.stringify('test') },
  test: {
    include: ['test/**/*.test.{ts,tsx}'],
    pool: 'forks',
    // A machine that does other work too must not fail a test: none waits for anything but its own computing.
    testTimeout: 240_000,
    reporters: ['default', new CountReporter()],
  },
});
