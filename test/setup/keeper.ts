import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { sweepRun } from './run-directory.ts';

/*
 * A process of its own that outlives the runner by a moment: it waits until its standard input ends, which happens
 * however the runner ends (SIGKILL too), then stops the run's services and removes their files.
 */

const path = fileURLToPath(import.meta.url);

export interface Keeper {
  /** Stops the run's processes, removes its directory, and resolves when that is done. */
  finish(): Promise<void>;
}

export function startKeeper(runDirectory: string): Keeper {
  // Detached, so that Ctrl-C in the terminal reaches the runner and not the keeper.
  const child = spawn(process.execPath, [path, runDirectory], {
    detached: true,
    stdio: ['pipe', 'ignore', 'inherit'],
  });
  const exited = once(child, 'exit');
  // The runner may exit while the keeper still waits for that.
  child.unref();
  if (child.stdin instanceof Socket) child.stdin.unref();
  return {
    async finish() {
      child.ref();
      child.stdin.end();
      await exited;
    },
  };
}

const runDirectory = process.argv[2];
if (process.argv[1] === path && runDirectory !== undefined) {
  await once(process.stdin.resume(), 'end');
  await sweepRun(runDirectory);
}
