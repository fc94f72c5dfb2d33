/**
 * Reads an update without applying it or building anything from it, and refuses what Yjs would choke on.
 *
 *   update    = varUint clients, { section }, delete set
 *   section   = varUint structs, varUint client, varUint clock, { struct }
 *   struct    = uint8 info, body          info: bits 1–5 what it is, 0x20 parentSub, 0x40 right origin, 0x80 origin
 *   0 GC, 10 Skip = varUint length
 *   1–9 Item  = [id origin] [id right origin] [parent, if it has neither origin] content
 *   parent    = varUint 1, varString root | varUint 0, id          then [varString parentSub]
 *   id        = varUint client, varUint clock
 *   delete set = varUint clients, { varUint client, varUint ranges, { varUint clock, varUint length } }
 *
 * (yjs 13.6: `lazyStructReaderGenerator`, `readItemContent`, `readDeleteSet`)
 */
import * as decoding from 'lib0/decoding';
import { IndelibleError } from '../errors.ts';
import { isShallow } from '../protocol/presence.ts';

/** Bounds on what one update may hold. */
export interface UpdateLimits {
  /** Structs and deleted ranges together: each becomes an object in memory. */
  readonly structs: number;
  /** Clients that wrote something in it. */
  readonly clients: number;
}

/** Clocks count what one client typed in one document; beyond this something is wrong. */
const MAX_CLOCK = 2 ** 31;

/** JSON of any depth can be read, but some thousand levels cannot be written again: the document could not be sent. */
const MAX_LEVELS = 500;

const GC = 0;
const TYPE = 7;
const SKIP = 10;
const KIND = 0x1f;
const HAS_PARENT_SUB = 0x20;
const HAS_RIGHT_ORIGIN = 0x40;
const HAS_ORIGIN = 0x80;

/** Types of Yjs: array, map, text, XML element, fragment, hook, text. Element and hook have a name. */
const TYPES = 7;
const NAMED_TYPES = new Set([3, 5]);

/** Where the reader is: the client whose structs these are, and the clock of the next one. */
interface Cursor {
  readonly decoder: decoding.Decoder;
  client: number;
  clock: number;
}

/** What the check has seen of an update. */
export interface UpdateShape {
  /** The clocks that each client wrote: from the first to the one after the last. */
  readonly sections: readonly { readonly client: number; readonly start: number; readonly end: number }[];
  /** Whether it holds types, which may lie within one another. */
  readonly hasTypes: boolean;
  /** Deleted ranges, and the byte at which they begin. */
  readonly deletions: number;
  readonly deletionsAt: number;
}

/**
 * Checks an update.
 * @throws {@link IndelibleError} `bad_update`, saying what is wrong
 */
export function checkUpdate(update: Uint8Array, limits: UpdateLimits): UpdateShape {
  try {
    return readUpdate(decoding.createDecoder(update), limits);
  } catch (error) {
    if (error instanceof IndelibleError) throw error;
    throw new IndelibleError('bad_update', 'it is cut short or garbled', { cause: error });
  }
}

function readUpdate(decoder: decoding.Decoder, limits: UpdateLimits): UpdateShape {
  const { structs, ...shape } = readSections(decoder, limits);
  const deletionsAt = decoder.pos;
  const deletions = readDeleteSet(decoder, limits, structs);
  refuseIf(structs + deletions > limits.structs, `more than ${limits.structs} structs`);
  return { ...shape, deletions, deletionsAt };
}

function readSections(
  decoder: decoding.Decoder,
  limits: UpdateLimits,
): Pick<UpdateShape, 'sections' | 'hasTypes'> & { structs: number } {
  const count = decoding.readVarUint(decoder);
  refuseIf(count > limits.clients, `more than ${limits.clients} clients`);
  const clients = new Set<number>();
  const sections: { client: number; start: number; end: number }[] = [];
  let structs = 0;
  let hasTypes = false;
  while (sections.length < count) {
    const left = decoding.readVarUint(decoder);
    structs += left;
    refuseIf(structs > limits.structs, `more than ${limits.structs} structs`);
    const client = decoding.readVarUint(decoder);
    const start = decoding.readVarUint(decoder);
    // Yjs would keep the last one and lose the others.
    refuseIf(clients.has(client), 'a client has two sections');
    clients.add(client);
    const cursor: Cursor = { decoder, client, clock: start };
    for (let index = 0; index < left; index += 1) if (readStruct(cursor) === TYPE) hasTypes = true;
    sections.push({ client, start, end: cursor.clock });
  }
  return { sections, hasTypes, structs };
}

/** @returns its kind */
function readStruct(cursor: Cursor): number {
  const info = decoding.readUint8(cursor.decoder);
  const kind = info & KIND;
  const length =
    info === SKIP || kind === GC ? decoding.readVarUint(cursor.decoder) : readItem(cursor, info, kind);
  refuseIf(length === 0, 'a struct of no length');
  cursor.clock += length;
  refuseIf(cursor.clock > MAX_CLOCK, 'an absurd clock');
  return kind;
}

