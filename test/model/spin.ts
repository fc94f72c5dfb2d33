import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { inject } from 'vitest';
import { atTestEnd } from '../helpers/cleanup.ts';
import { startProgram } from '../helpers/processes.ts';

const MODEL = join(import.meta.dirname, 'indelible.pml');
/** Far more than the longest path; Spin says so when it is not enough. */
const DEPTH = 1_000_000;
/** 2^22 slots: the largest run has 1.3 million states. */
const HASH_BITS = 22;

/** What the tests need and this machine lacks. A compiler may be there without the headers of its library. */
const missing = [
  runs('spin', ['-V']) ? [] : ['spin'],
  runs('gcc', ['-fsyntax-only', '-x', 'c', '-'], '#include <stdio.h>') ? [] : ['gcc'],
].flat();
export const isMissing = missing.length > 0;
/** For titles: why a test is skipped. */
export const why = isMissing ? ` (skipped: ${missing.join(' and ')} not found)` : '';

export interface Run {
  /** The parts of the model that take part: `RELAY`, `FOLDERS=1`, … */
  scope: string[];
  /** The name of an `ltl` of the model. Assertions are checked beside it. */
  claim: 'acked_is_stored' | 'edits_are_acked';
  /** Whether Spin looks for paths that never reach what they should; else the claim is about single states. */
  isLiveness?: boolean;
}

export interface Verdict {
  /** The assertion or claim that does not hold; `null` when everything does. */
  violated: string | null;
  /** Whether all states were seen: no limit was reached. */
  isComplete: boolean;
  /** Steps that no path takes, `Log: a line of the model`; known of a whole search for states only. */
  untaken: string[];
}

/** Verifies the model: exhaustively, or up to the first violation. */
export async function verify({ scope, claim, isLiveness = false }: Run, isShort = false): Promise<Verdict> {
  const directory = await mkdtemp(join(inject('runDirectory'), 'model-'));
  atTestEnd(() => rm(directory, { recursive: true, force: true }));
  const run = (program: string, ...args: string[]) => output(directory, program, args);
  // Unless -o3 keeps Spin from merging statements, some that are never reached are not reported.
  const isWhole = !isShort && !isLiveness;
  await run('spin', ...(isWhole ? ['-o3'] : []), ...scope.map((part) => `-D${part}`), '-a', MODEL);
  // All steps touch what others see, so there is no order to reduce. NFAIR: for more than ten processes.
  const kind = isLiveness ? ['-DNFAIR=4'] : ['-DSAFETY'];
  // A search that ends early is over before an optimiser is.
  await run('gcc', isShort ? '-O0' : '-O2', '-w', '-DNOREDUCE', ...kind, '-o', 'pan', 'pan.c');
  // -a -f: paths that never reach it, on which nobody who could go on is left waiting for ever.
  const search = isLiveness ? ['-a', '-f'] : [];
  return read(await run('./pan', `-m${DEPTH}`, `-w${HASH_BITS}`, ...search, '-N', claim), claim);
}

async function output(cwd: string, program: string, args: string[]): Promise<string> {
  const { exited, stdout, stderr } = await startProgram(program, args, { cwd });
  const { code } = await exited;
  const text = [...stdout, ...stderr].join('\n');
  if (code !== 0) throw new Error(`${program} exited with ${code}:\n${text}`);
  return text;
}

function read(text: string, claim: string): Verdict {
  const assertion = text.match(/assertion violated (.*) \(at depth/)?.[1];
  const isClaim = /acceptance cycle/.test(text) || (assertion !== undefined && !/^\w+$/.test(assertion));
  const errors = Number(text.match(/errors: (\d+)/)?.[1]);
  if (Number.isNaN(errors) || errors > 0 !== (isClaim || assertion !== undefined)) {
    throw new Error(`what does Spin say?\n${text}`);
  }
  return {
    violated: isClaim ? claim : (assertion ?? null),
    isComplete:
      /^Full statespace search/m.test(text) && !/max search depth|not completed|out of memory/i.test(text),
    untaken: untakenSteps(text),
  };
}

/** The steps of each process whose `when` is reported as unreached. */
function untakenSteps(text: string): string[] {
  const model = readFileSync(MODEL, 'utf8').split('\n');
  return text.split(/^unreached in proctype /m).flatMap((part) => {
    const process = part.slice(0, part.indexOf('\n'));
    const lines = part.matchAll(/indelible\.pml:(\d+), state \d+, "assert\(1\)"/g);
    return Array.from(lines, ([, line]) => `${process}: ${model[Number(line) - 1]?.trim()}`);
  });
}

function runs(program: string, args: string[], input = ''): boolean {
  return spawnSync(program, args, { input }).status === 0;
}
