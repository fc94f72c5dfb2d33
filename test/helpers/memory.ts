import { readMetrics } from './metrics.ts';
import type { ServerProcess } from './server.ts';

/** Environment of a server process that collects its garbage at a signal, and says so. */
export const COLLECTING = {
  NODE_OPTIONS: `--expose-gc --import=data:text/javascript,${encodeURIComponent(
    `let times = 0; process.on('SIGUSR2', () => { gc(); console.log('collected ' + (times += 1)); });`,
  )}`,
};

/** Bytes. */
export interface Memory {
  heap: number;
  buffers: number;
  resident: number;
}

/** Memory of a process, started with {@link COLLECTING}, that has just collected its garbage. */
export async function memoryOf(server: ServerProcess): Promise<Memory> {
  const count = server.stdout.filter((line) => line.startsWith('collected')).length + 1;
  server.signal('SIGUSR2');
  await server.line(new RegExp(`^collected ${count}$`));
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
