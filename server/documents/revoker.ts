import { isDocumentName, isUserId } from '../auth/names.ts';
import type { Revocation, RevocationRequest, Revocations } from '../auth/revocations.ts';
import type { Cluster } from '../cluster/cluster.ts';
import { IndelibleError, messageOf } from '../errors.ts';
import { repeat } from '../lifecycle.ts';
import type { Log } from '../log.ts';
import type { RevocationStore } from '../storage/revocation-store.ts';
import type { Hub } from './hub.ts';

/** Revocations made at other instances are known here after this time at most, though nobody has told. */
const POLL_MS = 5_000;

/** Takes access back: in the database first, then here; and finds out what other instances took back. */
export class Revoker {
  readonly #store: RevocationStore;
  readonly #revocations: Revocations;
  readonly #hub: Hub;
  readonly #cluster: Cluster;
  readonly #log: Log;
  #stop: (() => void) | undefined;

  constructor(options: {
    store: RevocationStore;
    revocations: Revocations;
    hub: Hub;
    cluster: Cluster;
    log: Log;
  }) {
    this.#store = options.store;
    this.#revocations = options.revocations;
    this.#hub = options.hub;
    this.#cluster = options.cluster;
    this.#log = options.log;
  }

  /**
   * Reads what is stored, and goes on doing so.
   * @throws what `pg` throws when the database does not answer
   */
  async start(): Promise<void> {
    await this.#read();
    this.#stop = repeat(POLL_MS, () => this.catchUp());
  }

  /**
   * Takes access back; resolves when that is stored and sockets here are closed.
   * @throws {@link IndelibleError} `bad_revocation` when it names nothing, or nothing that can be; what `pg` throws when
   * the database does not answer: nothing is revoked then, unless it is an {@link OutcomeUnknown}
   */
  async revoke({ document, user }: RevocationRequest): Promise<void> {
    if (document === undefined && user === undefined) {
      throw new IndelibleError('bad_revocation', 'it names neither');
    }
    if (document !== undefined && !isDocumentName(document)) throw new IndelibleError('bad_name');
    if (user !== undefined && !isUserId(user)) throw new IndelibleError('bad_revocation', 'no id of a user');
    this.#learn(await this.#store.save(document ?? null, user ?? null));
    this.#cluster.revoked();
  }

  /** Reads what other instances have stored; an error is logged, since it is read again. */
  async catchUp(): Promise<void> {
    try {
      await this.#read();
    } catch (error) {
      // Health and commits say loudly that the database is away; what is known goes on being refused.
      this.#log.debug({ err: messageOf(error) }, 'revocations cannot be read');
    }
  }

  close(): void {
    this.#stop?.();
  }

  async #read(): Promise<void> {
    for (const revocation of await this.#store.readNew()) this.#learn(revocation);
  }

  #learn(revocation: Revocation): void {
    if (this.#revocations.add(revocation)) this.#hub.endRevoked();
  }
}
