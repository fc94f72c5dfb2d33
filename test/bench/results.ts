import { readFileSync, writeFileSync } from 'node:fs';
import { format, resolveConfig } from 'prettier';
import type { Reporter, TestCase, TestModule } from 'vitest/node';
import { machine } from '../helpers/machine.ts';

const RESULTS = new URL('RESULTS.md', import.meta.url);
const PACKAGES = ['server', 'extension-redis', 'extension-database'];

const INTRODUCTION = `# Results of \`npm run bench\`

Written by the runs themselves; README.md of this folder says what each case teaches. A number is that of the round in the middle,
with the least and the most of all rounds in brackets. CPU is what the kernel has counted for the processes. Each case says which run
it is of: the last one that had it.
`;

/** Writes what the cases have measured into RESULTS.md, in the place of what an earlier run did; if one failed it is only printed. */
export default class Results implements Reporter {
  async onTestRunEnd(modules: ReadonlyArray<TestModule>): Promise<void> {
    const tests = modules
      .toSorted((one, other) => (one.moduleId < other.moduleId ? -1 : 1))
      .flatMap((module) => Array.from(module.children.allTests()))
      .filter((test) => test.result().state !== 'skipped');
    const versions = tests.map((test) => test.meta().versions).find((text) => text !== undefined);
    const run = `On ${new Date().toISOString().slice(0, 10)}: ${machine()} ${stock()} ${versions ?? ''}`;
    const cases = new Map([
      ...casesOf(readFileSync(RESULTS, 'utf8')),
      ...tests.flatMap((test) => describe(test, run)),
    ]);
    const sections = [...cases].toSorted(([one], [other]) => (one < other ? -1 : 1)).map(([, text]) => text);
    const options = { ...(await resolveConfig(RESULTS)), parser: 'markdown' };
    const results = await format([INTRODUCTION, ...sections].join('\n\n'), options);
    if (tests.every((test) => test.result().state === 'passed')) writeFileSync(RESULTS, results);
    else process.stdout.write(`\n${results}`);
  }
}

/** The sections of a report, by the rule that each begins with. */
function casesOf(report: string): [rule: string, section: string][] {
  return report
    .split(/^(?=## )/m)
    .slice(1)
    .map((section) => [section.slice('## '.length, section.indexOf(':')), section]);
}

function describe(test: TestCase, run: string): [rule: string, section: string][] {
  const { report } = test.meta();
  const [, rule = '', title = ''] = /^\[(\w+)\] (.*)$/.exec(test.name) ?? [];
  return report === undefined ? [] : [[rule, `## ${rule}: ${title}\n\n${run}\n\n${report}\n`]];
}

function stock(): string {
  const versions = PACKAGES.map((name) => {
    const path = new URL(`../../node_modules/@hocuspocus/${name}/package.json`, import.meta.url);
    return `@hocuspocus/${name} ${(JSON.parse(readFileSync(path, 'utf8')) as { version: string }).version}`;
  });
  return `Stock: ${versions.join(', ')}.`;
}
