import * as Y from 'yjs';
import type { ErrorCode } from '../errors.ts';
import { isTooDeep } from './nesting.ts';
import type { UpdateShape } from './update-check.ts';

/**
 * Bounds on what one document keeps aside, beside its bytes: Yjs goes through all clients that wait at every update, and
 * through all deletions that wait. 80,000 clients in 865 KB once stopped a process for a minute; 220,000 deletions made
 * every edit 15 ms slower. Honest clients bring what is missing within a second.
 */
const MAX_WAITING_CLIENTS = 500;
const MAX_WAITING_DELETIONS = 5_000;
/** A deletion that waits takes at least so many bytes: client, clock and length. */
const DELETION_BYTES = 3;
/** Above this an update is compared with the document before it is applied, and below it with what its clocks hold there. */
export const LARGE_BYTES = 64 * 1024;

/** An update that passed the check, and what it means for its document. */
export interface WeighedUpdate {
  readonly bytes: Uint8Array;
  /** Why it cannot be taken in; `null` when it can. */
  readonly refusal: ErrorCode | null;
  /** It is large, and brings nothing new. */
  readonly isKnown: boolean;
  /** What the document has there is something else: somebody wrote in the name of its author. */
  readonly isClaimed: boolean;
}

/** The document that an update is weighed for. */
export interface Scales {
  readonly document: Y.Doc;
  readonly pendingBytes: number;
  readonly storedBytes: number;
  readonly limits: { readonly documentBytes: number; readonly pendingBytes: number };
  contains(update: Uint8Array): boolean;
}

/** Deleting is always possible, and so is what brings nothing new. */
export function weigh(scales: Scales, bytes: Uint8Array, shape: UpdateShape): WeighedUpdate {
  const { store } = scales.document;
  const known = shape.sections.map((section) => ({ ...section, state: Y.getState(store, section.client) }));
  const isPast = known.every(({ end, state }) => end <= state);
  const isKnown = isPast && bytes.byteLength > LARGE_BYTES && scales.contains(bytes);
  const decoded = once(() => Y.decodeUpdate(bytes));
  return {
    bytes,
    refusal: isKnown ? null : refusalOf(scales, bytes, shape, { isPast, decoded }),
    isKnown,
    isClaimed:
      bytes.byteLength <= LARGE_BYTES &&
      known.some(({ start, state }) => start < state) &&
      decoded().structs.some((struct) => struct instanceof Y.Item && isOther(store, struct)),
  };
}

type Decoded = ReturnType<typeof Y.decodeUpdate>;

interface Findings {
  /** Whether the document has all of its clocks. */
  readonly isPast: boolean;
  readonly decoded: () => Decoded;
}

function refusalOf(
  { document, pendingBytes, storedBytes, limits }: Scales,
  bytes: Uint8Array,
  shape: UpdateShape,
  { isPast, decoded }: Findings,
): ErrorCode | null {
  if (!isPast && shape.hasTypes && isTooDeep(document, decoded().structs)) return 'bad_update';
  const { pendingStructs, pendingDs } = document.store;
  const wouldBeTooMuch =
    pendingBytes + bytes.byteLength > limits.pendingBytes ||
    (pendingStructs?.missing.size ?? 0) + shape.sections.length > MAX_WAITING_CLIENTS ||
    (pendingDs?.byteLength ?? 0) / DELETION_BYTES + shape.deletions > MAX_WAITING_DELETIONS;
  if (wouldBeTooMuch && wouldWait(document, decoded())) return 'too_much_pending';
  const isTooLarge = storedBytes + bytes.byteLength > limits.documentBytes;
  return isTooLarge && !isPast ? 'document_too_large' : null;
}

/** Whether Yjs would keep some of an update aside, because edits that it builds on are missing. */
function wouldWait({ store }: Y.Doc, { structs, ds }: Decoded): boolean {
  const ends = new Map<number, number>();
  const known = (client: number) => Math.max(Y.getState(store, client), ends.get(client) ?? 0);
  for (const struct of structs) {
    if (struct instanceof Y.Skip) continue;
    const { client, clock } = struct.id;
    if (clock > known(client)) return true;
    ends.set(client, clock + struct.length);
  }
  const isMissing = ({ client, clock }: Y.ID) => clock >= known(client);
  if (structs.some((struct) => struct instanceof Y.Item && referencesOf(struct).some(isMissing))) return true;
  return [...ds.clients].some(([client, ranges]) =>
    ranges.some(({ clock, len }) => clock + len > known(client)),
  );
}

/** The ids that an item that was only decoded refers to. */
function referencesOf({ origin, rightOrigin, parent }: Y.Item): Y.ID[] {
  return [origin, rightOrigin, parent instanceof Y.ID ? parent : null].filter((id) => id !== null);
}

/** Whether the document holds other content at the clocks of an item. Of what is deleted there the content is gone. */
function isOther(store: Y.Doc['store'], { id, content, length }: Y.Item): boolean {
  if (id.clock >= Y.getState(store, id.client)) return false;
  const own = Y.getItem(store, id) as Y.AbstractStruct;
  if (!(own instanceof Y.Item) || own.deleted || content instanceof Y.ContentDeleted) return false;
  if (own.content.constructor !== content.constructor) return true;
  const offset = id.clock - own.id.clock;
  const count = Math.min(length, own.length - offset);
  return textOf(own.content).slice(offset, offset + count) !== textOf(content).slice(0, count);
}

/** One character for each clock of a string; nothing for other content, which is taken for the same. */
function textOf(content: Y.Item['content']): string {
  return content instanceof Y.ContentString ? content.str : '';
}

function once<T>(work: () => T): () => T {
  let done: { readonly value: T } | undefined;
  return () => (done ??= { value: work() }).value;
}
