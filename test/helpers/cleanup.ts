import { afterAll, onTestFinished } from 'vitest';

type Cleanup = () => unknown;

const leftovers: Cleanup[] = [];

/**
 * Runs the clean-up when the current test ends, failed or not, last registered first. In a `beforeAll` there is no
 * current test, so there it runs at the end of the file.
 */
export function atTestEnd(cleanup: Cleanup): void {
  try {
    onTestFinished(async () => {
      await cleanup();
    });
  } catch {
    leftovers.push(cleanup);
  }
}

// Registered while the test file loads (it imports this one), which makes it the file's outermost hook.
afterAll(async () => {
  for (let cleanup = leftovers.pop(); cleanup !== undefined; cleanup = leftovers.pop()) await cleanup();
});
