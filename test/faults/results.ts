import { writeFileSync } from 'node:fs';
import { format, resolveConfig } from 'prettier';
import type { Reporter, TestCase, TestModule } from 'vitest/node';
import { machine } from '../helpers/machine.ts';
import { COUNTS, type Figure } from './figures.ts';

const RESULTS = new URL('RESULTS.md', import.meta.url);

const INTRODUCTION = `# Results of \`npm run faults\`

Written by the run itself; see README.md of this folder for what each test does. A run with the same SEED makes the same
choices. "Lost" counts what was acknowledged and was not in the database after a kill, before anybody came back; every test, these
too, fails where an acknowledged edit is not in the database alone, or not with a fresh client, in the end.
`;

/** Writes what the tests of a long run have measured into RESULTS.md; of a part of them it is only printed. */
export default class Results implements Reporter {
  readonly #since = Date.now();

  async onTestRunEnd(modules: ReadonlyArray<TestModule>): Promise<void> {
    const tests = modules
      .toSorted((one, other) => (one.moduleId < other.moduleId ? -1 : 1))
      .flatMap((module) => Array.from(module.children.allTests()));
    const ran = tests.filter((test) => test.result().state !== 'skipped');
    const passed = ran.filter((test) => test.result().state === 'passed');
    const minutes = ((Date.now() - this.#since) / 60_000).toFixed(0);
    const lines = [
      INTRODUCTION,
      `${passed.length} of ${ran.length} tests passed in ${minutes} minutes, with SEED=${process.env['SEED']}, on ${new Date().toISOString().slice(0, 10)}: ${machine()}`,
      '',
      ...table(sumsOf(ran)),
      '',
      ...ran.flatMap(describe),
    ];
    const results = await format(lines.join('\n'), {
      ...(await resolveConfig(RESULTS)),
      parser: 'markdown',
    });
    if (COUNTS.every((what) => countsOf(ran, what).length > 0)) writeFileSync(RESULTS, results);
    else process.stdout.write(`\n${results}`);
  }
}

function sumsOf(tests: readonly TestCase[]): Figure[] {
  const failed = tests.filter((test) => test.result().state !== 'passed').length;
  return COUNTS.map((what) => {
    const counts = countsOf(tests, what);
    const sum = counts.reduce((before, count) => before + count, 0);
    const value = counts.length === 0 ? 'not measured' : sum.toLocaleString('en');
    return {
      what,
      value: isClaim(what) && failed > 0 ? `${value}, and not proven: ${failed} tests failed` : value,
    };
  });
}

/** That something never happened: what a test found in another way, it says by failing. */
function isClaim(what: (typeof COUNTS)[number]): boolean {
  return what === 'acknowledged edits that were lost' || what === 'crashes by them';
}

function countsOf(tests: readonly TestCase[], what: (typeof COUNTS)[number]): number[] {
  return tests.flatMap((test) => test.meta().counts?.[what] ?? []);
}

function describe(test: TestCase): string[] {
  const figures = test.meta().figures ?? [];
  const [error] = test.result().errors ?? [];
  const failed =
    test.result().state === 'passed' ? '' : ` — FAILED: ${error?.message.split('\n', 1)[0] ?? ''}`;
  const rows = figures.length === 0 ? [] : ['', ...table(figures)];
  return [`**${test.name.replace(/^\[(\w+)\]/, '$1:')}**${failed}`, ...rows, ''];
}

function table(figures: readonly Figure[]): string[] {
  return ['| | |', '| --- | --- |', ...figures.map(({ what, value }) => `| ${what} | ${value} |`)];
}
