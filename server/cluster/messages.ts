/**
 * What instances send each other:
 *
 *   message = varString instance, varUint kind, fields in the order of the table
 *
 * On the channel of a document go updates, questions and presence; on the channel of an instance answers; on that of all the rest.
 */
import * as decoding from 'lib0/decoding';
import * as encoding from 'lib0/encoding';

const FIELDS = {
  /**
   * Updates of a document: `count` is how many such messages it has sent of it, `life` and `sequence` are the place in its log,
   * `committed` is how far that is committed, `sentAt` is in milliseconds since 1970. `update` is blank, here and in an answer, when
   * it is too large to be sent. `attribution` is what is to be written with it, should its instance not commit it; mostly blank.
   */
  updates: {
    document: 'string',
    count: 'number',
    life: 'string',
    sequence: 'number',
    committed: 'number',
    sentAt: 'number',
    update: 'bytes',
    attribution: 'string',
  },
  /** `purpose` is its place among the purposes. */
  question: { document: 'string', count: 'number', id: 'number', purpose: 'number', stateVector: 'bytes' },
  answer: {
    document: 'string',
    count: 'number',
    id: 'number',
    life: 'string',
    sequence: 'number',
    committed: 'number',
    update: 'bytes',
    presence: 'bytes',
    pending: 'string',
  },
  /** An answer of who has nothing to say: it is opening the document itself, say. */
  pass: { document: 'string', count: 'number', id: 'number' },
  presence: { document: 'string', presence: 'bytes' },
  /** How far a log is committed; also says that its instance is there. The one that sends it counts these. */
  committed: { life: 'string', sequence: 'number', beat: 'number' },
  damaged: { document: 'string' },
  /** Something of a document was not told. */
  missed: { document: 'string' },
  /** Something was committed to a document by who does not have it open. */
  stored: { document: 'string' },
  revoked: {},
  /** Blank when it does not matter. */
  disconnect: { document: 'string', user: 'string' },
  left: {},
  /** `to` is blank when it has no name any more. */
  deleted: { document: 'string', documentId: 'string', to: 'string' },
  /** Who is connected to a document? */
  who: { document: 'string', id: 'number' },
  /** In JSON. */
  here: { id: 'number', connections: 'string' },
} as const satisfies Record<string, Record<string, 'string' | 'number' | 'bytes'>>;

type Kind = keyof typeof FIELDS;

interface Types {
  string: string;
  number: number;
  bytes: Uint8Array;
}

type Fields<K extends Kind> = {
  readonly [F in keyof (typeof FIELDS)[K]]: (typeof FIELDS)[K][F] extends keyof Types
    ? Types[(typeof FIELDS)[K][F]]
    : never;
};

/** A message of one kind. */
export type MessageOf<K extends Kind> = { readonly kind: K } & Fields<K>;
export type Message = { [K in Kind]: MessageOf<K> }[Kind];

/** A message, and the instance that sent it. */
export type Received = Message & { readonly instance: string };

const KINDS = (Object.keys(FIELDS) as Kind[]).map((kind) => ({ kind, fields: Object.entries(FIELDS[kind]) }));
const NUMBERS = new Map(KINDS.map(({ kind }, number) => [kind, number]));

const writers: { [T in keyof Types]: (encoder: encoding.Encoder, value: Types[T]) => void } = {
  string: encoding.writeVarString,
  number: encoding.writeVarUint,
  bytes: encoding.writeVarUint8Array,
};

const readers: { [T in keyof Types]: (decoder: decoding.Decoder) => Types[T] } = {
  string: decoding.readVarString,
  number: decoding.readVarUint,
  // What is kept of it must not hold the whole piece that came over the line.
  bytes: (decoder) => decoding.readVarUint8Array(decoder).slice(),
};

export function encodeMessage(instance: string, message: Message): Uint8Array {
  const number = NUMBERS.get(message.kind) as number;
  return encoding.encode((encoder) => {
    encoding.writeVarString(encoder, instance);
    encoding.writeVarUint(encoder, number);
    for (const [name, type] of KINDS[number]?.fields ?? []) {
      const value = (message as Record<string, unknown>)[name];
      (writers[type] as (encoder: encoding.Encoder, value: unknown) => void)(encoder, value);
    }
  });
}

/**
 * @param reader - the instance that reads it: what it has said itself comes back to it, and of that it needs heartbeats only
 * @returns `null` when it is something else that the reader has said itself
 * @throws when it is not one of ours, or cut short
 */
export function decodeMessage(bytes: Uint8Array, reader: string): Received | null {
  const decoder = decoding.createDecoder(bytes);
  const instance = decoding.readVarString(decoder);
  const number = decoding.readVarUint(decoder);
  const found = KINDS[number];
  if (found === undefined) throw new RangeError(`there are no messages of kind ${number}`);
  const { kind, fields } = found;
  if (instance === reader && kind !== 'committed') return null;
  const message: Record<string, unknown> = { instance, kind };
  for (const [name, type] of fields) message[name] = readers[type](decoder);
  return message as unknown as Received;
}
