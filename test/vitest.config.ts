import { defineConfig } from 'vitest/config';
import { kernelSteps } from '../src/sim/steps/plugin.ts';

export default defineConfig({
  plugins: [kernelSteps()],
  test: { include: ['test/**/*.test.{ts,tsx}'], pool: 'forks', testTimeout: 60_000 },
});
