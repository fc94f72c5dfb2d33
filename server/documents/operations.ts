import { fromBase64 } from 'lib0/buffer';
import { simpleDiffString } from 'lib0/diff';
import { diffSplitBy } from 'lib0/diff/patience';
import * as Y from 'yjs';
import { z } from 'zod';
import { IndelibleError } from '../errors.ts';
import { CONSTRUCTORS, canBe, typeOf, type Json, type RootType } from './content.ts';
import { kept, plain } from './values.ts';

/** Operations of one request; more make one transaction that keeps everybody else waiting. */
const MOST_OPERATIONS = 1_000;
const MOST_STEPS = 100;

/** Any JSON. `z.json()` would go down into it, and overflow the stack of what is too deep. */
export const jsonSchema = z
  .custom<Json>((value) => value !== undefined, 'a value is expected')
  .meta({ description: 'Any JSON', type: ['null', 'boolean', 'number', 'string', 'array', 'object'] });
const attributesSchema = z
  .custom<{ readonly [name: string]: Json }>(
    (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
    'an object is expected',
  )
  .meta({ description: 'Attributes by name; in `format`, null takes one away', type: 'object' });
const indexSchema = z
  .int()
  .min(0)
  .meta({ description: 'In UTF-16 code units of a text, or items of an array' });
const atSchema = z.union([
  indexSchema,
  z.strictObject({
    relative: z.string().max(1_000).meta({ description: 'A relative position, as a read gives it; base64' }),
  }),
]);
const lengthSchema = z.int().min(1).default(1);
/** Yjs would put replacement characters into the place of half a character, not everywhere at the same time. */
const textSchema = z.string().refine((text) => text.isWellFormed(), 'the text has half a character');
const keeping = z.enum(['shared', 'text', 'json']).optional().meta({
  description:
    'How objects and arrays are kept: as shared types (the default), a string as Y.Text, or all as one plain value',
});

/** Where an operation is done. */
const where = {
  root: textSchema.max(1_000).default('content'),
  path: z
    .array(z.union([z.string().max(1_000), z.int().min(0)]))
    .max(MOST_STEPS)
    .default([])
    .meta({ description: 'From the root: keys of maps, indexes of arrays and of XML' }),
};
const operation = <Op extends string, Shape extends z.core.$ZodLooseShape>(op: Op, shape: Shape) =>
  z.strictObject({ op: z.literal(op), ...where, ...shape });

const OPERATIONS = {
  'insert text': operation('insert', {
    at: atSchema,
    text: textSchema.min(1),
    attributes: attributesSchema.optional(),
  }),
  'insert values': operation('insert', { at: atSchema, values: z.array(jsonSchema).min(1), as: keeping }),
  'delete range': operation('delete', { at: atSchema, length: lengthSchema }),
  'delete key': operation('delete', { key: textSchema }),
  replace: operation('replace', { find: textSchema.min(1), with: textSchema, all: z.boolean().optional() }),
  append: operation('append', { text: textSchema, attributes: attributesSchema.optional() }),
  'set text': operation('set', { text: textSchema }),
  'set key': operation('set', { key: textSchema, value: jsonSchema, as: keeping }),
  format: operation('format', { at: atSchema, length: lengthSchema, attributes: attributesSchema }),
  push: operation('push', { values: z.array(jsonSchema).min(1), as: keeping }),
  move: operation('move', { from: indexSchema, to: indexSchema }),
} as const;

type Operations = { [Kind in keyof typeof OPERATIONS]: z.output<(typeof OPERATIONS)[Kind]> };

/** Operations on one document, done in their order in one transaction. */
export const operationsSchema = z
  .array(z.union(Object.values(OPERATIONS)))
  .min(1)
  .max(MOST_OPERATIONS);

/** Where something is in a document. */
export interface Place {
  readonly root: string;
  readonly path: readonly (string | number)[];
}

export type Operation = z.output<typeof operationsSchema>[number];

/**
 * What operations may do in one transaction: add so many characters and values, in so many pieces, and replace a text so often, for which
 * Yjs takes 2 s. A few bytes can ask for any number: to replace each letter by a text, or move what is large again and again.
 */
const MOST = { length: 16 * 1024 * 1024, structs: 200_000, replacements: 10_000 };

/** What is left to the operations of one transaction. */
interface Allowance {
  replacements: number;
}

/**
 * Does operations in one transaction.
 * @throws {@link IndelibleError} `bad_operation`, `wrong_type`, `document_too_large`; some of them may be done then
 */
export function operate(doc: Y.Doc, operations: readonly Operation[]): void {
  const before = addedTo(doc);
  const allowance: Allowance = { replacements: MOST.replacements };
  doc.transact(() => {
    for (const [number, each] of operations.entries()) {
      try {
        perform(doc, each, allowance);
        const { length, structs } = addedTo(doc);
        refuseTooMuch(length - before.length, structs - before.structs);
      } catch (error) {
        if (!(error instanceof IndelibleError)) throw error;
        throw new IndelibleError(error.code, `operation ${number}: ${error.detail ?? error.message}`, {
          cause: error,
        });
      }
    }
  });
}

/** Whether operations could not be done since a relative position is at something that has not been heard of. */
export function isUnknownPosition(error: unknown): boolean {
  return error instanceof IndelibleError && error.cause instanceof UnknownPosition;
}

/** What there is of whoever changes the document here. */
function addedTo({ store, clientID }: Y.Doc): { length: number; structs: number } {
  return { length: Y.getState(store, clientID), structs: store.clients.get(clientID)?.length ?? 0 };
}

function refuseTooMuch(length: number, structs: number): void {
  if (length > MOST.length || structs > MOST.structs) throw new IndelibleError('document_too_large');
}

function perform(doc: Y.Doc, each: Operation, allowance: Allowance): void {
  switch (each.op) {
    case 'insert':
      if ('text' in each) insertText(textAt(doc, each), each, doc);
      else {
        const array = arrayAt(doc, each);
        insertValues(array, positionIn(array, each.at, doc), each);
      }
      break;
    case 'delete':
      if ('key' in each) deleteKey(mapAt(doc, each), each);
      else deleteRange(sequenceAt(doc, each), each, doc);
      break;
    case 'replace':
      replace(textAt(doc, each), each, allowance);
      break;
    case 'append': {
      const text = textAt(doc, each);
      text.insert(text.length, each.text, plainAttributes(each));
      break;
    }
    case 'set':
      if ('key' in each) mapAt(doc, each).set(each.key, kept(each.value, each.as));
      else setText(textAt(doc, each), each.text);
      break;
    case 'format': {
      const text = textAt(doc, each);
      const [start, count] = rangeIn(text, each, doc);
      text.format(start, count, plainAttributes(each) ?? {});
      break;
    }
    case 'push': {
      const array = arrayAt(doc, each);
      insertValues(array, array.length, each);
      break;
    }
    case 'move':
      move(arrayAt(doc, each), each);
  }
}

type Container = ReturnType<Y.Doc['get']>;

function textAt(doc: Y.Doc, place: Place): Y.Text {
  const found = containerAt(doc, place, 'text');
  if (found instanceof Y.Text) return found;
  throw new IndelibleError('wrong_type', 'there is no text');
}

function mapAt(doc: Y.Doc, place: Place): Y.Map<unknown> {
  const found = containerAt(doc, place, 'map');
  if (found instanceof Y.Map) return found;
  throw new IndelibleError('wrong_type', 'there is no map');
}

function arrayAt(doc: Y.Doc, place: Place): Y.Array<unknown> {
  const found = containerAt(doc, place, 'array');
  if (found instanceof Y.Array) return found;
  throw new IndelibleError('wrong_type', 'there is no array');
}

/** @throws {@link IndelibleError} `bad_operation` when nothing is there, `wrong_type` */
export function sequenceAt(doc: Y.Doc, place: Place): Y.Text | Y.Array<unknown> {
  const shown = shownType(doc, place.root) ?? 'text';
  const found = containerAt(doc, place, shown === 'array' ? 'array' : 'text');
  if (found instanceof Y.Text || found instanceof Y.Array) return found;
  throw new IndelibleError('wrong_type', 'there is neither a text nor an array');
}

/** @param type - of the root, if that is what is meant */
function containerAt(doc: Y.Doc, { root, path }: Place, type: RootType): Container {
  let found: unknown = rootOf(doc, root, path.length === 0 ? type : (shownType(doc, root) ?? type));
  for (const step of path) {
    const next = stepInto(found, step);
    if (next === undefined)
      throw new IndelibleError('bad_operation', `there is nothing at ${JSON.stringify(step)} of the path`);
    found = next;
  }
  return found as Container;
}

function stepInto(found: unknown, step: string | number): unknown {
  if (typeof step === 'string') return found instanceof Y.Map ? found.get(step) : undefined;
  return found instanceof Y.Array || found instanceof Y.XmlFragment ? found.get(step) : undefined;
}

function shownType(doc: Y.Doc, name: string): RootType | undefined {
  const root = doc.share.get(name);
  return root && typeOf(root);
}

function rootOf(doc: Y.Doc, name: string, type: RootType): Container {
  const root = doc.share.get(name);
  if (root !== undefined) {
    const isKnown = root.constructor !== Y.AbstractType;
    const isOther = (typeOf(root) ?? type) !== type || !canBe(root, type);
    if (isOther || (isKnown && !(root instanceof CONSTRUCTORS[type]))) throw new IndelibleError('wrong_type');
  }
  return doc.get(name, CONSTRUCTORS[type]);
}

type At = Operations['delete range']['at'];

function insertText(text: Y.Text, each: Operations['insert text'], doc: Y.Doc): void {
  text.insert(positionIn(text, each.at, doc), each.text, plainAttributes(each));
}

function plainAttributes({
  attributes: given,
}: {
  readonly attributes?: { readonly [name: string]: Json } | undefined;
}) {
  return given === undefined ? undefined : (plain(given) as { [name: string]: Json });
}

function insertValues(
  array: Y.Array<unknown>,
  start: number,
  { values, as }: Pick<Operations['push'], 'values' | 'as'>,
): void {
  array.insert(
    start,
    values.map((value) => kept(value, as)),
  );
}

function deleteKey(map: Y.Map<unknown>, { key }: Operations['delete key']): void {
  if (!map.has(key)) throw new IndelibleError('bad_operation', `there is no key ${JSON.stringify(key)}`);
  map.delete(key);
}

function deleteRange(
  sequence: Y.Text | Y.Array<unknown>,
  each: Operations['delete range'],
  doc: Y.Doc,
): void {
  const [start, count] = rangeIn(sequence, each, doc);
  sequence.delete(start, count);
}

function rangeIn(
  sequence: Y.Text | Y.Array<unknown>,
  { at: start, length: count }: Pick<Operations['delete range'], 'at' | 'length'>,
  doc: Y.Doc,
): [start: number, count: number] {
  const from = positionIn(sequence, start, doc);
  if (from + count > sequence.length) throw outOfRange(from + count, sequence.length);
  if (sequence instanceof Y.Text) refuseInsideOfPair(sequence, from + count);
  return [from, count];
}

function positionIn(sequence: Y.Text | Y.Array<unknown>, at: At, doc: Y.Doc): number {
  const position = typeof at === 'number' ? at : absoluteIn(sequence, at.relative, doc);
  if (position > sequence.length) throw outOfRange(position, sequence.length);
  if (sequence instanceof Y.Text) refuseInsideOfPair(sequence, position);
  return position;
}

const NO_POSITION = 'the relative position is none of what is there';

/** A relative position is at something that has not been heard of, or not yet. */
class UnknownPosition extends IndelibleError {
  constructor() {
    super('bad_operation', NO_POSITION);
  }
}

function absoluteIn(sequence: Container, relative: string, doc: Y.Doc): number {
  const position = orNull(() => Y.decodeRelativePosition(fromBase64(relative)));
  const found = position && orNull(() => Y.createAbsolutePositionFromRelativePosition(position, doc));
  if (found?.type === sequence) return found.index;
  const id = position?.item ?? position?.type;
  if (id && id.clock >= Y.getState(doc.store, id.client)) throw new UnknownPosition();
  throw new IndelibleError('bad_operation', NO_POSITION);
}

/** Yjs throws on what is none. */
function orNull<T>(read: () => T): T | null {
  try {
    return read();
  } catch {
    return null;
  }
}

function outOfRange(index: number, end: number): IndelibleError {
  return new IndelibleError('bad_operation', `${index} lies beyond the end, which is at ${end}`);
}

/** Half of a character is none: Yjs would put two replacement characters in its place. */
function refuseInsideOfPair(text: Y.Text, index: number): void {
  if (index === 0 || index === text.length) return;
  if (isLowSurrogate(unitAt(text, index)) && isHighSurrogate(unitAt(text, index - 1)))
    throw new IndelibleError('bad_operation', `${index} lies within a character`);
}

const isHighSurrogate = (unit: number) => unit >= 0xd800 && unit <= 0xdbff;
const isLowSurrogate = (unit: number) => unit >= 0xdc00 && unit <= 0xdfff;

/** The code unit at an index; 0 for something embedded. */
function unitAt(text: Y.Text, index: number): number {
  let left = index;
  // oxlint-disable-next-line no-underscore-dangle -- writing all of it out to look at one place would take long
  for (let item = text._start; item !== null; item = item.right) {
    if (item.deleted || !item.countable) continue;
    if (left < item.length)
      return item.content instanceof Y.ContentString ? item.content.str.charCodeAt(left) : 0;
    left -= item.length;
  }
  return 0;
}

/** In the place of each thing that is embedded, so that indexes are those of the text. */
const EMBEDDED = '\ufffc';

function unitsOf(text: Y.Text): string {
  const insertions = text.toDelta() as { insert: unknown }[];
  return insertions.map(({ insert }) => (typeof insert === 'string' ? insert : EMBEDDED)).join('');
}

function replace(
  text: Y.Text,
  { find, with: replacement, all = false }: Operations['replace'],
  allowance: Allowance,
): void {
  const units = unitsOf(text);
  const found: number[] = [];
  for (let index = units.indexOf(find); index !== -1; index = units.indexOf(find, index + find.length)) {
    if (isWithinPair(units, index) || isWithinPair(units, index + find.length)) continue;
    found.push(index);
    if (!all) break;
  }
  if (found.length === 0) throw new IndelibleError('bad_operation', 'the text to find is not there');
  allowance.replacements -= found.length;
  if (allowance.replacements < 0)
    throw new IndelibleError('bad_operation', `more than ${MOST.replacements} are found`);
  refuseTooMuch(found.length * replacement.length, found.length);
  // From the end, so that indexes stay.
  for (const index of found.toReversed()) {
    // Before it is deleted, so that it is formatted alike.
    if (replacement !== '') text.insert(index + find.length, replacement);
    text.delete(index, find.length);
  }
}

function isWithinPair(units: string, index: number): boolean {
  return isHighSurrogate(units.charCodeAt(index - 1)) && isLowSurrogate(units.charCodeAt(index));
}

/** By the smallest difference, so that cursors, and what others type meanwhile, stay where they are. */
function setText(text: Y.Text, wanted: string): void {
  // From the end, so that indexes stay.
  for (const { index, remove, insert } of differences(unitsOf(text), wanted).toReversed()) {
    const within = simpleDiffString(remove, insert);
    const start = index + within.index;
    if (within.insert !== '') text.insert(start + within.remove, within.insert);
    if (within.remove > 0) text.delete(start, within.remove);
  }
}

/** Above this many lines, or words of a line, comparing them takes long; then what is at both ends has to do. */
const MOST_PIECES = 5_000;
const LINE_END = /\n/g;
const WORD = /[\p{L}\p{N}]+/gu;

interface Difference {
  readonly index: number;
  readonly remove: string;
  readonly insert: string;
}

/** By lines, and in those by words. */
function differences(before: string, after: string): Difference[] {
  return differencesBy(LINE_END, before, after).flatMap(({ index, remove, insert }) =>
    differencesBy(WORD, remove, insert).map((within) => ({
      index: index + within.index,
      remove: within.remove,
      insert: within.insert,
    })),
  );
}

function differencesBy(pieces: RegExp, before: string, after: string): Difference[] {
  const count = [before, after].reduce((sum, each) => sum + (each.match(pieces)?.length ?? 0), 0);
  if (count > MOST_PIECES) return [{ index: 0, remove: before, insert: after }];
  return diffSplitBy(before, after, pieces);
}

function move(array: Y.Array<unknown>, { from, to }: Operations['move']): void {
  if (from >= array.length) throw outOfRange(from, array.length);
  if (to >= array.length) throw outOfRange(to, array.length);
  const value = array.get(from);
  const copy = value instanceof Y.AbstractType ? (value.clone() as unknown) : value;
  array.delete(from);
  array.insert(to, [copy]);
}
