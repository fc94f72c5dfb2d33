import { IndelibleError } from './errors.ts';

/** What is counted; see the settings of the same names. 0 for the number of an address means that there is none. */
export interface LimitOptions {
  readonly connections: number;
  readonly connectionsPerAddress: number;
  readonly connectionsPerDocument: number;
  /** Of one socket, in a second. */
  readonly socket: Rate;
  /** Of all sockets of one user here, in a second. */
  readonly user: Rate;
}

/** What may arrive in a second. */
interface Rate {
  readonly frames: number;
  readonly bytes: number;
}

/** Somebody who was quiet may send what comes in so many seconds at once: everything that was typed offline, say. */
const BURST_SECONDS = 10;

/** Gives back what was counted; calling it again does nothing. */
export type Release = () => void;

/** The one place that counts sockets, connections and traffic, whichever the door. */
export class Limits {
  readonly #options: LimitOptions;
  readonly #addresses = new Map<string, number>();
  readonly #documents = new Map<string, number>();
  readonly #users = new Map<string, { readonly bucket: Bucket; meters: number }>();
  readonly #asking = new Map<string, { bucket: Bucket; release: Release; timer: NodeJS.Timeout }>();
  #connections = 0;

  constructor(options: LimitOptions) {
    this.#options = options;
  }

  /**
   * Counts a socket.
   * @param address - of the client
   * @throws {@link IndelibleError} `too_many_connections`
   */
  admit(address: string): Release {
    const { connections, connectionsPerAddress } = this.#options;
    if (this.#connections >= connections) throw new IndelibleError('too_many_connections');
    if (connectionsPerAddress > 0 && (this.#addresses.get(address) ?? 0) >= connectionsPerAddress) {
      throw new IndelibleError('too_many_connections', 'from this address');
    }
    this.#connections += 1;
    const leave = count(this.#addresses, address);
    return once(() => {
      this.#connections -= 1;
      leave();
    });
  }

  /**
   * Counts a connection to a document.
   * @throws {@link IndelibleError} `document_full`
   */
  join(document: string): Release {
    this.checkRoom(document);
    return once(count(this.#documents, document));
  }

  /**
   * Whether a document has room, asked before anything is loaded for it; {@link join} decides.
   * @throws {@link IndelibleError} `document_full`
   */
  checkRoom(document: string): void {
    if ((this.#documents.get(document) ?? 0) >= this.#options.connectionsPerDocument) {
      throw new IndelibleError('document_full');
    }
  }

  /** Meters what one socket sends. */
  meter(): Meter {
    return new Meter(new Bucket(this.#options.socket), (user) => this.#serve(user));
  }

  /**
   * Counts a request of a user with what their sockets send.
   * @param user - `null` for all who were not asked who they are
   * @throws {@link IndelibleError} `too_many_requests`
   */
  request(user: string | null, bytes: number): void {
    const now = performance.now();
    if (this.#asking.get(user ?? '')?.bucket.isEmpty(now) === true)
      throw new IndelibleError('too_many_requests');
    this.#ask(user ?? '').take(bytes, now);
  }

  /** Counts more bytes of a request that was counted. */
  bytes(user: string | null, bytes: number): void {
    this.#ask(user ?? '').takeBytes(bytes);
  }

  /** Remembered until it would be full again. */
  #ask(user: string): Bucket {
    const known = this.#asking.get(user);
    const { bucket, release } = known ?? this.#serve(user);
    clearTimeout(known?.timer);
    const timer = setTimeout(() => {
      this.#asking.delete(user);
      release();
    }, BURST_SECONDS * 1000).unref();
    this.#asking.set(user, { bucket, release, timer });
    return bucket;
  }

  #serve(user: string): { bucket: Bucket; release: Release } {
    const entry = this.#users.get(user) ?? { bucket: new Bucket(this.#options.user), meters: 0 };
    this.#users.set(user, entry);
    entry.meters += 1;
    const release = once(() => {
      entry.meters -= 1;
      if (entry.meters === 0) this.#users.delete(user);
    });
    return { bucket: entry.bucket, release };
  }
}

/** What one socket may send. */
export class Meter {
  readonly #own: Bucket;
  readonly #serve: (user: string) => { bucket: Bucket; release: Release };
  readonly #users = new Map<string, { bucket: Bucket; release: Release }>();

  constructor(own: Bucket, serve: (user: string) => { bucket: Bucket; release: Release }) {
    this.#own = own;
    this.#serve = serve;
  }

  /** From now on, what arrives is counted for this user too. */
  countFor(user: string): void {
    if (!this.#users.has(user)) this.#users.set(user, this.#serve(user));
  }

  /** Counts a frame. @returns for how many milliseconds no more should be read */
  charge(bytes: number): number {
    const now = performance.now();
    let rest = this.#own.take(bytes, now);
    for (const { bucket } of this.#users.values()) rest = Math.max(rest, bucket.take(bytes, now));
    return rest;
  }

  release(): void {
    for (const { release } of this.#users.values()) release();
    this.#users.clear();
  }
}

/** A token bucket for frames and bytes. It may be overdrawn, since what has arrived is handled; then there is a rest. */
class Bucket {
  readonly #rate: Rate;
  #frames: number;
  #bytes: number;
  #at = performance.now();

  constructor(rate: Rate) {
    this.#rate = rate;
    this.#frames = rate.frames * BURST_SECONDS;
    this.#bytes = rate.bytes * BURST_SECONDS;
  }

  isEmpty(now: number): boolean {
    this.#fill(now);
    return this.#frames <= 0 || this.#bytes <= 0;
  }

  #fill(now: number): void {
    const seconds = (now - this.#at) / 1000;
    this.#at = now;
    const { frames, bytes } = this.#rate;
    this.#frames = Math.min(frames * BURST_SECONDS, this.#frames + seconds * frames);
    this.#bytes = Math.min(bytes * BURST_SECONDS, this.#bytes + seconds * bytes);
  }

  takeBytes(bytes: number): void {
    this.#bytes -= bytes;
  }

  take(bytes: number, now: number): number {
    this.#fill(now);
    const { frames, bytes: bytesPerSecond } = this.#rate;
    this.#frames -= 1;
    this.takeBytes(bytes);
    const lacking = Math.max(-this.#frames / frames, -this.#bytes / bytesPerSecond);
    return lacking > 0 ? Math.ceil(lacking * 1000) : 0;
  }
}

function count(counts: Map<string, number>, key: string): () => void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
  return () => {
    const left = (counts.get(key) ?? 1) - 1;
    if (left > 0) counts.set(key, left);
    else counts.delete(key);
  };
}

function once(work: () => void): Release {
  let isDone = false;
  return () => {
    if (isDone) return;
    isDone = true;
    work();
  };
}
