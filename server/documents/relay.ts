import * as Y from 'yjs';
import type {
  Answer,
  Cluster,
  ClusterEvents,
  ConnectionInfo,
  Deletion,
  ConnectionsOf,
  LogPosition,
  Purpose,
} from '../cluster/cluster.ts';
import { messageOf } from '../errors.ts';
import { stagger } from '../lifecycle.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import type { CommittedUpdate } from '../storage/log-reader.ts';
import type { KeyedRequest } from '../storage/requests.ts';
import type { Durable } from './acks.ts';
import type { OpenDocument } from './open-document.ts';
import { decodePending, encodePending, type Attribution, type PendingEdit } from './pending-edits.ts';
import { checkUpdate, type UpdateLimits } from './update-check.ts';

/** What another instance has brought is normally confirmed within milliseconds; after this time it is written here, too. */
const CONFIRMED_MS = 500;
/** What has changed is compared with the other instances this often, though nothing seems to be missing. */
const COMPARE_MS = 10_000;
/** A document is compared at most this often, whatever arrives of it; the others have answered by then, or will not. */
const COMPARE_AGAIN_MS = 1_000;
/** How often what others may have committed is read, a second apart: the last of it may be on its way to Postgres. */
const READINGS = 2;
/** And where it was too large to be told. */
const READINGS_OF_LARGE = 30;
/** When Redis is back all documents are compared, over this time. */
const COMPARE_ALL_MS = 2_000;
/** The others answer within a second, and tell of their people when the turn ends. */
const TOLD_AGAIN_MS = 3_000;
/** Origin of what other instances bring; Hocuspocus schedules no store for it. */
const RELAYED = { source: 'redis' } as const;
/** It has passed the limits of the instance that it came in at. */
const NO_LIMITS: UpdateLimits = { structs: Infinity, clients: Infinity };

/** What the relay needs of the hub. */
export interface RelayHub {
  readonly log: Log;
  readonly metrics: Metrics;
  /** Whether nothing is committed at the moment. */
  readonly isFailing: boolean;
  /** A document that is open, and can be trusted. */
  opened(name: string): OpenDocument | undefined;
  documents(): Iterable<OpenDocument>;
  /** Writes an update into the log of this instance, and tells nobody. */
  write(open: OpenDocument, update: Uint8Array, author: string | null, request?: KeyedRequest): void;
  /** What a document holds by now is acknowledged when the database has confirmed it, whoever wrote it. */
  confirm(open: OpenDocument): void;
  /** What of a document is committed. */
  durable(open: OpenDocument): Durable;
  /** Sends the acks that are due. */
  settleAll(): void;
  rebuild(open: OpenDocument, error: unknown): void;
  /** Commits once more what is in memory of a document, if it is open. */
  writeAgain(name: string): void;
  disconnect(whose: ConnectionsOf): void;
  connectionsTo(name: string): readonly ConnectionInfo[];
  /** Access was taken back at another instance. */
  onRevoked(): void;
  /** Another instance has deleted a document, or renamed it, and stored that. */
  deletedElsewhere(deletion: Deletion): void;
  /** Documents may have been deleted at other instances. */
  onDeleted(): void;
}

/** The documents of this instance, and those of the others. */
export class Relay implements ClusterEvents {
  readonly #cluster: Cluster;
  readonly #hub: RelayHub;
  /** Documents that hold what another instance has brought and nobody has confirmed. */
  readonly #unconfirmed = new Set<OpenDocument>();
  /** Documents with pending edits of requests. */
  readonly #pending = new Set<OpenDocument>();
  /** Documents that were changed here since they were compared: who has told of a change asks whether it was heard. */
  readonly #changed = new Set<OpenDocument>();
  /** Documents of which others may have committed what they did not tell, and how often they are still to be read. */
  readonly #behind = new Map<OpenDocument, number>();
  /** Documents that are being compared, or were a moment ago; and whether they should be again. */
  readonly #comparing = new Map<OpenDocument, 'once' | 'again'>();
  #takeOverTimer: NodeJS.Timeout | undefined;
  readonly #compareTimer: NodeJS.Timeout;

  constructor(cluster: Cluster, hub: RelayHub) {
    this.#cluster = cluster;
    this.#hub = hub;
    cluster.listen(this);
    this.#compareTimer = setInterval(() => this.#compareChanged(), COMPARE_MS);
    this.#compareTimer.unref();
  }

