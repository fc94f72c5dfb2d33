import { parentPort } from 'node:worker_threads';
import type { MergeAnswer, MergeQuestion } from './merger.ts';
import { mergeStored } from './stored-document.ts';

parentPort?.on('message', ({ id, stored }: MergeQuestion) => {
  parentPort?.postMessage({ id, state: mergeOrNull(stored) } satisfies MergeAnswer);
});

/** What cannot be applied cannot be merged: it stays as it is, and the next load sets it aside. */
function mergeOrNull(stored: MergeQuestion['stored']): Uint8Array | null {
  try {
    return mergeStored(stored);
  } catch {
    return null;
  }
}
