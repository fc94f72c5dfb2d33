import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';

/*
 * What the operating system says about processes. A pid alone is no name, since the system uses it again: a process
 * is named by its pid and the moment it was born.
 */

const hasProc = existsSync('/proc/self/stat');

/** When the process was born (an opaque word without spaces), or undefined when it does not run. */
export function bornAt(pid: number): string | undefined {
  if (hasProc) {
    const stat = procStat(pid);
    return stat === undefined || stat.state === 'Z' ? undefined : stat.startTime;
  }
  return ps(['-o', 'lstart=', '-p', `${pid}`]).replaceAll(/\W+/g, '') || undefined;
}

/** The process and its direct children; empty when it does not run. */
export function family(pid: number): number[] {
  if (bornAt(pid) === undefined) return [];
  return [pid, ...parents().flatMap(([child, parent]) => (parent === pid ? [child] : []))];
}

/** Sends a signal; a process that is gone by now is no error. */
export function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

function parents(): Array<[pid: number, parent: number]> {
  if (hasProc) {
    const pids = readdirSync('/proc').filter((entry) => /^\d+$/.test(entry));
    return pids.flatMap((pid) => {
      const stat = procStat(Number(pid));
      return stat === undefined ? [] : [[Number(pid), stat.parent] as [number, number]];
    });
  }
  const rows = ps(['-axo', 'pid=,ppid=']).trim().split('\n');
  return rows.map((row) => row.trim().split(/\s+/).map(Number) as [number, number]);
}

function procStat(pid: number): { state: string; parent: number; startTime: string } | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The second field is the command in parentheses and may hold spaces; field 3 follows the last parenthesis.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return { state: fields[0] ?? '', parent: Number(fields[1]), startTime: fields[19] ?? '' };
  } catch {
    return undefined;
  }
}

function ps(args: string[]): string {
  try {
    return execFileSync('ps', args, { encoding: 'utf8' });
  } catch {
    return '';
  }
}
