import * as encoding from 'lib0/encoding';
import { describe, expect, test } from 'vitest';
import * as Y from 'yjs';
import { checkUpdate } from '../../server/documents/update-check.ts';
import { throwingUpdate } from '../helpers/hostile.ts';
import { randomOf, readTrace, typeTransaction } from '../helpers/traces.ts';

const LIMITS = { structs: 100_000, clients: 1_000 };
const CLIENT = 7;

const nested = (levels: number) => '['.repeat(levels) + ']'.repeat(levels);

/** An update of one client with one struct, and nothing deleted. */
function updateWith(write: (encoder: encoding.Encoder) => void, clock = 0): Uint8Array {
  return encoding.encode((encoder) => {
    for (const number of [1, 1, CLIENT, clock]) encoding.writeVarUint(encoder, number);
    write(encoder);
    encoding.writeVarUint(encoder, 0);
  });
}

/** A delete set of one client with one range, and no structs. */
function deletionOf(clock: number, length: number): Uint8Array {
  return encoding.encode((encoder) => {
    for (const number of [0, 1, CLIENT, 1, clock, length]) encoding.writeVarUint(encoder, number);
  });
}

function numbers(info: number, ...rest: number[]) {
  return (encoder: encoding.Encoder) => {
    encoding.writeUint8(encoder, info);
    for (const number of rest) encoding.writeVarUint(encoder, number);
  };
}

/** A document with something of everything that Yjs knows. */
function everything(): Y.Doc {
  const doc = new Y.Doc();
  const text = doc.getText('content');
  text.insert(0, 'hello wörld 👋', { bold: true });
  text.insertEmbed(3, { image: 'x' });
  text.format(0, 4, { italic: { level: 1 } });
  text.delete(2, 3);
  const map = doc.getMap<unknown>('map');
  map.set('values', [1, 'two', null, undefined, { deep: [true] }, new Uint8Array(9), 2n ** 60n]);
  map.set('document', new Y.Doc());
  map.set('text', new Y.Text('nested'));
  map.set('text', new Y.XmlText('replaced'));
  const list = doc.getArray<unknown>('list');
  list.push([new Y.Map(), new Y.Array(), new Uint8Array(3), 'x', 1]);
  list.delete(1, 2);
  doc
    .getXmlFragment('xml')
    .push([new Y.XmlElement('p'), new Y.XmlText('y'), new Y.XmlHook('hook') as unknown as Y.XmlElement]);
  return doc;
}

describe('what Yjs writes passes', () => {
  test('[A9] every type, content and deletion, whole and as differences', () => {
    const [one, two] = [everything(), everything()];
    const state = Y.encodeStateAsUpdate(one);
    checkUpdate(state, LIMITS);
    Y.applyUpdate(two, state);
    two.getText('content').insert(1, 'more');
    checkUpdate(Y.encodeStateAsUpdate(two, Y.encodeStateVector(one)), LIMITS);
    checkUpdate(Y.encodeStateAsUpdate(new Y.Doc()), LIMITS);
    expect(Y.encodeStateVector(two).byteLength).toBeGreaterThan(Y.encodeStateVector(one).byteLength);
  });

  test('[A9] merged updates with gaps between them', () => {
    const doc = new Y.Doc();
    const updates: Uint8Array[] = [];
    doc.on('update', (update: Uint8Array) => updates.push(update));
    for (const letter of 'abcdef') doc.getText('content').insert(0, letter);
    checkUpdate(Y.mergeUpdates(updates.filter((_, index) => index % 2 === 0)), LIMITS);
    expect(updates).toHaveLength(6);
  });

  test('[A9] each update of a real history', () => {
    const doc = new Y.Doc();
    let checked = 0;
    doc.on('update', (update: Uint8Array) => {
      checkUpdate(update, LIMITS);
      checked += 1;
    });
    const txns = readTrace('friendsforever_flat').txns.slice(0, 5_000);
    for (const transaction of txns) typeTransaction(doc.getText('content'), transaction);
    checkUpdate(Y.encodeStateAsUpdate(doc), LIMITS);
    expect(checked).toBeGreaterThan(4_000);
  });
});

