/*
 * Loaded before a server (`--import`), this kills its process when it comes to the failpoint of STRIKE for the so-manieth
 * time: `commit.after:17`. It must not import what it prepares, or that would look for it too early.
 */
import { isMainThread } from 'node:worker_threads';
import type { Failpoint } from '../../server/failpoints.ts';

const [name, times] = (process.env['STRIKE'] ?? '').split(':');
let left = Number(times);

function strike(): void {
  process.kill(process.pid, 'SIGKILL');
}

function reach(reached: Failpoint): void {
  if (reached !== name || (left -= 1) !== 0) return;
  // What is sent in this turn leaves when it ends.
  if (name === 'ack.after') setImmediate(strike);
  else strike();
}

if (isMainThread) Object.assign(globalThis, { [Symbol.for('indelible.failpoint')]: reach });
