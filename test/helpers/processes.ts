import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { basename, join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { inject } from 'vitest';
import { enterProcess, strikeProcess } from '../setup/run-directory.ts';
import { atTestEnd } from './cleanup.ts';
import { createSignal, until, within } from './deadline.ts';
import { signal as sendSignal } from './process-table.ts';

/** What a program gets of the runner's environment: nothing that tells it that it is being tested. */
const INHERITED = ['PATH', 'HOME', 'USER', 'LANG', 'TMPDIR'];

interface Exit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

interface StartOptions {
  /** What ends it with all its processes; SIGKILL when left out, which leaves those that it has started. */
  endWith?: NodeJS.Signals;
  env?: Record<string, string>;
  cwd?: string;
}

export interface RunningProcess {
  pid: number;
  /** Everything printed so far, line by line, as it came. */
  stdout: string[];
  stderr: string[];
  /** The first line of either stream that matches, printed already or still to come. */
  line(pattern: RegExp, deadlineMs?: number): Promise<RegExpMatchArray>;
  /** Sends a signal and waits until the process has exited. */
  kill(signal?: NodeJS.Signals, deadlineMs?: number): Promise<Exit>;
  /** Sends a signal that does not end it, SIGSTOP say. */
  signal(signal: NodeJS.Signals): void;
  /** Resolves when it has exited and its last line has been read. */
  exited: Promise<Exit>;
}

/**
 * Starts a program with Node: `startNode(['server/main.ts', 'serve'], { env })`. It is killed at the end of the test,
 * and at the end of the run whatever happens.
 */
export async function startNode(args: string[], options: StartOptions = {}): Promise<RunningProcess> {
  // Of the hundreds of servers of a run the first one compiles: half of what the others' start takes of the processor.
  const compiled = { NODE_COMPILE_CACHE: join(inject('runDirectory'), 'compiled') };
  return startProgram(process.execPath, args, { ...options, env: { ...compiled, ...options.env } });
}

/** Starts a program that is found on the PATH, as {@link startNode} does. */
export async function startProgram(
  program: string,
  args: string[],
  options: StartOptions = {},
): Promise<RunningProcess> {
  const name = `${basename(program)} ${args[0]?.startsWith('-') ? '' : args.join(' ')}`.trim();
  const child = spawn(program, args, {
    cwd: options.cwd,
    env: { ...inheritedEnvironment(), ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  await once(child, 'spawn');
  const pid = child.pid as number;
  const runDirectory = inject('runDirectory');
  const entered = enterProcess(runDirectory, pid, options.endWith ?? 'SIGKILL');

  const printed = createSignal();
  const stdout = collect(child.stdout, printed.fire);
  const stderr = collect(child.stderr, printed.fire);
  let exit: Exit | undefined;
  const exited = once(child, 'close').then(async ([code, signal]): Promise<Exit> => {
    exit = { code, signal };
    printed.fire();
    await entered;
    await strikeProcess(runDirectory, pid);
    return exit;
  });
  // After the listeners: what a program prints that ends at once would be lost, and its end never noticed.
  await entered;

  const output = () => [...stdout, ...stderr].join('\n');
  const kill = async (signal: NodeJS.Signals = 'SIGKILL', deadlineMs?: number) => {
    if (exit === undefined) sendSignal(pid, signal);
    return within(() => `${name} did not exit after ${signal}:\n${output()}`, exited, deadlineMs);
  };
  atTestEnd(() => kill(options.endWith));

  return {
    pid,
    stdout,
    stderr,
    async line(pattern, deadlineMs) {
      const find = () =>
        [...stdout, ...stderr].map((line) => line.match(pattern)).find((match) => match !== null);
      await until({
        what: () => `a line like ${pattern.source} from ${name}, which printed:\n${output()}\n`,
        check: () => find() !== undefined,
        hopeless: () => exit && `it exited with ${exit.code ?? exit.signal}`,
        signal: printed,
        deadlineMs,
      });
      return find() as RegExpMatchArray;
    },
    kill,
    signal: (signal) => sendSignal(pid, signal),
    exited,
  };
}

function collect(stream: Readable, onLine: () => void): string[] {
  const lines: string[] = [];
  createInterface({ input: stream }).on('line', (line) => {
    lines.push(line);
    onLine();
  });
  return lines;
}

function inheritedEnvironment(): Record<string, string> {
  const entries = INHERITED.map((name) => [name, process.env[name]] as const);
  return Object.fromEntries(entries.filter((entry): entry is [string, string] => entry[1] !== undefined));
}
