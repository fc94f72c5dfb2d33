import { readFileSync, writeFileSync } from 'node:fs';
import { format, resolveConfig } from 'prettier';
import type { Reporter, TestCase, TestModule } from 'vitest/node';
import { machine } from '../helpers/machine.ts';

const RESULTS = new URL('RESULTS.md', import.meta.url);
const PACKAGES = ['server', 'extension-redis', 'extension-database'];

const INTRODUCTION = `# Results of \`npm run bench\`

Written by the run itself; README.md of this folder says what each case teaches. A number is that of the round in the middle, with
the least and the most of all rounds in brackets. CPU is what the kernel has counted for the processes.
`;

/** Writes what the cases have measured into RESULTS.md; of a part of them it is only printed. */
export default class Results implements Reporter {
  async onTestRunEnd(modules: ReadonlyArray<TestModule>): Promise<void> {
    const tests = modules
      .toSorted((one, other) => (one.moduleId < other.moduleId ? -1 : 1))
      .flatMap((module) => Array.from(module.children.allTests()));
    const versions = tests.map((test) => test.meta().versions).find((text) => text !== undefined);
    const lines = [
      INTRODUCTION,
      `On ${new Date().toISOString().slice(0, 10)}: ${machine()} ${stock()} ${versions ?? ''}`,
      ...tests.flatMap(describe),
    ];
    const options = { ...(await resolveConfig(RESULTS)), parser: 'markdown' };
    const results = await format(lines.join('\n\n'), options);
    if (tests.every((test) => test.result().state === 'passed')) writeFileSync(RESULTS, results);
    else process.stdout.write(`\n${results}`);
  }
}

function describe(test: TestCase): string[] {
  const { report } = test.meta();
  return report === undefined ? [] : [`## ${test.name.replace(/^\[(\w+)\]/, '$1:')}`, report];
}

function stock(): string {
  const versions = PACKAGES.map((name) => {
    const path = new URL(`../../node_modules/@hocuspocus/${name}/package.json`, import.meta.url);
    return `@hocuspocus/${name} ${(JSON.parse(readFileSync(path, 'utf8')) as { version: string }).version}`;
  });
  return `Stock: ${versions.join(', ')}.`;
}
