import { IndexeddbPersistence } from 'y-indexeddb';
import type * as Y from 'yjs';
import type { Saves } from '../../server/browser.ts';
import { type Address, socketUrl } from './address.ts';
import { edits } from './edits.ts';
import { forget, recall, remember, remembered } from './stored.ts';

/** A document waits for its copy no longer than this, in ms; one that comes later is merged. */
const patience = 3000;
/** The lock of a tab that ends is gone within this time, in ms. */
const endingTime = 300;

/** A document as this browser keeps it, so that it is there without the network, and unsaved edits after a restart. */
interface LocalCopy {
  /** Whether this browser can keep anything. */
  readonly isKept: boolean;
  /** How many edits earlier visits have left unsaved. */
  readonly unsaved: number;
  /** Keeps count of what is not saved, for the next visit. @returns a function that stops it */
  follow(saves: Saves): () => void;
}

/** Loads what this browser has of a document into `doc`, and keeps all changes from then on, until it is destroyed. */
export async function openLocalCopy(address: Address, doc: Y.Doc): Promise<LocalCopy> {
  const isKept = await canKeep();
  if (isKept) {
    const copy = new IndexeddbPersistence(`indelible:${socketUrl()}${address.path}`, doc);
    await Promise.race([copy.whenSynced, new Promise((resolve) => setTimeout(resolve, patience))]);
  }
  // The counts of all tabs: of those that are open, and of those that have ended.
  const counts = `unsaved:${address.path}:`;
  const own = `${counts}${doc.clientID}`;
  const ended = await thoseEnded(remembered(counts));
  const unsaved = ended.reduce((sum, key) => sum + (Number(recall(key)) || 0), 0);
  const release = holdLock(own);
  return {
    isKept,
    unsaved,
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
  };
}

/** Private windows, for one, may have no database. */
function canKeep(): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  try {
    const request = indexedDB.open('indelible:probe');
    request.addEventListener('error', () => resolve(false));
    request.addEventListener('success', () => {
      request.result.close();
      resolve(true);
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
