import { readFileSync, writeFileSync } from 'node:fs';
import { format, resolveConfig } from 'prettier';
import type { Reporter, TestCase } from 'vitest/node';
import { machine } from '../helpers/machine.ts';
import { compare } from './comparison.ts';

const RESULTS = new URL('RESULTS.md', import.meta.url);
const PACKAGES = [
  '@hocuspocus/server',
  '@hocuspocus/extension-redis',
  '@hocuspocus/extension-database',
  'y-websocket-server',
  'y-leveldb',
  'ws',
];

const INTRODUCTION = `# Results of \`npm run bench\`

Written by the runs themselves; README.md of this folder says what each case teaches. A number is that of the round in the middle,
with the least and the most of all rounds in brackets. CPU is what the kernel has counted for the processes. Each case says which run
it is of: the last one that had it.
`;

/**
 * Writes what a case has measured into RESULTS.md, in the place of what an earlier run did: as soon as it is there, so that nothing
 * that fails later loses it. Of a case that has failed, or was brief, it is only printed; or it is compared with what stands there.
 */
export default class Results implements Reporter {
  async onTestCaseResult(test: TestCase): Promise<void> {
    const section = sectionOf(test);
    if (section === undefined) return;
    const before = readFileSync(RESULTS, 'utf8');
    const isKept = test.result().state === 'passed' && process.env['BRIEF'] !== '1';
    if (process.env['COMPARE'] === '1') await print(compare(before, section));
    else if (isKept) writeFileSync(RESULTS, await pretty(within(before, section)));
    else await print(section);
  }
}

function sectionOf(test: TestCase): string | undefined {
  const { report, versions = '' } = test.meta();
  if (report === undefined) return undefined;
  const [, rule = '', title = ''] = /^\[(\w+)\] (.*)$/.exec(test.name) ?? [];
  const run = `On ${new Date().toISOString().slice(0, 10)}: ${machine()} ${peers()} ${versions}`;
  return `## ${rule}: ${title}\n\n${run}\n\n${report}\n`;
}

/** Results with a case in its place; those of a rule are in the order in which they first came. */
function within(results: string, section: string): string {
  const others = results.split(/^(?=## )/m).slice(1);
  const cases = new Map([...others, section].map((text) => [caseOf(text), text]));
  const sections = [...cases.values()].toSorted((one, other) => ruleOf(one) - ruleOf(other));
  return [INTRODUCTION, ...sections].join('\n\n');
}

/** `J6: pairs`, without the rest of its title. */
function caseOf(section: string): string {
  return /^## (\w+: [^:\n]+)/.exec(section)?.[1] ?? '';
}

function ruleOf(section: string): number {
  return Number(/^## [A-Z]+(\d+)/.exec(section)?.[1]);
}

async function print(markdown: string): Promise<void> {
  process.stdout.write(`\n${await pretty(markdown)}`);
}

async function pretty(markdown: string): Promise<string> {
  return format(markdown, { ...(await resolveConfig(RESULTS)), parser: 'markdown' });
}

function peers(): string {
  const versions = PACKAGES.map((folder) => {
    const path = new URL(`../../node_modules/${folder}/package.json`, import.meta.url);
    const { name, version } = JSON.parse(readFileSync(path, 'utf8')) as { name: string; version: string };
    return `${name} ${version}`;
  });
  return `Peers: ${versions.join(', ')}.`;
}
