import { parentPort } from 'node:worker_threads';
import { slicesOf } from './slices.ts';
import { mergeStored, type StoredContent } from './stored-document.ts';
import type { Answer, Question } from './update-thread.ts';

parentPort?.on('message', ({ id, work }: Question) => {
  const updates = 'merge' in work ? merge(work.merge) : slice(work.slice);
  const buffers = updates.map(({ buffer }) => buffer as ArrayBuffer);
  parentPort?.postMessage({ id, updates } satisfies Answer, buffers);
});

/** What cannot be applied cannot be merged: it stays as it is, and the next load sets it aside. */
function merge(stored: StoredContent): Uint8Array[] {
  try {
    const state = mergeStored(stored);
    return state === null ? [] : [state];
  } catch {
    return [];
  }
}

/** What cannot be read is for its reader to find out. */
function slice(update: Uint8Array): Uint8Array[] {
  try {
    return slicesOf(update);
  } catch {
    return [update];
  }
}
