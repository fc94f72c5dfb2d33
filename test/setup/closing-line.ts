import { writeSync } from 'node:fs';
import type { SerializedError } from 'vitest';
import type { Reporter, TestModule } from 'vitest/node';

const STDOUT = 1;

/**
 * Prints `N passed, N failed` (and `, N skipped` when there are some) as the very last line of a run, for scripts
 * that read only that. It prints while the process exits, since tearing down can still write and fail after the
 * last test; a run that ends badly without a failed test counts as one failure.
 */
export default class ClosingLine implements Reporter {
  private passed = 0;
  private failed = 0;
  private skipped = 0;

  onInit(): void {
    process.once('exit', (code) => {
      if (code !== 0 && this.failed === 0) this.failed = 1;
      const skipped = this.skipped > 0 ? `, ${this.skipped} skipped` : '';
      writeSync(STDOUT, `${this.passed} passed, ${this.failed} failed${skipped}\n`);
    });
  }

  onTestRunEnd(modules: ReadonlyArray<TestModule>, unhandled: ReadonlyArray<SerializedError>): void {
    this.passed = 0;
    this.skipped = 0;
    this.failed = unhandled.length;
    for (const module of modules) this.count(module);
  }

  private count(module: TestModule): void {
    const failedBefore = this.failed;
    for (const test of module.children.allTests()) {
      const { state } = test.result();
      if (state === 'passed') this.passed += 1;
      else if (state === 'failed') this.failed += 1;
      else this.skipped += 1;
    }
    // A file that does not load, or a hook that throws, fails no test of its own.
    if (module.state() === 'failed' && this.failed === failedBefore) this.failed += 1;
  }
}
