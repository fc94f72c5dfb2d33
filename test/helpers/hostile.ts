/*
 * Malformed and malicious updates, built with an encoder, and a mutator of real bytes. The layout of an update stands in
 * server/documents/update-check.ts.
 */
import * as encoding from 'lib0/encoding';
import * as Y from 'yjs';

/** Writes one struct, or a part of one. */
type Write = (encoder: encoding.Encoder) => void;

/** Parts of the encoding of an item (yjs `Item.write`): it has an origin, and its content is a string. */
const HAS_ORIGIN = 0x80;
const CONTENT_STRING = 4;
/** The parent of an item without origins is a root type, whose name follows. */
const IN_ROOT = 1;
/** Tags of lib0's values: a list, an object. */
const LIST = 117;
const OBJECT = 118;

/** The client in whose name hostile updates are written, where it does not matter. */
export const HOSTILE_CLIENT = 7;

/** An update of one client with one struct, and nothing deleted. */
function updateWith(write: Write, client = HOSTILE_CLIENT, clock = 0): Uint8Array {
  return encoding.encode((encoder) => {
    for (const number of [1, 1, client, clock]) encoding.writeVarUint(encoder, number);
    write(encoder);
    encoding.writeVarUint(encoder, 0);
  });
}

/** Numbers as they stand: an update that is nothing but counts and clocks. */
function counts(...values: number[]): Uint8Array {
  return encoding.encode((encoder) => {
    for (const value of values) encoding.writeVarUint(encoder, value);
  });
}

/** A struct of numbers, behind the byte that says what it is. */
function numbers(info: number, ...rest: number[]): Write {
  return (encoder) => {
    encoding.writeUint8(encoder, info);
    for (const number of rest) encoding.writeVarUint(encoder, number);
  };
}

/** An item in a root type. */
function itemOf(kind: number, write: Write): Write {
  return (encoder) => {
    numbers(kind, IN_ROOT)(encoder);
    encoding.writeVarString(encoder, 'root');
    write(encoder);
  };
}

const nested = (levels: number) => '['.repeat(levels) + ']'.repeat(levels);

/** One value of so many levels, in the encoding of lib0. */
function nestedValue(levels: number): Write {
  return (encoder) => {
    for (let level = 0; level < levels; level += 1) {
      encoding.writeUint8(encoder, LIST);
      encoding.writeVarUint(encoder, 1);
    }
    encoding.writeAny(encoder, null);
  };
}

/** An object with one member, whose key may be one that an object of JavaScript cannot be given. */
function objectWith(key: string, write: Write): Write {
  return (encoder) => {
    encoding.writeUint8(encoder, OBJECT);
    encoding.writeVarUint(encoder, 1);
    encoding.writeVarString(encoder, key);
    write(encoder);
  };
}

const text =
  (...parts: string[]): Write =>
  (encoder) => {
    for (const part of parts) encoding.writeVarString(encoder, part);
  };

const value =
  (of: unknown): Write =>
  (encoder) =>
    encoding.writeAny(encoder, of as never);

function all(...writes: Write[]): Write {
  return (encoder) => {
    for (const write of writes) write(encoder);
  };
}

const once: Write = (encoder) => encoding.writeVarUint(encoder, 1);

/**
 * An update that decodes, and throws when it is applied: an item that names a later item of its own client as its
 * origin, which Yjs looks up without checking that it is there.
 * @param clientID - a client whose items the document has
 * @param clock - how many it has
 */
export function throwingUpdate(clientID: number, clock: number): Uint8Array {
  const struct = all(numbers(HAS_ORIGIN | CONTENT_STRING, clientID, clock + 100), text('hostile'));
  return updateWith(struct, clientID, clock);
}

/** Well-formed: text in a client's name, behind everything that it has written. */
export function claimText(client: number, clock: number, claimed: string): Uint8Array {
  const struct = all(numbers(HAS_ORIGIN | CONTENT_STRING, client, clock - 1), text(claimed));
  return updateWith(struct, client, clock);
}

/** Well-formed: says that what a client writes at these clocks is deleted and forgotten. */
export function claimForgotten(client: number, clock: number, length: number): Uint8Array {
  return updateWith(numbers(0, length), client, clock);
}

function twoSections(): Uint8Array {
  return encoding.encode((encoder) => {
    encoding.writeVarUint(encoder, 2);
    for (let time = 0; time < 2; time += 1) {
      for (const number of [1, HOSTILE_CLIENT, 0]) encoding.writeVarUint(encoder, number);
      numbers(0, 1)(encoder);
    }
    encoding.writeVarUint(encoder, 0);
  });
}

/** What an ordinary client writes. */
function ordinaryUpdate(): Uint8Array {
  const doc = new Y.Doc();
  doc.getText('content').insert(0, 'ordinary');
  return Y.encodeStateAsUpdate(doc);
}

const MANY = 2 ** 30;
const ABSURD = 2 ** 40;
/** Can be read, and not be written again. */
const LEVELS = 6_000;
const DEEP = 'in more than 500 levels';
const SUBDOCUMENT = 9;

