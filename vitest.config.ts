import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    environment: 'node',
    pool: 'forks',
    // Two files at a time: the machines that run this have two cores, and the files share one Postgres.
    maxWorkers: 2,
    globalSetup: ['test/setup/services.ts'],
    setupFiles: ['test/setup/worker.ts'],
    testTimeout: 30_000,
    // Set-up may have to install a program (test/setup/debian.ts) and create a cluster on a slow disk.
    hookTimeout: 300_000,
    teardownTimeout: 30_000,
    reporters: ['default', './test/setup/closing-line.ts'],
  },
});
