import * as Y from 'yjs';
import { IndelibleError, messageOf } from '../errors.ts';
import type { DocumentRows, LogRow } from '../storage/document-rows.ts';
import { applyStored, findUnreadable, sameBytes } from '../storage/stored-document.ts';
import { checkUpdate, type UpdateLimits } from './update-check.ts';

const CHECKSUM_DIFFERS = 'checksum differs';

/** What is known about a stored document; each verdict is a short phrase. */
export interface Inspection {
  /** `null` when there is no snapshot. */
  readonly snapshot: string | null;
  readonly log: readonly { row: LogRow; verdict: string }[];
}

/** What setting a row aside does to its document. */
export interface Consequence {
  /** Whether more goes than the row itself. */
  readonly isHarmful: boolean;
  readonly text: string;
}

/** A document as it would be loaded, and what the rows throw that it would be loaded without. */
interface Loaded {
  readonly doc: Y.Doc;
  readonly thrown: ReadonlyMap<string, unknown>;
}

/** Judges what is stored of a document by loading it as the server would, but for the marks that loading leaves. */
export function inspect(stored: DocumentRows, limits: UpdateLimits): Inspection {
  const { snapshot, log } = stored;
  const loaded = tryToLoad(stored);
  return {
    snapshot: snapshot && (snapshot.isIntact ? effectOf(snapshot.update, loaded) : CHECKSUM_DIFFERS),
    log: log.map((row) => ({ row, verdict: faultOf(row, limits, loaded) ?? effectOf(row.update, loaded) })),
  };
}

/** What the document is like without one of its rows. */
export function consequenceOf(stored: DocumentRows, row: LogRow): Consequence {
  const others = stored.log.filter((each) => each !== row);
  const [whole, rest] = [tryToLoad(stored), tryToLoad({ ...stored, log: others })];
  if (typeof rest === 'string') return { isHarmful: true, text: rest };
  if (typeof whole === 'string') return { isHarmful: false, text: 'the document can be loaded again' };
  const isLost = ({ update }: { update: Uint8Array }) =>
    endsOf(update).some((end) => hasReached(whole.doc, end) && !hasReached(rest.doc, end));
  const count = others.filter((each) => isUsed(each) && !whole.thrown.has(each.id) && isLost(each)).length;
  const lost = [
    ...(count > 0 ? [count === 1 ? '1 other update' : `${count} other updates`] : []),
    ...(stored.snapshot !== null && isLost(stored.snapshot) ? ['edits in the snapshot'] : []),
  ];
  if (lost.length > 0)
    return { isHarmful: true, text: `what builds on it waits for it: ${lost.join(' and ')}` };
  // Not by clocks alone: without it, edits of another row that claim the same clocks may take its place.
  const isSame = sameBytes(Y.encodeStateAsUpdate(whole.doc), Y.encodeStateAsUpdate(rest.doc));
  return {
    isHarmful: false,
    text: isSame ? 'the document is the same without it' : 'nothing else builds on it',
  };
}

/** What is wrong with a row itself; `null` when nothing is. */
function faultOf(row: LogRow, limits: UpdateLimits, loaded: Loaded | string): string | null {
  if (row.setAside !== null) return `set aside (${row.setAside})`;
  if (!row.isIntact) return CHECKSUM_DIFFERS;
  // First, since the document is loaded without it; what is merely refused today is in it.
  if (typeof loaded !== 'string' && loaded.thrown.has(row.id)) {
    return `throws: ${messageOf(loaded.thrown.get(row.id))}`;
  }
  const refusal = refusalOf(row.update, limits);
  return refusal && `would be refused: ${refusal}`;
}

function refusalOf(update: Uint8Array, limits: UpdateLimits): string | null {
  try {
    checkUpdate(update, limits);
    return null;
  } catch (error) {
    return error instanceof IndelibleError && error.detail ? error.detail : messageOf(error);
  }
}

/** What an update does in the document that it is a part of. */
function effectOf(update: Uint8Array, loaded: Loaded | string): string {
  if (typeof loaded === 'string') return `not known: ${loaded}`;
  return endsOf(update).every((end) => hasReached(loaded.doc, end)) ? 'sound' : 'waits for missing edits';
}

/** @returns why not when it cannot be loaded, not even without the rows that throw */
function tryToLoad(stored: DocumentRows): Loaded | string {
  if (stored.snapshot?.isIntact === false) return 'the snapshot does not match its checksum';
  try {
    return load(stored);
  } catch (error) {
    return `the document cannot be loaded: ${messageOf(error)}`;
  }
}

function load(stored: DocumentRows): Loaded {
  const content = { snapshot: stored.snapshot?.update ?? null, tail: stored.log.filter(isUsed) };
  const doc = new Y.Doc();
  try {
    applyStored(doc, content);
    return { doc, thrown: new Map() };
  } catch {
    const thrown = new Map(findUnreadable(content).map(({ row, error }) => [row.id, error]));
    const rest = new Y.Doc();
    applyStored(rest, { ...content, tail: content.tail.filter(({ id }) => !thrown.has(id)) });
    return { doc: rest, thrown };
  }
}

function isUsed({ isIntact, setAside }: LogRow): boolean {
  return isIntact && setAside === null;
}

/** A client, and the clock that the document has to reach before something of it has taken effect. */
type End = readonly [client: number, clock: number];

/** Where the items of an update and what it deletes end. Yjs integrates an item whole and keeps what is missing aside. */
function endsOf(update: Uint8Array): End[] {
  const { structs, ds } = Y.decodeUpdate(update);
  const deletions = [...ds.clients].flatMap(([client, ranges]) =>
    ranges.map(({ clock, len }): End => [client, clock + len]),
  );
  return [...structs.map(({ id, length }): End => [id.client, id.clock + length]), ...deletions];
}

function hasReached({ store }: Y.Doc, [client, clock]: End): boolean {
  return Y.getState(store, client) >= clock;
}