  /** Hears of a document that is being opened. */
  join(name: string): void {
    this.#cluster.join(name);
  }

  /** Resolves when the document has what the others have, or they take too long. */
  async catchUp(open: OpenDocument): Promise<void> {
    this.#comparing.set(open, 'once');
    await this.#ask(open, 'joining');
    this.#compared(open);
  }

  /**
   * Resolves when a document that is open has what the others have told by now, or they take too long; at once when it was compared a
   * moment ago.
   */
  async refresh(open: OpenDocument): Promise<void> {
    if (!this.#comparing.has(open)) await this.#askAll(open);
  }

  /** Hears no more of a document. */
  leave(name: string, open: OpenDocument | undefined): void {
    this.#cluster.leave(name);
    if (open === undefined) return;
    this.#unconfirmed.delete(open);
    this.#pending.delete(open);
    this.#changed.delete(open);
    this.#behind.delete(open);
  }

  /** Names of the documents of which others may have committed what they did not tell. */
  behind(): string[] {
    return [...this.#behind.keys()].map(({ name }) => name);
  }

  /** What has been committed lately of these has been taken in. */
  caughtUp(names: readonly string[]): void {
    const read = new Set(names);
    for (const [open, left] of this.#behind) {
      if (!read.has(open.name)) continue;
      if (left > 1) this.#behind.set(open, left - 1);
      else this.#behind.delete(open);
    }
  }

  /** Tells the others of an update that has just been written into the log. */
  tell(open: OpenDocument, update: Uint8Array): void {
    this.#cluster.relay(open.name, update, open.lastSequence);
    this.#changed.add(open);
  }

  /**
   * Tells the others of the edit of a request, and whose it is: so they can commit it as this instance would; and where the request is
   * tried as well, they know that it is done.
   */
  tellRequest(open: OpenDocument, update: Uint8Array, attribution: Attribution): void {
    this.#isPending(open, { ...attribution, update, due: open.due });
    this.#cluster.relay(open.name, update, open.lastSequence, JSON.stringify(attribution));
    this.#changed.add(open);
  }

  #isPending(open: OpenDocument, edit: PendingEdit): void {
    open.pending.add(edit);
    this.#pending.add(open);
  }

  /** Pending edits that were committed meanwhile are forgotten. */
  #forgetCommitted(): void {
    for (const open of this.#pending) {
      open.pending.committed(this.#hub.durable(open));
      if (open.pending.isEmpty) this.#pending.delete(open);
    }
  }

  /** Tells the others that rows of a document were set aside. */
  tellDamage(name: string): void {
    this.#cluster.damaged(name);
  }

  /** A document was stored with its first content, which those who have it open lack. */
  tellStored(name: string, update: Uint8Array): void {
    this.takeCommitted([{ document: name, update }]);
    this.#cluster.stored(name);
  }

  /** Something may be committed to a document. */
  mayBeStored(name: string): void {
    const open = this.#hub.opened(name);
    if (open !== undefined) this.#isBehind(open, READINGS_OF_LARGE);
    this.#cluster.stored(name);
  }

  /** Tells the others of those who are connected here. */
  tellPresence(open: OpenDocument, ids: number[]): void {
    if (ids.length === 0) return;
    this.#cluster.tellPresence(open.name, ids, (all) => open.presence.encodeThose(all));
  }

  /** The log of this instance has committed up to a number. */
  logCommitted(sequence: number): void {
    this.#cluster.committed(sequence);
    for (const open of this.#unconfirmed) open.relayed.committed(sequence);
    this.#forgetConfirmed();
    this.#forgetCommitted();
  }

  /** Takes in what others have committed, and could not tell. */
  takeCommitted(updates: readonly CommittedUpdate[]): void {
    for (const { document, update } of updates) {
      const open = this.#hub.opened(document);
      const news = open && this.#takeIn(open, update);
      if (open !== undefined && news) this.#hub.confirm(open);
    }
  }

  close(): void {
    clearInterval(this.#compareTimer);
    clearTimeout(this.#takeOverTimer);
  }

  updated(name: string, update: Uint8Array, position: LogPosition, attribution: string): void {
    const open = this.#hub.opened(name);
    if (open !== undefined)
      this.#receive(
        open,
        update,
        position,
        attribution === '' ? null : (JSON.parse(attribution) as Attribution),
      );
  }

  #receive(
    open: OpenDocument,
    update: Uint8Array,
    position: LogPosition,
    attribution: Attribution | null,
  ): void {
    const news = this.#takeIn(open, update);
    // Whose it is may be told after what it is.
    const unconfirmed = news === null && attribution !== null ? update : news;
    if (!unconfirmed) return;
    open.relayed.add(position, unconfirmed, attribution);
    // Whatever else waits in the log of this instance.
    const due = { sequence: 0, relayed: open.relayed.received };
    if (attribution !== null) this.#isPending(open, { ...attribution, update, due });
    this.#unconfirmed.add(open);
    this.#takeOverTimer ??= setTimeout(() => this.#takeOverLate(), CONFIRMED_MS);
  }

  /** What is not confirmed here goes to the log first, since the answer speaks for all of it. */
  asked(name: string, stateVector: Uint8Array, purpose: Purpose): Answer | null {
    const open = this.#hub.opened(name);
    if (open === undefined) return null;
    const [own, theirs] = [clocksOf(open.document), Y.decodeStateVector(stateVector)];
    if (isAhead(theirs, own)) this.#compare(open);
    // It may have let those go who are here.
    if (purpose === 'returning') open.presence.sayAllAgain();
    const isWanted = purpose === 'joining' || purpose === 'comparing' || !open.pending.isEmpty;
    if (!isWanted && !isAhead(own, theirs)) return null;
    this.takeOver(open);
    return {
      update: Y.encodeStateAsUpdate(open.document, stateVector),
      sequence: open.lastSequence,
      presence: open.presence.encodeOwn(),
      pending: encodePending(open.pending.all()),
    };
  }

  answered(name: string, answer: Answer, position: LogPosition, instance: string): void {
    const { update, presence, pending } = answer;
    const open = this.#hub.opened(name);
    if (open === undefined) return;
    // Before the rest, which holds them, too.
    for (const { update: bytes, ...attribution } of decodePending(pending))
      if (!open.pending.has(attribution.record)) this.#receive(open, bytes, position, attribution);
    if (update.byteLength > 0) this.#receive(open, update, position, null);
    else this.#isBehind(open, READINGS_OF_LARGE);
    open.presence.replaceRelayed(presence, instance);
  }

  presence(name: string, presence: Uint8Array, instance: string): void {
    this.#hub.opened(name)?.presence.receiveRelayed(presence, instance);
  }

  missed(name: string, closedBy: string | null): void {
    const open = this.#hub.opened(name);
    if (open === undefined) return;
    if (closedBy !== null) open.presence.forgetInstance(closedBy);
    this.#hub.metrics.gaps.inc();
    this.#compare(open);
  }

  stored(name: string): void {
    const open = this.#hub.opened(name);
    if (open !== undefined) this.#isBehind(open);
  }

  committed(position: LogPosition): void {
    let isNews = false;
    for (const { relayed } of this.#unconfirmed) {
      const before = relayed.durable;
      relayed.confirm(position);
      isNews ||= relayed.durable > before;
    }
    if (!isNews) return;
    this.#forgetConfirmed();
    this.#forgetCommitted();
    this.#hub.settleAll();
  }

  damaged(name: string): void {
    this.#hub.writeAgain(name);
  }

  /** What it committed last it may not have told. */
  left(instance: string): void {
    for (const open of this.#hub.documents()) {
      open.presence.forgetInstance(instance);
      this.#isBehind(open);
    }
  }

  returned(): void {
    this.#forEachOpen(COMPARE_ALL_MS, ({ presence }) => presence.sayAllAgain());
  }

  reconnected(): void {
    // It may be among what was lost.
    this.#hub.onDeleted();
    this.#forEachOpen(COMPARE_ALL_MS, (open) => {
      open.presence.sayAllAgain();
      const since = performance.now();
      // Does not reject.
      void this.#ask(open, 'returning');
      // Who was not told of again by then has left meanwhile.
      setTimeout(() => open.presence.forgetUntold(since), TOLD_AGAIN_MS).unref();
    });
  }

