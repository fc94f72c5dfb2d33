import type { Cluster } from '../cluster/cluster.ts';
import { messageOf } from '../errors.ts';
import { nextTurn, repeat } from '../lifecycle.ts';
import type { Log } from '../log.ts';
import type { InstanceRegistry } from '../storage/instance-registry.ts';
import type { CommittedUpdate, LogReader } from '../storage/log-reader.ts';

/** Each instance tells the database so often that it is there. */
const BEAT_MS = 5_000;
/** What others commit is read this often while they cannot be heard. */
const FOLLOW_MS = 1_000;
/**
 * Reading begins this long before it was noticed that they cannot be: Redis is taken for away after 3 s, an instance for dead after
 * 7 s, and who is there is looked up every 5 s. And so it does for a document that was opened meanwhile: what was committed between
 * its loading and now has been read without it. One that takes longer to load has the place from before that kept.
 */
const OVERLAP_MS = 20_000;
/** Updates that are taken in before others have their turn. */
const SLICE = 200;

export interface LogFollowerOptions {
  readonly cluster: Cluster;
  readonly registry: InstanceRegistry;
  readonly reader: LogReader;
  /** Names of the documents that are open. */
  readonly documents: () => string[];
  /** Since when the oldest of those is being loaded that are not open yet (milliseconds of `performance.now()`); else `Infinity`. */
  readonly loadingSince: () => number;
  /** Names of those of which others may have committed what they did not tell. */
  readonly behind: () => string[];
  /** Told when that has been read. */
  readonly caughtUp: (documents: readonly string[]) => void;
  /** Takes in what others have committed. Must not throw. */
  readonly onCommitted: (updates: readonly CommittedUpdate[]) => void;
  readonly log: Log;
}

/**
 * Reads from the database what other instances commit, while they cannot be heard: Redis is away, or they have another one; or when one
 * has not answered. Nothing is read while all that are there can be heard.
 */
export class LogFollower {
  readonly #options: LogFollowerOptions;
  /** From where to read, as it was at these times (milliseconds of `performance.now()`), oldest first. */
  #places: { readonly at: number; readonly place: string }[] = [];
  /** The documents that were read last, and from where to go on with them. */
  #read: { readonly documents: ReadonlySet<string>; readonly place: string } = {
    documents: new Set(),
    place: '',
  };
  #neighbours: readonly string[] = [];
  #beatAt = -Infinity;
  #isFollowing = false;
  #stop: (() => void) | undefined;

  constructor(options: LogFollowerOptions) {
    this.#options = options;
  }

  /**
   * Begins; to be called before a document is opened, since what is committed before is not read.
   * @throws what `pg` throws when the database does not answer
   */
  async start(): Promise<void> {
    await this.#beat(performance.now());
    this.#stop = repeat(FOLLOW_MS, () => this.#look());
  }

  /** Another history has begun, in which places of the one before mean nothing. All documents are loaded anew. */
  databaseReplaced(): void {
    this.#places = [];
    this.#read = { documents: new Set(), place: '' };
    this.#beatAt = -Infinity;
  }

  /** @returns what resolves when the others know; does not reject */
  async close(): Promise<void> {
    this.#stop?.();
    // Forgotten after a while, if the database is away.
    await this.#options.registry.leave().catch(() => {});
  }

  /** Does not reject. */
  async #look(): Promise<void> {
    const { cluster, log } = this.#options;
    try {
      const now = performance.now();
      if (now - this.#beatAt >= BEAT_MS) await this.#beat(now);
      const isApart = !cluster.isThere || this.#neighbours.some((name) => !cluster.hears(name));
      if (isApart !== this.#isFollowing) {
        this.#isFollowing = isApart;
        this.#read = { documents: new Set(), place: '' };
        log.info(isApart ? 'what other instances commit is read from Postgres' : 'other instances are heard');
      }
      if (this.#places.length === 0) return;
      // One that is open by now was loading until after the last reading.
      const needed = Math.min(now - OVERLAP_MS, this.#options.loadingSince());
      if (isApart) await this.#follow();
      else await this.#readBehind();
      this.#forgetPlaces(needed);
    } catch (error) {
      // Health and commits say loudly that the database is away; nothing is missed by reading later.
      log.debug({ err: messageOf(error) }, 'what other instances commit cannot be read');
    }
  }

  async #beat(now: number): Promise<void> {
    const { names, place } = await this.#options.registry.beat();
    this.#beatAt = now;
    this.#neighbours = names;
    this.#places.push({ at: now, place });
  }

  /** Those before the last one that is as old as this. */
  #forgetPlaces(neededSince: number): void {
    const first = this.#places.findLastIndex(({ at }) => at <= neededSince);
    if (first > 0) this.#places = this.#places.slice(first);
  }

  async #follow(): Promise<void> {
    const documents = this.#options.documents();
    // Who was opened, or opened again, since the last reading has missed it.
    const behind = this.#options.behind();
    const isKnown = (document: string) => this.#read.documents.has(document) && !behind.includes(document);
    const known = documents.filter((document) => isKnown(document));
    const opened = documents.filter((document) => !isKnown(document));
    const from = this.#places[0]?.place ?? '';
    // Of two places the earlier one is where to go on.
    const place = known.length > 0 ? await this.#take(known, this.#read.place) : undefined;
    const since = opened.length > 0 ? await this.#take(opened, from) : undefined;
    this.#read = { documents: new Set(documents), place: place ?? since ?? '' };
    this.#options.caughtUp(behind);
  }

  async #readBehind(): Promise<void> {
    const documents = this.#options.behind();
    if (documents.length === 0) return;
    await this.#take(documents, this.#places[0]?.place ?? '');
    this.#options.caughtUp(documents);
  }

  /** @returns the place to go on from */
  async #take(documents: readonly string[], from: string): Promise<string> {
    const { updates, place } = await this.#options.reader.read(documents, from);
    for (let start = 0; start < updates.length; start += SLICE) {
      this.#options.onCommitted(updates.slice(start, start + SLICE));
      await nextTurn();
    }
    return place;
  }
}
