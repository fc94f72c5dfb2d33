import { defineConfig } from 'vitest/config';
import base from '../../vitest.config.ts';

// One seed for all files, and for the report.
process.env['SEED'] ??= `${Date.now() % 100_000}`;

/** The long run, `npm run faults`: alone on the machine, since it measures. */
export default defineConfig({
  ...base,
  test: {
    ...base.test,
    // In the place of all tests; merged they would be added to them.
    include: [
      'test/faults/**/*.test.ts',
      'test/faults/**/*.long.ts',
      'test/hostile/{loads,mutations}.test.ts',
      'test/model/model.test.ts',
    ],
    env: { LONG: '1' },
    maxWorkers: 1,
    reporters: ['default', './test/faults/results.ts', './test/setup/closing-line.ts'],
  },
});
