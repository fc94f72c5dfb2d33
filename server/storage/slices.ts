import * as encoding from 'lib0/encoding';
import * as Y from 'yjs';

/**
 * Of a slice: structs, and the sum of their lengths. Yjs takes 5 ms for either where it is slow: a struct that is put into the midst
 * of 130,000 others moves half of them, so that 2,000 took 0.3 s.
 */
const MOST = { structs: 50, length: 128 * 1024 };

type Struct = Y.Item | Y.GC | Y.Skip;

/** What one client has made, in the order of clocks. */
interface Queue {
  readonly structs: Struct[];
  next: number;
  /** Clock of the next one. */
  clock: number;
  /** Whether that one builds on what the update does not have, and the document may not have either. */
  isStuck: boolean;
}

/**
 * Cuts an update into several, each of which builds on none but those before it, so that a large one can be applied in as many
 * turns of the event loop. What waits for missing edits, and all deletions, are in the last one.
 * @throws what Yjs throws on an update that it cannot read
 */
export function slicesOf(update: Uint8Array, most = MOST): Uint8Array[] {
  const queues = queuesOf(update);
  const slices: Uint8Array[] = [];
  let slice: Struct[] = [];
  let length = 0;
  for (const struct of inOrder(queues)) {
    slice.push(struct);
    length += struct.length;
    if (slice.length < most.structs && length < most.length) continue;
    slices.push(encode(slice));
    [slice, length] = [[], 0];
  }
  if (slices.length === 0) return [update];
  if (slice.length > 0) slices.push(encode(slice));
  const sliced = new Map([...queues].map(([client, { clock }]) => [client, clock]));
  return [...slices, Y.diffUpdate(update, Y.encodeStateVector(sliced))];
}

function queuesOf(update: Uint8Array): Map<number, Queue> {
  const queues = new Map<number, Queue>();
  for (const struct of Y.decodeUpdate(update).structs) {
    const { client, clock } = struct.id;
    const queue = queues.get(client);
    if (queue === undefined) queues.set(client, { structs: [struct], next: 0, clock, isStuck: false });
    else queue.structs.push(struct);
  }
  return queues;
}

/** Every struct after those that it builds on, as Yjs integrates them. */
function* inOrder(queues: ReadonlyMap<number, Queue>): Generator<Struct> {
  for (const first of queues.values()) {
    /** Each of which waits for the one after it. */
    const waiting = [first];
    for (let queue = waiting.at(-1); queue !== undefined; queue = waiting.at(-1)) {
      const struct = queue.structs[queue.next];
      const awaited = struct && awaitedBy(struct, queues);
      if (struct === undefined || struct instanceof Y.Skip || awaited?.isStuck === true) {
        queue.isStuck = true;
        waiting.pop();
      } else if (awaited !== undefined) {
        // They would wait for each other.
        if (waiting.includes(awaited)) awaited.isStuck = true;
        else waiting.push(awaited);
      } else {
        queue.next += 1;
        queue.clock += struct.length;
        yield struct;
        // Who waits for it may go on.
        if (waiting.length > 1) waiting.pop();
      }
    }
  }
}

/** Of whom something has to come before it. */
function awaitedBy(struct: Struct, queues: ReadonlyMap<number, Queue>): Queue | undefined {
  if (!(struct instanceof Y.Item)) return undefined;
  const { origin, rightOrigin, parent } = struct;
  for (const id of [origin, rightOrigin, parent instanceof Y.ID ? parent : null]) {
    if (id === null || id.client === struct.id.client) continue;
    const queue = queues.get(id.client);
    if (queue !== undefined && id.clock >= queue.clock) return queue;
  }
  return undefined;
}

/** One update of structs that are in order for each client. */
function encode(structs: readonly Struct[]): Uint8Array {
  const byClient = Map.groupBy(structs, ({ id }) => id.client);
  const encoder = new Y.UpdateEncoderV1();
  encoding.writeVarUint(encoder.restEncoder, byClient.size);
  for (const [client, its] of byClient) {
    encoding.writeVarUint(encoder.restEncoder, its.length);
    encoder.writeClient(client);
    encoding.writeVarUint(encoder.restEncoder, its[0]?.id.clock ?? 0);
    for (const struct of its) struct.write(encoder, 0);
  }
  // No deletions.
  encoding.writeVarUint(encoder.restEncoder, 0);
  return encoder.toUint8Array();
}