  /** One after the other over this time, or they would all be answered at once. */
  #forEachOpen(ms: number, each: (open: OpenDocument) => void, documents = this.#hub.documents()): void {
    const names = [...documents].map(({ name }) => name);
    // Does not reject.
    void stagger(names, ms, (name) => {
      const open = this.#hub.opened(name);
      if (open !== undefined) each(open);
    });
  }

  revoked(): void {
    this.#hub.onRevoked();
  }

  deleted(deletion: Deletion): void {
    this.#hub.deletedElsewhere(deletion);
  }

  connectionsTo(name: string): readonly ConnectionInfo[] {
    return this.#hub.connectionsTo(name);
  }

  disconnected(whose: ConnectionsOf): void {
    this.#hub.disconnect(whose);
  }

  /** @returns what it has brought; `null` when that is nothing, `undefined` when it cannot be taken in */
  #takeIn(open: OpenDocument, update: Uint8Array): Uint8Array | null | undefined {
    let shape;
    try {
      shape = checkUpdate(update, NO_LIMITS);
    } catch (error) {
      // It has passed this where it came in: another version has other rules, and what it stores there is set aside here.
      this.#hub.log.warn(
        { document: open.name, err: messageOf(error) },
        'an edit of another instance is passed over',
      );
      return undefined;
    }
    try {
      return open.apply(open.weigh(update, shape), RELAYED);
    } catch (error) {
      this.#hub.rebuild(open, error);
      return undefined;
    }
  }

  #forgetConfirmed(): void {
    for (const open of this.#unconfirmed) if (open.relayed.isEmpty) this.#unconfirmed.delete(open);
  }

  #takeOverLate(): void {
    this.#takeOverTimer = undefined;
    // While nothing is committed here either it would be committed no sooner, and once for each instance.
    if (!this.#hub.isFailing)
      for (const open of this.#unconfirmed) this.takeOver(open, performance.now() - CONFIRMED_MS);
    if (this.#unconfirmed.size > 0)
      this.#takeOverTimer = setTimeout(() => this.#takeOverLate(), CONFIRMED_MS / 2);
  }

  /** Writes what others have brought into the log of this instance, whether or not they do. */
  takeOver(open: OpenDocument, since = performance.now()): void {
    open.relayed.takeOver(since, (update, attribution) => {
      const request = attribution && { record: attribution.record, onRepeated: () => true };
      this.#hub.write(open, update, attribution?.author ?? null, request ?? undefined);
      return open.lastSequence;
    });
  }

  /** Others may have committed what they did not tell: it is read from the database, so many times. */
  #isBehind(open: OpenDocument, readings = READINGS): void {
    this.#behind.set(open, Math.max(readings, this.#behind.get(open) ?? 0));
  }

  #compareChanged(): void {
    // Does not reject.
    this.#forEachOpen(COMPARE_MS / 2, (open) => void this.#check(open), this.#changed);
    this.#changed.clear();
  }

  async #check(open: OpenDocument): Promise<void> {
    if (!(await this.#ask(open, 'checking')) && this.#hub.opened(open.name) === open) this.#changed.add(open);
  }

  /** Asks everybody, and once more if that was asked for meanwhile. */
  #compare(open: OpenDocument): void {
    if (this.#comparing.has(open)) {
      this.#comparing.set(open, 'again');
      return;
    }
    // Does not reject.
    void this.#askAll(open);
  }

  async #askAll(open: OpenDocument): Promise<void> {
    this.#comparing.set(open, 'once');
    setTimeout(() => this.#compared(open), COMPARE_AGAIN_MS);
    await this.#ask(open, 'comparing');
  }

  #compared(open: OpenDocument): void {
    const isAgain = this.#comparing.get(open) === 'again';
    this.#comparing.delete(open);
    if (isAgain && this.#hub.opened(open.name) === open) this.#compare(open);
  }

  /** @returns whether others know what is asked for; does not reject */
  async #ask(open: OpenDocument, purpose: Purpose): Promise<boolean> {
    const stateVector = Y.encodeStateVector(open.document);
    const isComplete = await this.#cluster.ask(open.name, stateVector, purpose);
    const isOpen = this.#hub.opened(open.name) === open;
    if (!isComplete && isOpen) this.#isBehind(open);
    return isComplete;
  }
}

function clocksOf({ store }: Y.Doc): Map<number, number> {
  return new Map([...store.clients.keys()].map((client) => [client, Y.getState(store, client)]));
}

/** Whether the one has clocks that the other lacks. */
function isAhead(one: ReadonlyMap<number, number>, other: ReadonlyMap<number, number>): boolean {
  return [...one].some(([client, clock]) => clock > (other.get(client) ?? 0));
}
