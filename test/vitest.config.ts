import { defineConfig } from 'vitest/config';
import { kernelSteps } from '../src/sim/steps/plugin.ts';
import { CountReporter } from './support/count-reporter.ts';

export default defineConfig({
  plugins: [kernelSteps({ extra: ['test/sim/kernel', 'docs/examples'] })],
  define: { VERSION: JSON.stringify('test') },
  test: {
    include: ['test/**/*.test.{ts,tsx}'],
    pool: 'forks',
    testTimeout: 60_000,
    reporters: ['default', new CountReporter()],
  },
});
