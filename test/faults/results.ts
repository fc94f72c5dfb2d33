import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { format, resolveConfig } from 'prettier';
import type { Reporter, TestCase, TestModule } from 'vitest/node';
import { commitOf, machine } from '../helpers/machine.ts';
import { COUNTS, type Figure } from './figures.ts';

const FOLDER = new URL('.', import.meta.url);
/** What is told of each test. */
const OUTCOMES = new URL('results.json', FOLDER);
/** The same to read. */
const RESULTS = new URL('RESULTS.md', FOLDER);

const INTRODUCTION = `# Results of \`npm run faults\`

Written by the runs themselves; see README.md of this folder for what each test does. A run with the same SEED makes the same
choices. "Lost" counts what was acknowledged and was not in the database after a kill, before anybody came back; every test, these
too, fails where an acknowledged edit is not in the database alone, or not with a fresh client, in the end.
`;

/** What a test has found when it ran last. */
export interface Outcome {
  file: string;
  name: string;
  /** The run: commit, day and seed. */
  run: string;
  /** Why it failed; `null` when it passed. */
  error: string | null;
  counts: Partial<Record<(typeof COUNTS)[number], number>>;
  figures: Figure[];
}

/** Writes what the tests of a long run have measured into RESULTS.md. Those that did not take part keep what they have there. */
export default class Results implements Reporter {
  async onTestRunEnd(modules: ReadonlyArray<TestModule>): Promise<void> {
    const run = `${commitOf()}, ${new Date().toISOString().slice(0, 10)}, SEED=${process.env['SEED']}`;
    const ran = new Map(modules.map((module) => [fileOf(module), outcomesOf(module, run)]));
    const before = existsSync(OUTCOMES) ? (JSON.parse(readFileSync(OUTCOMES, 'utf8')) as Outcome[]) : [];
    const files = new Set([...before.map(({ file }) => file), ...ran.keys()]);
    const outcomes = [...files].toSorted().flatMap((file) =>
      merged(
        ran.get(file),
        before.filter((outcome) => outcome.file === file),
      ),
    );
    await write(OUTCOMES, JSON.stringify(outcomes), 'json');
    await write(RESULTS, describeAll(outcomes), 'markdown');
  }
}

async function write(file: URL, text: string, parser: string): Promise<void> {
  writeFileSync(file, await format(text, { ...(await resolveConfig(file)), parser }));
}

function fileOf({ moduleId }: TestModule): string {
  return relative(fileURLToPath(new URL('..', FOLDER)), moduleId);
}

/** Of its tests, in their order; `null` for one that did not run, under what it is known by. */
function outcomesOf(module: TestModule, run: string): [key: string, Outcome | null][] {
  const tests = Array.from(module.children.allTests());
  const keys = keysOf(tests.map(({ name }) => name));
  return tests.map((test, index) => [keys[index] ?? '', outcomeOf(test, fileOf(module), run)]);
}

function outcomeOf(test: TestCase, file: string, run: string): Outcome | null {
  const { state, errors } = test.result();
  if (state === 'skipped') return null;
  const { counts = {}, figures = [] } = test.meta();
  const error = state === 'passed' ? null : (errors?.[0]?.message.split('\n', 1)[0] ?? state);
  return { file, name: test.name, run, error, counts, figures };
}

/** What tests of a file are known by, whatever their seed is; of several of one name, that and their number. */
export function keysOf(names: readonly string[]): string[] {
  const seen = new Map<string, number>();
  return names.map((name) => {
    const known = name.replace(/ \([^()]*SEED=[^()]*\)/, '');
    const count = (seen.get(known) ?? 0) + 1;
    seen.set(known, count);
    return `${known} ${count}`;
  });
}

/**
 * What is known of the tests of a file.
 * @param ran - those that it has, in their order, by what {@link keysOf} gives: what they have found now, or nothing where they did not
 * run; left out where the file took no part
 */
export function merged(
  ran: readonly [key: string, Outcome | null][] | undefined,
  before: readonly Outcome[],
): Outcome[] {
  if (ran === undefined) return [...before];
  const keys = keysOf(before.map(({ name }) => name));
  const known = new Map(before.map((outcome, index) => [keys[index], outcome]));
  return ran.flatMap(([key, outcome]) => outcome ?? known.get(key) ?? []);
}

function describeAll(outcomes: readonly Outcome[]): string {
  const passed = outcomes.filter(({ error }) => error === null);
  const runs = Map.groupBy(outcomes, ({ run }) => run);
  const parts = [...runs].map(([run, { length }]) => `${length} in the run of ${run}`);
  return [
    INTRODUCTION,
    `${passed.length} of ${outcomes.length} tests passed when they ran last: ${parts.join('; ')}. The last was on ${machine()}`,
    '',
    ...table(sumsOf(outcomes)),
    '',
    ...outcomes.flatMap(describe),
  ].join('\n');
}

function sumsOf(outcomes: readonly Outcome[]): Figure[] {
  const failed = outcomes.filter(({ error }) => error !== null).length;
  return COUNTS.map((what) => {
    const counts = outcomes.flatMap((outcome) => outcome.counts[what] ?? []);
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

function describe({ name, error, figures }: Outcome): string[] {
  const failed = error === null ? '' : ` — FAILED: ${error}`;
  const rows = figures.length === 0 ? [] : ['', ...table(figures)];
  return [`**${name.replace(/^\[(\w+)\]/, '$1:')}**${failed}`, ...rows, ''];
}

function table(figures: readonly Figure[]): string[] {
  return ['| | |', '| --- | --- |', ...figures.map(({ what, value }) => `| ${what} | ${value} |`)];
}