describe('what no client of Yjs writes is refused', () => {
  const twice = encoding.encode((encoder) => {
    encoding.writeVarUint(encoder, 2);
    for (let time = 0; time < 2; time += 1) {
      for (const number of [1, CLIENT, 0]) encoding.writeVarUint(encoder, number);
      numbers(0, 1)(encoder);
    }
    encoding.writeVarUint(encoder, 0);
  });
  const deep = updateWith((encoder) => {
    numbers(8, 1)(encoder);
    encoding.writeVarUint(encoder, 1);
    for (let level = 0; level < 100_000; level += 1) {
      encoding.writeUint8(encoder, 117);
      encoding.writeVarUint(encoder, 1);
    }
  });
  test.each([
    ['nothing at all', new Uint8Array(), 'cut short'],
    ['an update that is cut short', Y.encodeStateAsUpdate(everything()).slice(0, -3), 'cut short'],
    ['a garbage collected struct of no length', updateWith(numbers(0, 0)), 'no length'],
    ['a gap of no length', updateWith(numbers(10, 0)), 'no length'],
    ['deleted content of no length', updateWith(numbers(1, 1, 0, 0)), 'cut short|no length'],
    ['an absurd length', updateWith(numbers(0, 2 ** 40)), 'absurd clock'],
    ['an absurd clock', updateWith(numbers(0, 1), 2 ** 40), 'absurd clock'],
    ['an unknown kind of content', updateWith(numbers(0x8b, 1, 1)), 'unknown kind'],
    ['an unknown type', updateWith(numbers(0x87, 1, 1, 9)), 'type that Yjs does not have'],
    ['an item that refers to a later one of its client', throwingUpdate(CLIENT, 3), 'refers to a later one'],
    ['an item that refers to itself', updateWith(numbers(0x81, CLIENT, 0, 1)), 'refers to a later one'],
    ['two sections of one client', twice, 'two sections'],
    ['a document without options', updateWith(withoutOptions), 'without options'],
    ['a deletion of no length', deletionOf(3, 0), 'no length'],
    ['a deletion far beyond', deletionOf(2 ** 40, 1), 'absurd clock'],
    ['values in a hundred thousand levels', deep, 'cut short or garbled'],
  ])('[A9] %s', (_what, update, reason) => {
    expect(() => checkUpdate(update, LIMITS)).toThrow(new RegExp(reason));
    expect(() => checkUpdate(update, LIMITS)).toThrow(expect.objectContaining({ code: 'bad_update' }));
  });

  test.each([
    ['an embed', 5, (encoder: encoding.Encoder) => encoding.writeVarString(encoder, nested(6_000))],
    ['a format', 6, writeFormat],
    ['JSON', 2, writeJson],
  ])('[A9] %s in some thousand levels, which can be read and not be written again', (_what, kind, write) => {
    const update = updateWith((encoder) => {
      encoding.writeUint8(encoder, kind);
      encoding.writeVarUint(encoder, 1);
      encoding.writeVarString(encoder, 'root');
      write(encoder);
    });
    expect(() => checkUpdate(update, LIMITS)).toThrow('values in more than 500 levels');
  });

  test('[A9] more structs or clients than the limits', () => {
    const doc = everything();
    const update = Y.encodeStateAsUpdate(doc);
    expect(() => checkUpdate(update, { structs: 3, clients: 10 })).toThrow('more than 3 structs');
    Y.applyUpdate(doc, Y.encodeStateAsUpdate(everything()));
    expect(() => checkUpdate(Y.encodeStateAsUpdate(doc), { structs: 1_000, clients: 1 })).toThrow(
      'more than 1 clients',
    );
  });

  test('[A9] counts that promise millions, before anything is read or kept', () => {
    const promise = encoding.encode((encoder) => {
      for (const number of [1, 2 ** 30, CLIENT, 0]) encoding.writeVarUint(encoder, number);
    });
    expect(() => checkUpdate(promise, LIMITS)).toThrow('more than 100000 structs');
  });
});

test.each([1, 2, 3])('[A9] of mutated updates none that passes makes Yjs throw (seed %i)', (seed) => {
  const random = randomOf(seed);
  const base = everything();
  const state = Y.encodeStateAsUpdate(base);
  let passed = 0;
  for (let round = 0; round < 4_000; round += 1) {
    const update = mutate(differenceOn(state), random);
    if (!passes(update)) continue;
    passed += 1;
    const doc = new Y.Doc();
    Y.applyUpdate(doc, state);
    Y.applyUpdate(doc, update);
  }
  expect(passed).toBeGreaterThan(100);
});

/** What somebody types who has read a document. */
function differenceOn(state: Uint8Array): Uint8Array {
  const doc = new Y.Doc();
  doc.clientID = CLIENT;
  Y.applyUpdate(doc, state);
  const before = Y.encodeStateVector(doc);
  doc.getText('content').insert(3, 'typed');
  doc.getText('content').format(1, 3, { bold: null });
  doc.getMap('map').set('key', { a: [1, 2] });
  doc.getArray('list').insert(0, [new Y.Map()]);
  doc.getText('content').delete(0, 2);
  return Y.encodeStateAsUpdate(doc, before);
}

function mutate(update: Uint8Array, random: () => number): Uint8Array {
  const copy = update.slice();
  for (let left = 1 + Math.floor(random() * 2); left > 0; left -= 1) {
    copy[Math.floor(random() * copy.length)] = Math.floor(random() * 256);
  }
  return copy;
}

function passes(update: Uint8Array): boolean {
  try {
    checkUpdate(update, LIMITS);
    return true;
  } catch {
    return false;
  }
}

function withoutOptions(encoder: encoding.Encoder): void {
  encoding.writeUint8(encoder, 9);
  encoding.writeVarUint(encoder, 1);
  encoding.writeVarString(encoder, 'root');
  encoding.writeVarString(encoder, 'guid');
  encoding.writeAny(encoder, null);
}

function writeFormat(encoder: encoding.Encoder): void {
  encoding.writeVarString(encoder, 'bold');
  encoding.writeVarString(encoder, nested(6_000));
}

function writeJson(encoder: encoding.Encoder): void {
  encoding.writeVarUint(encoder, 1);
  encoding.writeVarString(encoder, nested(6_000));
}
