import type { Document } from './host.ts';

/**
 * For each person in a document: a thousand frames of presence a second, however many move. A frame costs some 8 µs, so that is a
 * hundredth of a processor. Two people see each other's cursors after 2 ms, two hundred after 0.2 s.
 */
const MS_PER_PERSON = 1;
const MAX_MS = 1_000;

/** What a document of Hocuspocus keeps to itself: whose presence is to be sent. */
interface Flushing {
  pendingAwarenessClients: Set<number>;
}

/**
 * Has a document send presence at once where it was quiet, and where many are and move, the latest of all of them together. Edits
 * never wait. (Hocuspocus sends both as a turn of the event loop has brought them: of 200 cursors that move in a second each leaves
 * alone, to everybody.)
 * @returns what sends at once what is held back
 */
export function pacePresence(document: Document): () => void {
  const pending = document as unknown as Flushing;
  const flushAll = document.flush.bind(document);
  /** When presence may be sent again, in milliseconds of `performance.now()`. */
  let nextAt = 0;
  let timer: NodeJS.Timeout | undefined;

  const flushEdits = () => {
    const held = pending.pendingAwarenessClients;
    pending.pendingAwarenessClients = new Set();
    flushAll();
    pending.pendingAwarenessClients = held;
  };
  document.flush = () => {
    const now = performance.now();
    if (pending.pendingAwarenessClients.size === 0) return flushAll();
    if (now >= nextAt) {
      nextAt = now + Math.min(document.connections.size * MS_PER_PERSON, MAX_MS);
      return flushAll();
    }
    flushEdits();
    timer ??= setTimeout(() => {
      timer = undefined;
      document.flush();
    }, nextAt - now);
    return document;
  };
  document.on('destroy', () => clearTimeout(timer));
  return flushAll;
}
