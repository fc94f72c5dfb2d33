import { existsSync, readFileSync, writeFileSync } from 'node:fs';

/** A number of /proc/<pid>/status, in bytes. */
function statusOf(pid: number, field: 'VmRSS' | 'VmHWM'): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]) * 1024;
}

/**
 * Starts to watch how much of the machine's memory a process has: its peak is the kernel's, so that none is missed. Nothing where
 * the kernel is not Linux.
 */
export function watchResident(pid: number): { start: number; peak(): number } {
  if (!existsSync('/proc/self/status')) return { start: 0, peak: () => 0 };
  // 5 sets the peak back to what it has now.
  writeFileSync(`/proc/${pid}/clear_refs`, '5');
  return { start: statusOf(pid, 'VmRSS'), peak: () => statusOf(pid, 'VmHWM') };
}

/**
 * For how many milliseconds a process that could have gone on has waited for a processor, in all: on a machine with other work
 * much of the time, and no fault of its own. 0 where the system does not tell.
 */
export function waitedForProcessor(pid: number): number {
  const path = `/proc/${pid}/schedstat`;
  return existsSync(path) ? Number(readFileSync(path, 'utf8').split(' ')[1]) / 1e6 : 0;
}
