import { Worker } from 'node:worker_threads';
import type { StoredContent } from './stored-document.ts';

/** What the thread is asked. */
export interface MergeQuestion {
  readonly id: number;
  readonly stored: StoredContent;
}

/** Its answer: the merged update, or `null` when there is none that gives the same document back. */
export interface MergeAnswer {
  readonly id: number;
  readonly state: Uint8Array | null;
}

/**
 * Merges stored documents in a thread of its own, since a large one takes long: 0.4 s for 726 KB, 1.1 s for 2.5 MB,
 * 6.8 s for 7.7 MB of 300,000 structs, in which nobody's edit would be handled. Started with the first merge.
 */
export class Merger {
  #worker: Worker | undefined;
  #asked = 0;
  readonly #waiting = new Map<number, PromiseWithResolvers<Uint8Array | null>>();

  /**
   * The document merged into one update.
   * @returns `null` when it cannot be merged safely
   * @throws when the thread ended before it answered; nothing is lost then, and the next merge starts a new one
   */
  merge(stored: StoredContent): Promise<Uint8Array | null> {
    const answer = Promise.withResolvers<Uint8Array | null>();
    this.#asked += 1;
    this.#waiting.set(this.#asked, answer);
    this.#worker ??= this.#start();
    this.#worker.postMessage({ id: this.#asked, stored } satisfies MergeQuestion);
    return answer.promise;
  }

  async close(): Promise<void> {
    await this.#worker?.terminate();
  }

  #start(): Worker {
    const worker = new Worker(new URL(import.meta.url.replace(/merger(\.[jt]s)$/, 'merger-worker$1')));
    worker.on('message', ({ id, state }: MergeAnswer) => {
      this.#waiting.get(id)?.resolve(state);
      this.#waiting.delete(id);
    });
    worker.on('error', (error) => this.#ended(worker, error));
    worker.on('exit', () => this.#ended(worker, new Error('the merging thread ended')));
    // Never the reason that a process stays alive.
    worker.unref();
    return worker;
  }

  /** A thread that crashes says so twice, and the second time another may have taken its place. */
  #ended(worker: Worker, error: unknown): void {
    if (this.#worker !== worker) return;
    this.#worker = undefined;
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}
