import { defineConfig } from 'vitest/config';
import base from '../../vitest.config.ts';

/** `npm run bench`: alone on the machine, since it measures. */
export default defineConfig({
  ...base,
  test: {
    ...base.test,
    // In the place of all tests; merged it would be added to them.
    include: ['test/bench/*.bench.ts'],
    maxWorkers: 1,
    setupFiles: ['test/setup/worker.ts', 'test/bench/versions.ts'],
    reporters: ['default', './test/bench/results.ts', './test/setup/closing-line.ts'],
  },
});
