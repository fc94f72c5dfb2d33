import * as decoding from 'lib0/decoding';
import { uint32 } from 'lib0/random';
import * as Y from 'yjs';

/** Rows that are tried when one of them makes another throw; each try rebuilds the document. */
const MAX_SUSPECTS = 100;

/** One update of the log that no snapshot holds yet. */
interface TailRow {
  readonly id: string;
  readonly update: Uint8Array;
}

/** What a document is made of: the snapshot and every update after it. */
export interface StoredContent {
  readonly snapshot: Uint8Array | null;
  readonly tail: readonly TailRow[];
}

/** A document as the database has it, read at one moment. */
export interface StoredDocument extends StoredContent {
  readonly id: string;
  /** The history that it was read from; in another one its ids, and those of its rows, are somebody else's. */
  readonly timeline: string | null;
  /** Of the snapshot's row (`xmin`): another one means that it was replaced since. */
  readonly version: string | null;
  /** Whether commits wait for standbys: some of it may be there only because Postgres has crashed while one did. */
  readonly isReplicated: boolean;
}

/** A row that cannot be applied, and what it throws. */
export interface UnreadableRow {
  readonly row: TailRow;
  readonly error: unknown;
}

/**
 * Applies snapshot and tail in one transaction; their order does not matter, since updates commute. (One transaction
 * makes 10,000 rows take 20 to 36 ms; merging them pairwise first is quadratic.)
 * @throws whatever Yjs throws on an update that it cannot apply; `doc` is of no use then
 */
export function applyStored(doc: Y.Doc, { snapshot, tail }: StoredContent): void {
  const updates = tail.map(({ update }) => update);
  applyUpdates(doc, snapshot === null ? updates : [snapshot, ...updates]);
}

/**
 * Applies what is stored, or a part of it, in one transaction, and changes nothing by itself: after updates of others Yjs deletes
 * formatting of nested texts which it finds to be of no use, and which may be of use when the next part has come. For documents
 * in which nobody has looked for an index yet: after a transaction that is not of others Yjs keeps its search markers.
 * @throws whatever Yjs throws on an update that it cannot apply
 */
export function applyUpdates(doc: Y.Doc, updates: readonly Uint8Array[]): void {
  doc.transact((transaction) => {
    for (const update of updates) applyUpdate(doc, update);
    transaction.local = true;
  });
  // What Yjs does after updates of others, too.
  while (doc.store.clients.has(doc.clientID)) doc.clientID = uint32();
}

/**
 * Applies an update so that what waits for missing ones waits no longer than it must, and never holds clocks that the document
 * has. Yjs tries it again only when a clock has come that it had noted, and misses some: of 400 shuffled histories 28 were left
 * with edits that waited for nothing. And it keeps a struct aside as it came, though a part of it may be known by then, or
 * become so: with other text in its place the document would be another one for each newcomer, and when it is loaded. So only
 * what the document lacks is taken of it: else Yjs waits for what a known struct builds on, and where the part of a struct that
 * the document has is not what comes, since somebody else has claimed those clocks, it throws.
 * @throws whatever Yjs throws
 */
export function applyUpdate(doc: Y.Doc, update: Uint8Array, origin?: unknown): void {
  const news = isKnownInPart(doc, update) ? Y.diffUpdate(update, Y.encodeStateVector(doc)) : update;
  Y.applyUpdate(doc, news, origin);
  for (let hasGone = true; hasGone;) hasGone = tryWaiting(doc, origin);
}

/** Whether the document has clocks of an update already. One client's, as it is mostly, is looked at without being decoded. */
function isKnownInPart({ store }: Y.Doc, update: Uint8Array): boolean {
  const decoder = decoding.createDecoder(update);
  const clients = decoding.readVarUint(decoder);
  if (clients === 0 || store.clients.size === 0) return false;
  if (clients > 1) return isAnyKnown(store, Y.parseUpdateMeta(update).from);
  decoding.readVarUint(decoder);
  const client = decoding.readVarUint(decoder);
  return isAnyKnown(store, [[client, decoding.readVarUint(decoder)]]);
}

function isAnyKnown(store: Y.Doc['store'], starts: Iterable<[client: number, clock: number]>): boolean {
  for (const [client, clock] of starts) if (clock < Y.getState(store, client)) return true;
  return false;
}

/** How the document stood when what waits was tried in vain. */
const triedAt = new WeakMap<Uint8Array, string>();

