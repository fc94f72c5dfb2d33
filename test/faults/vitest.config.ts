import { defineConfig, mergeConfig } from 'vitest/config';
import base from '../../vitest.config.ts';

/** The long run, `npm run faults`: alone on the machine, since it measures. */
export default mergeConfig(
  base,
  defineConfig({
    test: {
      include: ['test/faults/**/*.test.ts', 'test/faults/**/*.long.ts', 'test/hostile/mutations.test.ts'],
      env: { LONG: '1' },
      maxWorkers: 1,
      reporters: ['default', './test/faults/results.ts', './test/setup/closing-line.ts'],
    },
  }),
);
