import { IndexeddbPersistence } from 'y-indexeddb';
import type * as Y from 'yjs';
import type { Saves } from '../../server/browser.ts';
import { type Address, keyOf } from './address.ts';
import { edits } from './edits.ts';
import { forget, recall, remember, remembered } from './stored.ts';

/** A document waits for its copy no longer than this, in ms; one that comes later is merged. */
const patience = 3000;
/** The lock of a tab that ends is gone within this time, in ms; only where another tab has unsaved edits is it waited for. */
const endingTime = 2000;

/** A document as this browser keeps it, so that it is there without the network, and unsaved edits after a restart. */
interface LocalCopy {
  /** Whether this browser can keep anything. */
  readonly isKept: boolean;
  /** How many edits earlier visits have left unsaved. */
  readonly unsaved: number;
  /** Keeps count of what is not saved, for the next visit. @returns a function that stops it */
  follow(saves: Saves): () => void;
  /**
   * Whether the document was deleted on the server, as far as this browser has heard: then its name may be another one's
   * by now, which this copy must not be merged into.
   */
  isOrphan: boolean;
  /** Forgets the document, for whoever destroys it at once: what is changed afterwards is kept again. */
  readonly discard: () => void;
}

/** Loads what this browser has of a document into `doc`, and keeps all changes from then on, until it is destroyed. */
export async function openLocalCopy(address: Address, doc: Y.Doc): Promise<LocalCopy> {
  const isKept = await canKeep();
  const stored = isKept ? new IndexeddbPersistence(`indelible:${keyOf(address)}`, doc) : undefined;
  await Promise.race([stored?.whenSynced, new Promise((resolve) => setTimeout(resolve, patience))]);
  const orphan = `orphan:${keyOf(address)}`;
  // The counts of all tabs: of those that are open, and of those that have ended.
  const counts = `unsaved:${keyOf(address)}:`;
  const own = `${counts}${doc.clientID}`;
  const ended = await thoseEnded(remembered(counts));
  const unsaved = ended.reduce((sum, key) => sum + (Number(recall(key)) || 0), 0);
  const release = holdLock(own);
  return {
    isKept,
    unsaved,
    get isOrphan() {
      return recall(orphan) !== null;
    },
    set isOrphan(isOrphan) {
      if (!isOrphan) forget(orphan);
      // Where there is nothing, nothing can be merged.
      else if (doc.store.clients.size > 0) remember(orphan, 'deleted');
    },
    follow(saves) {
      const count = (): void => {
        if (edits(saves) === 0) forget(own);
        else remember(own, `${edits(saves)}`);
      };
      count();
      ended.forEach(forget);
      const unsubscribe = saves.subscribe(count);
      return () => {
        unsubscribe();
        release();
      };
    },
    discard: () => {
      // Not the database itself: other tabs may have it open.
      stored?.db?.transaction('updates', 'readwrite').objectStore('updates').clear();
      forget(own);
      forget(orphan);
    },
  };
}

/** Whether this browser has a database, and writes into it: private windows may have none, and disks are full. */
function canKeep(): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  // One that is being repaired, or deleted, says nothing at all.
  setTimeout(() => resolve(false), patience);
  try {
    const request = indexedDB.open('indelible:probe');
    request.addEventListener('upgradeneeded', () => request.result.createObjectStore('probe'));
    request.addEventListener('error', () => resolve(false));
    request.addEventListener('success', () => {
      const database = request.result;
      const transaction = database.transaction('probe', 'readwrite');
      transaction.objectStore('probe').put(Date.now(), 'written');
      transaction.addEventListener('complete', () => resolve(true));
      transaction.addEventListener('abort', () => resolve(false));
      database.close(); // once that has ended
    });
  } catch {
    resolve(false);
  }
  return promise;
}

// A tab holds a lock under the key of its count, which ends with it, whatever happens. Pages that came over plain HTTP
// from elsewhere have no locks: then a count of another tab that is open is taken for that of an ended one.

function holdLock(name: string): () => void {
  const { promise, resolve } = Promise.withResolvers<void>();
  if ('locks' in navigator) void navigator.locks.request(name, () => promise);
  return resolve;
}

async function thoseEnded(keys: readonly string[]): Promise<string[]> {
  const haveEnded = await Promise.all(keys.map(hasEnded));
  return keys.filter((_key, index) => haveEnded[index]);
}

async function hasEnded(key: string): Promise<boolean> {
  if (!('locks' in navigator)) return true;
  try {
    // The lock of a page that was left a moment ago may still be there.
    await navigator.locks.request(key, { signal: AbortSignal.timeout(endingTime) }, () => {});
    return true;
  } catch {
    return false;
  }
}