/** @returns whether some of what waits was applied, or is known and was dropped */
function tryWaiting(doc: Y.Doc, origin: unknown): boolean {
  const waiting = doc.store.pendingStructs;
  if (waiting === null) return false;
  const before = standingOf(doc, waiting);
  if (triedAt.get(waiting.update) === before) return false;
  const isNext = startsOf(waiting.update).some(([client, clock]) => clock <= Y.getState(doc.store, client));
  if (!isNext) return false;
  doc.store.pendingStructs = null;
  Y.applyUpdateV2(doc, Y.diffUpdateV2(waiting.update, Y.encodeStateVector(doc)), origin);
  const left = doc.store.pendingStructs as typeof waiting | null;
  if (left === null) return true;
  const after = standingOf(doc, left);
  if (after !== before) return true;
  triedAt.set(left.update, after);
  return false;
}

/** Where that begins which waits, and how much the document has of those on whom it depends. */
function standingOf(
  { store }: Y.Doc,
  { missing, update }: { missing: Map<number, number>; update: Uint8Array },
): string {
  const states = [...missing.keys()].map((client) => [client, Y.getState(store, client)]);
  const starts = startsOf(update).map(([client, clock]) => [client, clock, Y.getState(store, client)]);
  return JSON.stringify([states, starts]);
}

/** Where the edits of each client begin that wait; remembered, since they may be large, and wait while others type. */
const starts = new WeakMap<Uint8Array, [client: number, clock: number][]>();

function startsOf(waiting: Uint8Array): [client: number, clock: number][] {
  const known = starts.get(waiting);
  if (known !== undefined) return known;
  const found = [...Y.parseUpdateMetaV2(waiting).from];
  starts.set(waiting, found);
  return found;
}

/**
 * The rows of the tail that cannot be applied, each tried on a document that holds everything before it.
 * Slow, so only for a document whose loading threw.
 * @throws when the snapshot itself cannot be applied
 */
export function findUnreadable(stored: StoredContent): UnreadableRow[] {
  const unreadable: UnreadableRow[] = [];
  let readable: TailRow[] = [];
  let kept: TailRow[] = [];
  let doc = rebuild(stored, readable);
  for (const row of stored.tail) {
    try {
      const aside = doc.store.pendingStructs?.update;
      applyUpdate(doc, row.update);
      readable.push(row);
      if (doc.store.pendingStructs !== null && doc.store.pendingStructs.update !== aside) kept.push(row);
    } catch (error) {
      const guilty = findGuilty(stored, readable, kept, row);
      unreadable.push({ row: guilty, error });
      readable = [...readable, row].filter((each) => each !== guilty);
      kept = kept.filter((each) => each !== guilty);
      // What threw may have been applied in part, so go on with a document that has not seen it.
      doc = rebuild(stored, readable);
    }
  }
  return unreadable;
}

/**
 * A row may throw only because it brings the predecessors of an earlier one, which was kept aside until then and is the
 * one that cannot be applied: then the document takes the row when it is without the other.
 * @param kept - the rows of `readable` that were kept aside when they were applied
 */
function findGuilty(
  stored: StoredContent,
  readable: readonly TailRow[],
  kept: readonly TailRow[],
  row: TailRow,
): TailRow {
  const isSuspect = (suspect: TailRow) => {
    try {
      rebuild(
        stored,
        [...readable, row].filter((each) => each !== suspect),
      );
      return true;
    } catch {
      return false;
    }
  };
  return kept.slice(0, MAX_SUSPECTS).find(isSuspect) ?? row;
}

function rebuild(stored: StoredContent, tail: readonly TailRow[]): Y.Doc {
  const doc = new Y.Doc();
  applyStored(doc, { ...stored, tail });
  return doc;
}

/**
 * The document merged into one update. Deleted text is dropped; updates whose predecessors are missing are kept.
 * @returns `null` when the merged update would not give the same document back: then it must not replace its sources
 * @throws what Yjs throws on an update that it cannot apply
 */
export function mergeStored(stored: StoredContent): Uint8Array | null {
  const doc = rebuild(stored, stored.tail);
  const state = Y.encodeStateAsUpdate(doc);
  const copy = new Y.Doc();
  Y.applyUpdate(copy, state);
  // Encoding puts together what was kept aside in pieces, and more of it may apply then than did here.
  Y.applyUpdate(doc, state);
  const isSame =
    Y.equalSnapshots(Y.snapshot(doc), Y.snapshot(copy)) &&
    sameBytes(doc.store.pendingStructs?.update, copy.store.pendingStructs?.update) &&
    sameBytes(doc.store.pendingDs, copy.store.pendingDs);
  return isSame ? state : null;
}

/** Whether two runs of bytes, or their absence, are the same. */
export function sameBytes(a: Uint8Array | null | undefined, b: Uint8Array | null | undefined): boolean {
  return a === b || (a != null && b != null && Buffer.compare(a, b) === 0);
}
