import * as encoding from 'lib0/encoding';
import * as Y from 'yjs';
import { nextTurn } from '../lifecycle.ts';

/** What a document is encoded for in one turn of the event loop. */
const TURN_MS = 8;

/** The clocks of one client that are encoded. */
interface Section {
  readonly client: number;
  readonly from: number;
  readonly end: number;
}

/**
 * What a document holds now beyond a state vector, encoded in several turns of the event loop: Yjs takes 0.2 s for 130,000 structs,
 * in which nobody's edit would be handled. What is changed meanwhile may be in it or not: whoever is sent every change from now on
 * lacks nothing.
 * @param stateVector - one that decodes
 * @param turnMs - what a turn may take; one struct is written in any case
 * @returns an update, in pieces
 * @throws whatever Yjs throws on a document that cannot be encoded
 */
export async function encodeState(
  doc: Y.Doc,
  stateVector: Uint8Array,
  turnMs = TURN_MS,
): Promise<readonly Uint8Array[]> {
  const { store } = doc;
  // What waits for missing edits has to be merged with the rest.
  if (store.pendingStructs !== null || store.pendingDs !== null) {
    return [Y.encodeStateAsUpdate(doc, stateVector)];
  }
  const known = Y.decodeStateVector(stateVector);
  const sections = [...store.clients.keys()]
    .map((client) => ({ client, from: known.get(client) ?? 0, end: Y.getState(store, client) }))
    .filter(({ from, end }) => from < end)
    // As Yjs does: who has less to wait for comes first.
    .toSorted((a, b) => b.client - a.client);
  // Of somebody who has all structs: their number, which is 0, and all deletions.
  const deletions = Y.encodeStateAsUpdate(doc, Y.encodeStateVector(doc)).subarray(1);
  const pieces: Uint8Array[] = [
    encoding.encode((encoder) => encoding.writeVarUint(encoder, sections.length)),
  ];
  let until = performance.now() + turnMs;
  for (const section of sections) {
    let clock = section.from;
    let count = 0;
    const structs: Uint8Array[] = [];
    while (clock < section.end) {
      const part = encodeStructs(store, { ...section, from: clock }, until);
      structs.push(part.bytes);
      count += part.count;
      clock = part.clock;
      if (performance.now() < until) continue;
      await nextTurn();
      until = performance.now() + turnMs;
    }
    pieces.push(headOf(section, count), ...structs);
  }
  return [...pieces, deletions];
}

/** Encodes structs of one client, up to a time; the first in any case. Between turns they may be split, and put together. */
function encodeStructs(store: Y.Doc['store'], { client, from, end }: Section, until: number) {
  const encoder = new Y.UpdateEncoderV1();
  const structs = store.clients.get(client) ?? [];
  let [clock, count] = [from, 0];
  for (let index = Y.findIndexSS(structs, from); clock < end; index += 1) {
    const struct = structs[index] as Y.Item | Y.GC;
    struct.write(encoder, clock - struct.id.clock);
    clock = struct.id.clock + struct.length;
    count += 1;
    if (performance.now() >= until) break;
  }
  return { bytes: encoder.toUint8Array(), clock, count };
}

/** How many structs of whom follow, and from which clock on. */
function headOf({ client, from }: Section, count: number): Uint8Array {
  return encoding.encode((encoder) => {
    for (const number of [count, client, from]) encoding.writeVarUint(encoder, number);
  });
}