function readItem(cursor: Cursor, info: number, kind: number): number {
  const { decoder } = cursor;
  if (info & HAS_ORIGIN) readReference(cursor);
  if (info & HAS_RIGHT_ORIGIN) readReference(cursor);
  if ((info & (HAS_ORIGIN | HAS_RIGHT_ORIGIN)) === 0) {
    if (decoding.readVarUint(decoder) === 1) decoding.readVarString(decoder);
    else readReference(cursor);
    if (info & HAS_PARENT_SUB) decoding.readVarString(decoder);
  }
  return readContent(decoder, kind);
}

/** An item refers to what was there before it. Yjs checks that for other clients only, and throws for its own. */
function readReference({ decoder, client, clock }: Cursor): void {
  const referred = { client: decoding.readVarUint(decoder), clock: decoding.readVarUint(decoder) };
  refuseIf(referred.client === client && referred.clock >= clock, 'an item that refers to a later one');
  refuseIf(referred.clock > MAX_CLOCK, 'an absurd clock');
}

/** @returns the length of the content in clocks */
function readContent(decoder: decoding.Decoder, kind: number): number {
  switch (kind) {
    case 1: // deleted
      return decoding.readVarUint(decoder);
    case 2: // JSON
      return readTimes(decoder, (text) => {
        const json = decoding.readVarString(text);
        if (json !== 'undefined') refuseIfDeep(JSON.parse(json));
      });
    case 3: // binary
      decoding.readVarUint8Array(decoder);
      return 1;
    case 4: // string
      return decoding.readVarString(decoder).length;
    case 5: // embed
      refuseIfDeep(JSON.parse(decoding.readVarString(decoder)));
      return 1;
    case 6: // format
      decoding.readVarString(decoder);
      refuseIfDeep(JSON.parse(decoding.readVarString(decoder)));
      return 1;
    case TYPE:
      readType(decoder);
      return 1;
    case 8: // any
      return readTimes(decoder, readValue);
    case 9: // document
      decoding.readVarString(decoder);
      readOptions(decoder);
      return 1;
    default:
      throw new IndelibleError('bad_update', 'a struct of an unknown kind');
  }
}

function readTimes(decoder: decoding.Decoder, read: (decoder: decoding.Decoder) => unknown): number {
  const count = decoding.readVarUint(decoder);
  for (let index = 0; index < count; index += 1) read(decoder);
  return count;
}

/** Options of a subdocument. Yjs lets them replace its guid, and throws when it writes one that is no text. */
function readOptions(decoder: decoding.Decoder): void {
  const options = readValue(decoder);
  refuseIf(typeof options !== 'object' || options === null, 'a document without options');
  const { guid = '' } = options as { guid?: unknown };
  refuseIf(typeof guid !== 'string', 'a document whose guid is no text');
}

function readType(decoder: decoding.Decoder): void {
  const type = decoding.readVarUint(decoder);
  refuseIf(type >= TYPES, 'a type that Yjs does not have');
  if (NAMED_TYPES.has(type)) decoding.readVarString(decoder);
}

function readDeleteSet(decoder: decoding.Decoder, limits: UpdateLimits, structs: number): number {
  const clients = decoding.readVarUint(decoder);
  refuseIf(clients > limits.clients, `more than ${limits.clients} clients`);
  let ranges = 0;
  for (let client = 0; client < clients; client += 1) {
    decoding.readVarUint(decoder);
    const count = decoding.readVarUint(decoder);
    ranges += count;
    refuseIf(structs + ranges > limits.structs, `more than ${limits.structs} structs`);
    for (let range = 0; range < count; range += 1) {
      const end = decoding.readVarUint(decoder) + readLength(decoder);
      refuseIf(end > MAX_CLOCK, 'an absurd clock');
    }
  }
  return ranges;
}

function readLength(decoder: decoding.Decoder): number {
  const length = decoding.readVarUint(decoder);
  refuseIf(length === 0, 'a deletion of no length');
  return length;
}

function readValue(decoder: decoding.Decoder): unknown {
  const value: unknown = decoding.readAny(decoder);
  refuseIfDeep(value);
  refuseIf(!isWritable(value), 'a value that cannot be written again');
  return value;
}

/**
 * Whether lib0 can write a value that it has read. It reads the key `__proto__` as any other, which may give an object the
 * prototype of bytes: then it is written as bytes, and that throws.
 */
function isWritable(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return true;
  return !(value instanceof Uint8Array) && Object.values(value).every(isWritable);
}

function refuseIfDeep(value: unknown): void {
  refuseIf(!isShallow(value, MAX_LEVELS), `values in more than ${MAX_LEVELS} levels`);
}

function refuseIf(isWrong: boolean, what: string): void {
  if (isWrong) throw new IndelibleError('bad_update', what);
}
