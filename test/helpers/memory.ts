import { readMetrics } from './metrics.ts';
import { signal } from './process-table.ts';
import type { RunningProcess } from './processes.ts';
import type { ServerProcess } from './server.ts';

const COLLECTION_MS = 30_000;

/**
 * Environment of a server process that collects its garbage at a signal, and says so. Twice: the buffers that the first time finds
 * are given back beside it, and counted as free when the second one begins.
 */
export const COLLECTING = {
  NODE_OPTIONS: `--expose-gc --import=data:text/javascript,${encodeURIComponent(
    `let times = 0; process.on('SIGUSR2', () => { gc(); gc(); console.log('collected ' + (times += 1) + ' by ' + process.pid); });`,
  )}`,
};

/** Bytes. */
export interface Memory {
  heap: number;
  buffers: number;
  resident: number;
}

/**
 * Has a process, started with {@link COLLECTING}, collect its garbage.
 * @param pid - of one that it has started, with the same output
 */
export async function collect(server: RunningProcess, pid = server.pid): Promise<void> {
  const count = server.stdout.filter((line) => line.endsWith(` by ${pid}`)).length + 1;
  signal(pid, 'SIGUSR2');
  await server.line(new RegExp(`^collected ${count} by ${pid}$`), COLLECTION_MS);
}

/** Memory of a process, started with {@link COLLECTING}, that has just collected its garbage. */
export async function memoryOf(server: ServerProcess): Promise<Memory> {
  await collect(server);
  const metrics = await readMetrics(server.url);
  return {
    heap: metrics.value('nodejs_heap_size_used_bytes'),
    buffers: metrics.value('nodejs_external_memory_bytes'),
    resident: metrics.value('process_resident_memory_bytes'),
  };
}

/** Bytes that a process holds more than before, in its heap and in buffers. */
export function heldSince(before: Memory, after: Memory): number {
  return after.heap + after.buffers - before.heap - before.buffers;
}
