import type { Cluster, Deletion } from '../cluster/cluster.ts';
import { IndelibleError, messageOf } from '../errors.ts';
import { repeat } from '../lifecycle.ts';
import type { Log } from '../log.ts';
import type { RequestRecord } from '../storage/requests.ts';
import { OutcomeUnknown, isTransient } from '../storage/sql-errors.ts';
import type { Tombstones } from '../storage/tombstones.ts';

/** What other instances have deleted is known here after this time at most, though nobody has told. */
const POLL_MS = 5_000;
/** What was deleted long enough ago is erased so often. */
const SWEEP_MS = 60 * 60 * 1_000;

/** What deleting needs of the hub. */
export interface RemoverHub {
  deleted(name: string, isGone: (id: string) => boolean): void;
  renamed(to: string): void;
}

/** Deletes documents: in the database first, then here; and finds out what other instances have deleted. */
export class Remover {
  readonly #tombstones: Tombstones;
  readonly #hub: RemoverHub;
  readonly #cluster: Cluster;
  readonly #keepMs: number;
  readonly #log: Log;
  readonly #stops: (() => void)[] = [];

  constructor(options: {
    tombstones: Tombstones;
    hub: RemoverHub;
    cluster: Cluster;
    /** How long what is deleted can be restored, in milliseconds. */
    keepMs: number;
    log: Log;
  }) {
    this.#tombstones = options.tombstones;
    this.#hub = options.hub;
    this.#cluster = options.cluster;
    this.#keepMs = options.keepMs;
    this.#log = options.log;
  }

  /**
   * Begins to look for what other instances delete; to be called before a document is opened.
   * @throws what `pg` throws when the database does not answer
   */
  async start(): Promise<void> {
    await this.#tombstones.readNew();
    this.#stops.push(
      repeat(POLL_MS, () => this.catchUp()),
      repeat(SWEEP_MS, () => this.#sweep()),
    );
    void this.#sweep();
  }

  /** @throws {@link IndelibleError} `document_missing` */
  async delete(name: string, request?: RequestRecord): Promise<void> {
    if (!(await this.#delete(name, request))) throw new IndelibleError('document_missing');
  }

  /** @throws {@link IndelibleError} `document_missing`, `document_exists` */
  async restore(name: string, request?: RequestRecord): Promise<void> {
    const id = await this.#tombstones.restore(name, request);
    if (id === null) throw new IndelibleError('document_missing', 'to restore');
  }

  /** @throws {@link IndelibleError} `document_missing`, `document_exists` */
  async rename(name: string, to: string, request?: RequestRecord): Promise<void> {
    const id = await this.#tombstones.rename(name, to, request);
    if (id === null) throw new IndelibleError('document_missing');
    this.#tell({ document: name, id, to });
    this.#hub.renamed(to);
  }

  /** @throws {@link IndelibleError} `document_missing`; {@link OutcomeUnknown} when it may be deleted, and not erased */
  async erase(name: string, request?: RequestRecord): Promise<void> {
    const isDeleted = await this.#delete(name);
    if (!(await this.#erase(name, request, isDeleted))) throw new IndelibleError('document_missing');
  }

  async #erase(name: string, request: RequestRecord | undefined, isDeleted: boolean): Promise<boolean> {
    try {
      return await this.#tombstones.erase(name, request);
    } catch (error) {
      throw isDeleted && isTransient(error) ? new OutcomeUnknown(error) : error;
    }
  }

  /** Reads what other instances have deleted; an error is logged, since it is read again. */
  async catchUp(): Promise<void> {
    try {
      for (const { name, document } of await this.#tombstones.readNew())
        this.#hub.deleted(name, (id) => id !== document);
    } catch (error) {
      // Health and commits say loudly that the database is away, and nothing is committed to what is deleted.
      this.#log.debug({ err: messageOf(error) }, 'deletions cannot be read');
    }
  }

  async #delete(name: string, request?: RequestRecord): Promise<boolean> {
    const id = await this.#tombstones.delete(name, request);
    if (id !== null) this.#tell({ document: name, id });
    return id !== null;
  }

  #tell(deletion: Deletion): void {
    this.#hub.deleted(deletion.document, (id) => id === deletion.id);
    this.#cluster.deleted(deletion);
  }

  close(): void {
    for (const stop of this.#stops.splice(0)) stop();
  }

  async #sweep(): Promise<void> {
    try {
      const erased = await this.#tombstones.eraseOld(this.#keepMs);
      if (erased > 0) this.#log.info({ erased }, 'documents that were deleted long ago are erased');
    } catch (error) {
      this.#log.debug({ err: messageOf(error) }, 'what was deleted long ago cannot be erased');
    }
  }
}