/** What no client of Yjs writes, by name, with what the check says of it. */
export const HOSTILE_UPDATES: Array<[name: string, update: Uint8Array, complaint: RegExp]> = [
  ['nothing at all', new Uint8Array(), /cut short/],
  ['an update that is cut short', ordinaryUpdate().slice(0, -3), /cut short/],
  ['a truncated varint', new Uint8Array([0x80]), /cut short/],
  ['a number that does not end', new Uint8Array(20).fill(0xff), /cut short/],
  ['a garbage collected struct of no length', updateWith(numbers(0, 0)), /no length/],
  ['a gap of no length', updateWith(numbers(10, 0)), /no length/],
  ['deleted content of no length', updateWith(itemOf(1, numbers(0))), /no length/],
  ['text of no length', updateWith(itemOf(CONTENT_STRING, text(''))), /no length/],
  ['no values', updateWith(itemOf(8, numbers(0))), /no length/],
  ['an absurd length', updateWith(numbers(0, ABSURD)), /absurd clock/],
  ['an absurd clock', updateWith(numbers(0, 1), HOSTILE_CLIENT, ABSURD), /absurd clock/],
  ['an absurd clock of an origin', throwingUpdate(HOSTILE_CLIENT, ABSURD), /absurd clock|refers to a later/],
  ['an unknown kind of content', updateWith(numbers(0x8b, 1, 1)), /unknown kind/],
  ['an unknown type', updateWith(numbers(0x87, 1, 1, 9)), /type that Yjs does not have/],
  [
    'an item that refers to a later one of its client',
    throwingUpdate(HOSTILE_CLIENT, 3),
    /refers to a later/,
  ],
  ['an item that refers to itself', updateWith(numbers(0x81, HOSTILE_CLIENT, 0, 1)), /refers to a later/],
  ['two sections of one client', twoSections(), /two sections/],
  [
    'a subdocument without options',
    updateWith(itemOf(SUBDOCUMENT, all(text('guid'), value(null)))),
    /without options/,
  ],
  [
    'a subdocument whose options replace its guid by what is no text',
    updateWith(itemOf(SUBDOCUMENT, all(text('guid'), value({ guid: null })))),
    /guid is no text/,
  ],
  [
    'an object with the prototype of bytes',
    updateWith(itemOf(8, all(once, objectWith('__proto__', value(new Uint8Array(3)))))),
    /cannot be written again/,
  ],
  ['a deletion of no length', counts(0, 1, HOSTILE_CLIENT, 1, 3, 0), /no length/],
  ['a deletion far beyond', counts(0, 1, HOSTILE_CLIENT, 1, ABSURD, 1), /absurd clock/],
  ['an absurd count of clients', counts(MANY), /more than \d+ clients/],
  ['an absurd count of structs', counts(1, MANY, HOSTILE_CLIENT, 0), /more than \d+ structs/],
  ['an absurd count of deleted ranges', counts(0, 1, HOSTILE_CLIENT, MANY), /more than \d+ structs/],
  ['an absurd count of values', updateWith(itemOf(8, numbers(0x7f, MANY))), /cut short/],
  ['a hundred thousand levels', updateWith(itemOf(8, all(once, nestedValue(100_000)))), /cut short/],
  ['some thousand levels of values', updateWith(itemOf(8, all(once, nestedValue(2_000)))), new RegExp(DEEP)],
  ['some thousand levels in an embed', updateWith(itemOf(5, text(nested(LEVELS)))), new RegExp(DEEP)],
  ['some thousand levels in a format', updateWith(itemOf(6, text('bold', nested(LEVELS)))), new RegExp(DEEP)],
  ['some thousand levels of JSON', updateWith(itemOf(2, all(once, text(nested(LEVELS))))), new RegExp(DEEP)],
];

type Random = () => number;
type Mutation = (bytes: Uint8Array, random: Random, other: Uint8Array) => Uint8Array;

const below = (random: Random, limit: number) => Math.floor(random() * limit);

/** A place between two bytes. */
const placeIn = (bytes: Uint8Array, random: Random) => below(random, bytes.length + 1);

/** Bytes with others in the place of `count` of them. */
function replace(bytes: Uint8Array, at: number, count: number, others: Uint8Array): Uint8Array {
  return Buffer.concat([bytes.subarray(0, at), others, bytes.subarray(at + count)]);
}

const MUTATIONS: readonly Mutation[] = [
  function flipBit(bytes, random) {
    const copy = bytes.slice();
    const at = below(random, copy.length);
    copy[at] = (copy[at] ?? 0) ^ (1 << below(random, 8));
    return copy;
  },
  function setByte(bytes, random) {
    return replace(bytes, below(random, bytes.length), 1, new Uint8Array([below(random, 256)]));
  },
  function cut(bytes, random) {
    return bytes.slice(0, placeIn(bytes, random));
  },
  function insert(bytes, random) {
    const added = Uint8Array.from({ length: 1 + below(random, 4) }, () => below(random, 256));
    return replace(bytes, placeIn(bytes, random), 0, added);
  },
  function duplicate(bytes, random) {
    const [from, to] = [placeIn(bytes, random), placeIn(bytes, random)].toSorted((a, b) => a - b);
    return replace(bytes, placeIn(bytes, random), 0, bytes.slice(from, to));
  },
  function splice(bytes, random, other) {
    return Buffer.concat([bytes.subarray(0, placeIn(bytes, random)), other.subarray(placeIn(other, random))]);
  },
  function blowUpNumber(bytes, random) {
    const number = encoding.encode((encoder) => encoding.writeVarUint(encoder, 2 ** below(random, 53)));
    return replace(bytes, below(random, bytes.length), 1, number);
  },
];

/** One to three mutations of real bytes; `other` is spliced in at times. */
export function mutate(bytes: Uint8Array, random: Random, other: Uint8Array): Uint8Array {
  let mutated = bytes;
  for (let left = 1 + below(random, 3); left > 0; left -= 1) {
    mutated = MUTATIONS[below(random, MUTATIONS.length)]?.(mutated, random, other) ?? mutated;
  }
  return mutated;
}

/** The seed of a test: SEED of the environment, to run again what failed, else one of its own. */
export function seedOf(fallback: number): number {
  return Number(process.env['SEED'] ?? fallback);
}
